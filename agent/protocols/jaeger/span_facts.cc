#include "protocols/jaeger/span_facts.h"

#include <charconv>

namespace weft::protocols::jaeger {
namespace {

using namespace std::string_view_literals;

constexpr int32_t kNoHttpStatus = -1;

bool EqualsIgnoringCase(std::string_view a, std::string_view lower) {
  if (a.size() != lower.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const char c = a[i] >= 'A' && a[i] <= 'Z' ? static_cast<char>(a[i] + 32) : a[i];
    if (c != lower[i]) return false;
  }
  return true;
}

// "OK", "Ok", "STATUS_CODE_OK", 1, "1" and so on: the spellings of all exporters there have been.
bool ParseStatusCode(const Tag& tag, StatusCode* out) {
  if (tag.type == TagType::kLong) {
    if (tag.number < 0 || tag.number > 2) return false;
    *out = static_cast<StatusCode>(tag.number);
    return true;
  }
  if (tag.type != TagType::kString) return false;
  std::string_view text = tag.text;
  if (text.size() > 12 && EqualsIgnoringCase(text.substr(0, 12), "status_code_"))
    text.remove_prefix(12);
  if (EqualsIgnoringCase(text, "ok") || text == "1") {
    *out = StatusCode::kOk;
  } else if (EqualsIgnoringCase(text, "error") || text == "2") {
    *out = StatusCode::kError;
  } else if (EqualsIgnoringCase(text, "unset") || text == "0") {
    *out = StatusCode::kUnset;
  } else {
    return false;
  }
  return true;
}

bool ParseKind(std::string_view text, model::SpanKind* out) {
  if (text == "server") {
    *out = model::SpanKind::kServer;
  } else if (text == "client") {
    *out = model::SpanKind::kClient;
  } else if (text == "producer") {
    *out = model::SpanKind::kProducer;
  } else if (text == "consumer") {
    *out = model::SpanKind::kConsumer;
  } else if (text == "internal") {
    *out = model::SpanKind::kInternal;
  } else {
    return false;
  }
  return true;
}

int ParseHttpStatus(const Tag& tag) {
  if (tag.type == TagType::kLong) {
    return tag.number >= 0 && tag.number <= INT32_MAX ? static_cast<int>(tag.number) : 0;
  }
  // JavaScript knows no other numbers.
  if (tag.type == TagType::kDouble) {
    return tag.real >= 0 && tag.real < 1000 ? static_cast<int>(tag.real) : 0;
  }
  int code = kNoHttpStatus;
  if (tag.type == TagType::kString) {
    const char* end = tag.text.data() + tag.text.size();
    const auto [rest, error] = std::from_chars(tag.text.data(), end, code);
    if (error != std::errc() || rest != end || code < 0) code = kNoHttpStatus;
  }
  return code;
}

// HTTP says how it went: 4xx is the caller's fault and thus an error of the client's span only.
StatusCode FromHttp(int code, model::SpanKind kind) {
  if (code >= 100 && code < 400) return StatusCode::kUnset;
  if (code >= 400 && code < 500 && kind == model::SpanKind::kServer) return StatusCode::kUnset;
  return StatusCode::kError;
}

}  // namespace

TagUse SpanFacts::Take(const Tag& tag) {
  const auto take_text = [&](std::string_view* field) {
    if (tag.type != TagType::kString) return TagUse::kAttribute;
    *field = tag.text;
    return TagUse::kConsumed;
  };
  // The older name of a field counts only without the newer one, in whatever order they come.
  const auto take_older = [&](std::string_view* field) {
    std::string_view unused;
    return take_text(field->empty() ? field : &unused);
  };
  switch (tag.key.size()) {
    case "error"sv.size():
      if (tag.key != "error" || tag.type != TagType::kBool) break;
      error = tag.flag;
      return error ? TagUse::kConsumed : TagUse::kAttribute;
    case "span.kind"sv.size():
      if (tag.key != "span.kind" || tag.type != TagType::kString) break;
      return ParseKind(tag.text, &kind) ? TagUse::kConsumed : TagUse::kAttribute;
    case "w3c.tracestate"sv.size():
      if (tag.key == "w3c.tracestate") return take_text(&trace_state);
      break;
    case "otel.scope.name"sv.size():
      if (tag.key == "otel.scope.name") return take_text(&scope_name);
      break;
    case "otel.status_code"sv.size():
      static_assert("otel.status_code"sv.size() == "http.status_code"sv.size());
      if (tag.key == "http.status_code") {
        http_status = ParseHttpStatus(tag);
      } else if (tag.key == "otel.status_code" && ParseStatusCode(tag, &status_code)) {
        has_status_code = true;
        return TagUse::kConsumed;
      }
      break;
    case "otel.library.name"sv.size():
      if (tag.key == "otel.library.name") return take_older(&scope_name);
      break;
    case "otel.scope.version"sv.size():
      if (tag.key == "otel.scope.version") return take_text(&scope_version);
      break;
    case "http.status_message"sv.size():
      if (tag.key == "http.status_message" && tag.type == TagType::kString) http_message = tag.text;
      break;
    case "otel.library.version"sv.size():
      if (tag.key == "otel.library.version") return take_older(&scope_version);
      break;
    case "otel.status_description"sv.size():
      if (tag.key != "otel.status_description" || tag.type != TagType::kString) break;
      has_description = true;
      return take_text(&description);
    default:
      break;
  }
  return TagUse::kAttribute;
}

Status SpanFacts::ToStatus() const {
  Status status;
  if (error) {
    status.code = StatusCode::kError;
    status.message = has_description ? description : http_message;
    status.used_description = has_description;
  } else if (has_status_code) {
    status.code = status_code;
    status.message = description;
    status.used_description = has_description;
  } else if (http_status != kNoHttpStatus) {
    status.code = FromHttp(http_status, kind);
    if (status.code != StatusCode::kUnset) status.message = http_message;
  }
  return status;
}

uint64_t SpanFacts::EndNs() const {
  return duration_ns > UINT64_MAX - start_ns ? UINT64_MAX : start_ns + duration_ns;
}

}  // namespace weft::protocols::jaeger
