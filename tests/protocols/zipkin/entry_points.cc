#include "protocols/zipkin/entry_points.h"

#include "protocols/otlp/index.h"
#include "protocols/zipkin/transcode.h"

namespace weft::protocols::zipkin {
namespace {

std::string Check(base::ByteView input, TranscodeStatus status, const Report& report,
                  base::ByteBuffer&& out) {
  if (status != TranscodeStatus::kDone) {
    if (!out.empty() || report.spans != 0) return "a refused request left something behind";
    return {};
  }
  if (out.size() > 2 * (kMaxExpansion * input.size() + kFreeBytes))
    return "written beyond the bound";
  model::OtlpBatch batch;
  const otlp::IndexReport index = otlp::Index(base::Share(std::move(out)), &batch);
  if (index.status != otlp::IndexStatus::kDone) return std::string("not OTLP: ") + index.reason;
  if (index.spans != report.spans) return "miscounted spans";
  if (index.zero_ids != 0) return "a span without ids was written";
  if (index.bad_utf8 != 0) return "bad UTF-8 was written";
  return {};
}

}  // namespace

std::string TryAll(base::ByteView bytes) {
  for (Format format : {Format::kJson2, Format::kProto2, Format::kJson1, Format::kThrift1}) {
    base::ByteBuffer out;
    Report report;
    const auto status = Transcode(bytes, format, {}, &out, &report);
    std::string wrong = Check(bytes, status, report, std::move(out));
    if (!wrong.empty()) return wrong;
  }
  for (bool compact : {false, true}) {
    base::ByteBuffer out;
    Report report;
    const auto status = TranscodeCall(bytes, compact, {}, &out, &report);
    std::string wrong = Check(bytes, status, report, std::move(out));
    if (!wrong.empty()) return wrong;
  }
  return {};
}

}  // namespace weft::protocols::zipkin
