// What a fuzzer calls: the configuration with a text from anywhere. The fuzz target and the corpus
// test run the same code.
#pragma once

#include <string>
#include <string_view>

namespace weft::app {

// Loads the text, then the effective settings that it gave. Returns what went wrong, empty if
// nothing.
std::string TryConfig(std::string_view yaml);

}  // namespace weft::app
