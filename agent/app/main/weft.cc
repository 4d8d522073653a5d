#include "app/command_line.h"

int main(int argc, char** argv) { return weft::app::RunCommandLine(argc, argv); }
