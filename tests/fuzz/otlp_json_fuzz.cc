// fuzz: protocols/otlp protocols/otlp/entry_points.cc
#include <cstdio>
#include <cstdlib>

#include "protocols/otlp/entry_points.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string wrong = weft::protocols::otlp::TryJson({data, size});
  if (wrong.empty()) wrong = weft::protocols::otlp::TrySignalsJson({data, size});
  if (!wrong.empty()) {
    std::fprintf(stderr, "%s\n", wrong.c_str());
    std::abort();
  }
  return 0;
}
