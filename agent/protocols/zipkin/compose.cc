#include "protocols/zipkin/compose.h"

#include <algorithm>
#include <charconv>

namespace weft::protocols::zipkin {
namespace {

using namespace std::string_view_literals;
namespace field = otlp::field;
using model::SpanKind;
using otlp::Writer;

uint64_t Nanoseconds(uint64_t us) { return us > UINT64_MAX / 1000 ? UINT64_MAX : us * 1000; }

bool EqualsIgnoringCase(std::string_view a, std::string_view lower) {
  return a.size() == lower.size() &&
         std::equal(a.begin(), a.end(), lower.begin(), [](char c, char l) {
           return (c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c) == l;
         });
}

// 0 unset, 1 ok, 2 error; "ERROR", "Error" and "STATUS_CODE_ERROR" are all in use. -1: neither.
int ParseStatusCode(std::string_view text) {
  if (text.size() > 12 && EqualsIgnoringCase(text.substr(0, 12), "status_code_"))
    text.remove_prefix(12);
  if (EqualsIgnoringCase(text, "unset")) return 0;
  if (EqualsIgnoringCase(text, "ok")) return 1;
  return EqualsIgnoringCase(text, "error") ? 2 : -1;
}

// Names of the semantic conventions that describe who sent the span, not the span.
bool IsResourceKey(std::string_view key) {
  const auto begins = [key](auto... groups) { return (key.starts_with(groups) || ...); };
  switch (key.empty() ? '\0' : key.front()) {
    case 'a':
      return begins("aws.ecs."sv, "aws.eks."sv, "aws.log."sv);
    case 'b':
      return begins("browser."sv);
    case 'c':
      return begins("container."sv, "cloud."sv);
    case 'd':
      return begins("device."sv, "deployment."sv);
    case 'f':
      return key == "faas.name" || key == "faas.id" || key == "faas.version" ||
             key == "faas.instance" || key == "faas.max_memory";
    case 'h':
      return begins("host."sv);
    case 'k':
      return begins("k8s."sv);
    case 'o':
      return begins("os."sv);
    case 'p':
      return begins("process."sv);
    case 's':
      return begins("service."sv) && key != "service.name";
    case 't':
      return begins("telemetry."sv);
    case 'w':
      return begins("webengine."sv);
    default:
      return false;
  }
}

void PutAttribute(base::ByteBuffer& out, uint32_t number, std::string_view key,
                  const Value& value) {
  Writer w(out);
  switch (value.kind) {
    case Value::Kind::kText:
      return otlp::WriteAttribute(w, number, key, value.text);
    case Value::Kind::kBool:
      return otlp::WriteAttribute(w, number, key, value.number != 0);
    case Value::Kind::kInt:
      return otlp::WriteAttribute(w, number, key, value.number);
    case Value::Kind::kDouble:
      return otlp::WriteAttribute(w, number, key, value.real);
    case Value::Kind::kBytes:
      return otlp::WriteBytesAttribute(w, number, key, base::AsBytes(value.text));
  }
}

bool HasTag(const Span& span, std::string_view key) {
  return std::any_of(span.tags.begin(), span.tags.end(),
                     [key](const Tag& tag) { return tag.key == key; });
}

// What an OTLP exporter packs into one string: "head|…|{json}|dropped". False if `text` is not of
// that form.
bool SplitPacked(std::string_view text, std::string_view* head, std::string_view* json,
                 uint32_t* dropped) {
  const size_t last = text.rfind('|');
  const size_t open = text.find("|{");
  if (open == std::string_view::npos || last <= open) return false;
  const std::string_view number = text.substr(last + 1);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), *dropped);
  if (error != std::errc() || end != number.data() + number.size()) return false;
  *head = text.substr(0, open);
  *json = text.substr(open + 1, last - open - 1);
  return true;
}

}  // namespace

