// fuzz: protocols/http2 protocols/http2/entry_points.cc
#include <cstdio>
#include <cstdlib>

#include "protocols/http2/entry_points.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string wrong = weft::protocols::http2::TryBlocks({data, size});
  if (!wrong.empty()) {
    std::fprintf(stderr, "%s\n", wrong.c_str());
    std::abort();
  }
  return 0;
}
