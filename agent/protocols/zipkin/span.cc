#include "protocols/zipkin/span.h"

#include <algorithm>
#include <cstring>

#include "model/endpoint.h"

namespace weft::protocols::zipkin {
namespace {

using model::SpanKind;

// What the core annotation `value` says about its span's kind; kUnspecified for any other.
SpanKind KindOf(std::string_view value) {
  if (value == "cs" || value == "cr") return SpanKind::kClient;
  if (value == "ss" || value == "sr") return SpanKind::kServer;
  if (value == "ms") return SpanKind::kProducer;
  if (value == "mr") return SpanKind::kConsumer;
  return SpanKind::kUnspecified;
}

}  // namespace

void Endpoint::SetIp(base::ByteView raw) {
  if (std::all_of(raw.begin(), raw.end(), [](uint8_t byte) { return byte == 0; })) return;
  if (raw.size() == 4) {
    uint8_t v4[4];
    std::memcpy(v4, raw.data(), 4);
    ip = model::Endpoint::V4(v4, 0).AddressText();
  } else if (raw.size() == 16) {
    uint8_t v6[16];
    std::memcpy(v6, raw.data(), 16);
    ip = model::Endpoint::V6(v6, 0).AddressText();
  }
}

void Span::Clear() {
  trace_id = {}, id = {}, parent_id = {};
  name = {};
  kind = SpanKind::kUnspecified;
  timestamp_us = duration_us = 0;
  local = {}, remote = {};
  annotations.clear(), tags.clear();
  debug = shared = false;
}

void Version1::Annotation(uint64_t time_us, std::string_view value, const Endpoint& host) {
  if (time_us != 0) {
    early_us_ = early_us_ == 0 ? time_us : std::min(early_us_, time_us);
    late_us_ = std::max(late_us_, time_us);
  }
  const SpanKind kind = KindOf(value);
  if (kind == SpanKind::kUnspecified) {
    if (!fallback_.known()) fallback_ = host;
    span_->annotations.push_back({time_us, value});
    return;
  }
  if (span_->kind == SpanKind::kUnspecified) span_->kind = kind;
  if (!host_.known()) host_ = host;
}

void Version1::Binary(std::string_view key, const Value& value, const Endpoint& host) {
  // "sa" and its like say nothing but whose address it is.
  Endpoint* const peer = key == "sa"   ? &server_
                         : key == "ca" ? &client_
                         : key == "ma" ? &broker_
                                       : nullptr;
  if (peer != nullptr && host.known()) {
    *peer = host;
    return;
  }
  if (!fallback_.known()) fallback_ = host;
  if (key == "lc") {
    component_ = value.text;
    key = "component";
  }
  span_->tags.push_back({key, value});
}

void Version1::Finish() {
  span_->local = host_.known() ? std::move(host_) : std::move(fallback_);
  if (span_->local.service.empty()) span_->local.service = component_;
  Endpoint& remote = span_->kind == SpanKind::kServer ? client_
                     : server_.known()                ? server_
                     : broker_.known()                ? broker_
                                                      : client_;
  span_->remote = std::move(remote);
  if (span_->timestamp_us == 0) {
    span_->timestamp_us = early_us_;
    if (span_->duration_us == 0) span_->duration_us = late_us_ - early_us_;
  }
}

}  // namespace weft::protocols::zipkin