bool Composer::Consume(const Span& span, const Tag& tag, Facts* facts) {
  const std::string_view key = tag.key, text = tag.value.text;
  if (key == "error") {
    // Zipkin's rule: the tag is the error, whatever it says.
    facts->has_error = true;
    return text == "true" || (tag.value.kind == Value::Kind::kBool && tag.value.number != 0);
  }
  if (key == "peer.service") facts->has_peer_service = true;
  if (tag.value.kind != Value::Kind::kText) return false;
  if (key.starts_with("otel.") || key.starts_with("otlp.")) {
    if (key == "otel.scope.name") return facts->scope_name = text, true;
    if (key == "otel.scope.version") return facts->scope_version = text, true;
    // The older names count only without the newer ones.
    if (key == "otel.library.name")
      return facts->scope_name = facts->scope_name.empty() ? text : facts->scope_name, true;
    if (key == "otel.library.version")
      return facts->scope_version = facts->scope_version.empty() ? text : facts->scope_version,
             true;
    if (key == "otel.status_code" && ParseStatusCode(text) >= 0)
      return facts->status_code = text, true;
    if (key == "otel.status_description") return facts->description = text, true;
    if (key == "otlp.service.name.source") return facts->service_key = text, true;
    if (key.starts_with("otlp.link.")) return Link(text);
    return false;
  }
  if (key == "w3c.tracestate") return facts->trace_state = text, true;
  if (key == "span.kind" && text == "internal" && span.kind == SpanKind::kUnspecified)
    return facts->is_internal = true, true;
  if (!IsResourceKey(key)) return false;
  PutAttribute(resource_, field::kResourceAttribute, key, tag.value);
  return true;
}

void Composer::Attribute(std::string_view key, const Value& value) {
  PutAttribute(spans_, field::kAttribute, key, value);
}

void Composer::Endpoints(const Span& span, const Facts& facts) {
  const bool stable = options_.stable_names;
  const auto put = [&](const Endpoint& endpoint, const char* ip_key, const char* port_key) {
    if (!endpoint.ip.empty() && !HasTag(span, ip_key))
      Attribute(ip_key, {Value::Kind::kText, endpoint.ip});
    if (endpoint.port != 0 && !HasTag(span, port_key))
      Attribute(port_key, {Value::Kind::kInt, {}, endpoint.port});
  };
  put(span.local, stable ? "network.local.address" : "net.host.ip",
      stable ? "network.local.port" : "net.host.port");
  put(span.remote, stable ? "network.peer.address" : "net.peer.ip",
      stable ? "network.peer.port" : "net.peer.port");
  if (!span.remote.service.empty() && !facts.has_peer_service)
    Attribute("peer.service", {Value::Kind::kText, span.remote.service});
}

void Composer::Event(const Annotation& annotation) {
  Writer w(spans_);
  const size_t event = w.Begin(field::kEvent);
  w.Fixed64(field::kEventTime, Nanoseconds(annotation.time_us));
  std::string_view name = annotation.value, head, json;
  uint32_t dropped;
  if (SplitPacked(name, &head, &json, &dropped) &&
      AppendJsonAttributes(json, field::kEventAttribute, &spans_)) {
    name = head;
    if (dropped != 0) w.Uint(field::kEventDropped, dropped);
  }
  w.Text(field::kEventName, name);
  w.End(event);
}

// "trace id|span id|trace state|{json}|dropped". Anything else stays an attribute.
bool Composer::Link(std::string_view text) {
  std::string_view head, json;
  uint32_t dropped;
  if (!SplitPacked(text, &head, &json, &dropped)) return false;
  const size_t first = head.find('|'), second = head.find('|', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos) return false;
  base::TraceId trace;
  base::SpanId id;
  if (!ParseHexId(head.substr(0, first), &trace) ||
      !ParseHexId(head.substr(first + 1, second - first - 1), &id)) {
    return false;
  }
  Writer w(spans_);
  const size_t begin = spans_.size(), link = w.Begin(field::kLink);
  if (!AppendJsonAttributes(json, field::kLinkAttribute, &spans_)) {
    spans_.Truncate(begin);
    return false;
  }
  w.Bytes(field::kLinkTraceId, trace.view());
  w.Bytes(field::kLinkSpanId, id.view());
  if (second + 1 < head.size()) w.Text(field::kLinkTraceState, head.substr(second + 1));
  if (dropped != 0) w.Uint(field::kLinkDropped, dropped);
  w.End(link);
  return true;
}

void Composer::Status(const Facts& facts) {
  const int code = facts.has_error ? 2 : std::max(0, ParseStatusCode(facts.status_code));
  if (!facts.description.empty() && !facts.has_error && facts.status_code.empty())
    return Attribute("otel.status_description", {Value::Kind::kText, facts.description});
  if (code == 0 && facts.description.empty()) return;
  Writer w(spans_);
  const size_t status = w.Begin(field::kStatus);
  if (!facts.description.empty()) w.Text(field::kStatusMessage, facts.description);
  if (code != 0) w.Uint(field::kStatusCode, static_cast<uint64_t>(code));
  w.End(status);
}

