// The program's command line: run, doctor, tail, config, --version. Each command returns the exit
// code of the process: 0 fine, 1 failed, 2 wrong use or wrong configuration.
#pragma once

namespace weft::app {

int RunCommandLine(int argc, char** argv);

}  // namespace weft::app
