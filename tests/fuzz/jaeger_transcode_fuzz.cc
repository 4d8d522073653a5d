// fuzz: protocols/jaeger
// Corpus: tests/protocols/jaeger/golden, which transcode_test.cc runs too.
#include <cstdio>
#include <cstdlib>

#include "protocols/jaeger/transcode.h"

using weft::protocols::jaeger::DatagramReport;
using weft::protocols::jaeger::Encoding;
using weft::protocols::jaeger::TranscodeStatus;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (Encoding encoding : {Encoding::kCompact, Encoding::kBinary}) {
    weft::base::ByteBuffer out;
    out.Append(std::string_view("before"));
    DatagramReport report;
    const TranscodeStatus status =
        weft::protocols::jaeger::Transcode({data, size}, encoding, &out, &report);
    const bool is_done = status == TranscodeStatus::kDone;
    const size_t written = out.size() - 6;
    const size_t limit =
        weft::protocols::jaeger::kMaxExpansion * size + weft::protocols::jaeger::kFreeBytes;
    if ((!is_done && (written != 0 || report.spans != 0)) || written > limit) {
      std::fprintf(stderr, "status %d: %zu bytes, %llu spans\n", static_cast<int>(status), written,
                   static_cast<unsigned long long>(report.spans));
      std::abort();
    }
  }
  return 0;
}