void Composer::Scalars(const Span& span, const Facts& facts) {
  Writer w(spans_);
  w.Bytes(field::kTraceId, span.trace_id.view());
  w.Bytes(field::kSpanId, span.id.view());
  // Some clients write a root's own id as its parent.
  if (!span.parent_id.IsZero() && span.parent_id != span.id)
    w.Bytes(field::kParentSpanId, span.parent_id.view());
  w.Text(field::kName, span.name);
  const SpanKind kind = facts.is_internal ? SpanKind::kInternal : span.kind;
  if (kind != SpanKind::kUnspecified) w.Uint(field::kKind, static_cast<uint64_t>(kind));
  const uint64_t start = Nanoseconds(span.timestamp_us), duration = Nanoseconds(span.duration_us);
  w.Fixed64(field::kStart, start);
  w.Fixed64(field::kEnd, duration > UINT64_MAX - start ? UINT64_MAX : start + duration);
  if (!facts.trace_state.empty()) w.Text(field::kTraceState, facts.trace_state);
  if (span.timestamp_us == 0)
    otlp::WriteAttribute(w, field::kAttribute, "otel.zipkin.absentField.startTime", true);
  if (span.debug) otlp::WriteAttribute(w, field::kAttribute, "zipkin.debug", true);
  if (span.shared) otlp::WriteAttribute(w, field::kAttribute, "zipkin.shared", true);
}

bool Composer::Add(const Span& span) {
  if (span.trace_id.IsZero() || span.id.IsZero()) {
    ++report_.bad_ids;
    return true;
  }
  const size_t begin = spans_.size();
  resource_.clear();
  Facts facts;
  for (const Tag& tag : span.tags) {
    if (!Consume(span, tag, &facts)) Attribute(tag.key, tag.value);
  }
  Endpoints(span, facts);
  for (const Annotation& annotation : span.annotations) Event(annotation);
  Scalars(span, facts);
  Status(facts);
  ++report_.spans;
  Place(begin, span, facts);
  expanded_ = spans_.size() + key_bytes_ + 16 * groups_.size() > limit_;
  return !expanded_;
}

// Puts the span that ends spans_ into the group of its resource and scope.
void Composer::Place(size_t begin, const Span& span, const Facts& facts) {
  base::ByteBuffer head(64 + span.local.service.size());
  Writer w(head);
  const size_t resource = w.Begin(field::kResource);
  if (!span.local.service.empty()) {
    otlp::WriteAttribute(w, field::kResourceAttribute,
                         facts.service_key.empty() ? "service.name" : facts.service_key,
                         span.local.service);
  }
  w.Raw(resource_.view());
  w.End(resource);
  const size_t resource_end = head.size();
  if (!facts.scope_name.empty() || !facts.scope_version.empty()) {
    const size_t scope = w.Begin(field::kScope);
    if (!facts.scope_name.empty()) w.Text(field::kScopeName, facts.scope_name);
    if (!facts.scope_version.empty()) w.Text(field::kScopeVersion, facts.scope_version);
    w.End(scope);
  }
  key_.assign(base::AsText(head.view()));
  const size_t index = placed_.size();
  placed_.push_back({begin, spans_.size() - begin, SIZE_MAX});
  if (groups_.empty() || keys_[last_group_] != key_) {
    const auto [found, is_new] = by_key_.try_emplace(key_, groups_.size());
    last_group_ = found->second;
    if (is_new) {
      keys_.push_back(key_);
      key_bytes_ += key_.size();
      groups_.push_back({index, index, resource_end});
      return;
    }
  }
  Group& group = groups_[last_group_];
  placed_[group.last].next = index;
  group.last = index;
}

void Composer::Finish(base::ByteBuffer* out) {
  Writer w(*out);
  for (size_t g = 0; g < groups_.size(); ++g) {
    const base::ByteView head = base::AsBytes(keys_[g]);
    const size_t resource_end = groups_[g].resource_end;
    const size_t resource = w.Begin(field::kResourceSpans);
    w.Raw(head.first(resource_end));
    const size_t scope = w.Begin(field::kScopeSpans);
    w.Raw(head.subspan(resource_end));
    for (size_t i = groups_[g].first; i != SIZE_MAX; i = placed_[i].next) {
      w.Bytes(field::kSpan, spans_.view().subspan(placed_[i].offset, placed_[i].size));
    }
    w.End(scope);
    w.End(resource);
  }
}

}  // namespace weft::protocols::zipkin
