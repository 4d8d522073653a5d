#include "protocols/zipkin/transcode.h"

#include "protocols/zipkin/compose.h"
#include "protocols/zipkin/reader.h"

namespace weft::protocols::zipkin {
namespace {

TranscodeStatus Finish(TranscodeStatus status, Composer& composer, base::ByteBuffer* out,
                       Report* report) {
  if (composer.expanded()) status = TranscodeStatus::kTooExpanded;
  if (status == TranscodeStatus::kDone) {
    composer.Finish(out);
  } else {
    report->spans = report->bad_ids = 0;
  }
  return status;
}

bool Read(base::ByteView request, Format format, Composer& composer, std::string* error) {
  switch (format) {
    case Format::kJson2:
      return ReadJson(request, false, composer, error);
    case Format::kJson1:
      return ReadJson(request, true, composer, error);
    case Format::kProto2:
      return ReadProto(request, composer, error);
    case Format::kThrift1:
      return ReadThriftList(request, composer, error);
  }
  return false;
}

}  // namespace

std::string_view StatusName(TranscodeStatus status) {
  switch (status) {
    case TranscodeStatus::kDone:
      return "done";
    case TranscodeStatus::kMalformed:
      return "malformed";
    case TranscodeStatus::kWrongProtocol:
      return "wrong_protocol";
    case TranscodeStatus::kUnknownMethod:
      return "unknown_method";
    case TranscodeStatus::kTooExpanded:
      return "too_expanded";
  }
  return "unknown";
}

TranscodeStatus Transcode(base::ByteView request, Format format, const Options& options,
                          base::ByteBuffer* out, Report* report) {
  *report = {};
  Composer composer(options, request.size(), *report);
  const bool ok = Read(request, format, composer, &report->error);
  return Finish(ok ? TranscodeStatus::kDone : TranscodeStatus::kMalformed, composer, out, report);
}

TranscodeStatus TranscodeCall(base::ByteView datagram, bool compact, const Options& options,
                              base::ByteBuffer* out, Report* report) {
  *report = {};
  Composer composer(options, datagram.size(), *report);
  const TranscodeStatus status = ReadThriftCall(datagram, compact, composer, &report->error);
  return Finish(status, composer, out, report);
}

}  // namespace weft::protocols::zipkin
