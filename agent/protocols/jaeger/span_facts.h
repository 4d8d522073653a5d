// Private to protocols/jaeger: what is gathered of one span while its fields go by, and the rules
// by which tags become kind, status, scope and trace state.
#pragma once

#include <cstdint>
#include <string_view>

#include "model/otlp_batch.h"

namespace weft::protocols::jaeger {

enum class TagType : int32_t { kString = 0, kDouble = 1, kBool = 2, kLong = 3, kBinary = 4 };

// One thrift Tag. Views into the datagram.
struct Tag {
  std::string_view key, text, binary;
  TagType type = TagType::kString;
  double real = 0;
  int64_t number = 0;
  bool flag = false;
};

enum class StatusCode : uint8_t { kUnset = 0, kOk = 1, kError = 2 };
struct Status {
  StatusCode code = StatusCode::kUnset;
  std::string_view message;
  bool used_description = false;  // else otel.status_description stays an attribute
};

// Thrift's microseconds as nanoseconds; clamped at both ends instead of wrapped.
inline uint64_t Nanoseconds(int64_t us) {
  if (us <= 0) return 0;
  const uint64_t n = static_cast<uint64_t>(us);
  return n > UINT64_MAX / 1000 ? UINT64_MAX : n * 1000;
}

enum class TagUse : uint8_t { kAttribute, kConsumed };

struct SpanFacts {
  uint64_t trace_low = 0, trace_high = 0, span = 0, parent = 0;
  uint64_t start_ns = 0, duration_ns = 0;
  int32_t flags = 0;
  std::string_view name, trace_state, scope_name, scope_version;
  model::SpanKind kind = model::SpanKind::kUnspecified;

  bool error = false;            // tag error=true
  bool has_status_code = false;  // tag otel.status_code with a spelling that is known
  bool has_description = false;  // tag otel.status_description
  StatusCode status_code = StatusCode::kUnset;
  int http_status = -1;
  std::string_view description, http_message;

  // False for keys of which Take would say kAttribute, whatever their value: all but a few.
  static bool MayTake(std::string_view key) {
    constexpr uint32_t kSizes = 1u << 5 | 1u << 9 | 1u << 14 | 1u << 15 | 1u << 16 | 1u << 17 |
                                1u << 18 | 1u << 19 | 1u << 20 | 1u << 23;
    if (key.size() > 23 || (kSizes >> key.size() & 1) == 0) return false;
    return key[0] == 'o' || key[0] == 'h' || key[0] == 's' || key[0] == 'e' || key[0] == 'w';
  }
  // Looks at one tag of the span. kConsumed: it became a field and is no attribute.
  TagUse Take(const Tag& tag);
  Status ToStatus() const;
  // ns since the Unix epoch; clamped.
  uint64_t EndNs() const;
};

}  // namespace weft::protocols::jaeger
