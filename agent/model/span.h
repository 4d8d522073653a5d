// Span: what weft itself says about an Exchange (one HTTP request with its response, seen from one
// side). It never leaves `merge`, which encodes it as OTLP or folds it into the SDK's span.
//
// One Exchange arrives twice: kOpened when its request head is parsed (so that it can be found from
// then on), and kFinished when it is over. Both carry the same exchange id; kFinished repeats
// everything.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "model/endpoint.h"
#include "model/process.h"

namespace weft::model {

enum class Role : uint8_t { kClient, kServer };

// The context that travelled in the request (W3C traceparent, strictly parsed).
struct WireContext {
  base::TraceId trace_id;
  base::SpanId span_id;
  uint8_t flags = 0;
  std::string trace_state;
};

// Attributes of one span, one behind the other in one allocation. Keys are string literals.
class AttributeList {
 public:
  using Value = std::variant<std::string_view, int64_t, bool>;

  // Room for that many attributes and bytes of text in all.
  void Reserve(size_t entries, size_t text_bytes) {
    records_.reserve(entries * sizeof(Head) + text_bytes);
  }
  void Add(std::string_view literal_key, std::string_view value) {
    Append(literal_key, Kind::kText, value.data(), value.size());
  }
  void Add(std::string_view literal_key, int64_t value) {
    Append(literal_key, Kind::kInt, &value, sizeof value);
  }
  void AddBool(std::string_view literal_key, bool value) {
    Append(literal_key, Kind::kBool, &value, sizeof value);
  }
  // Calls visit(key, value) with a string_view, an int64_t or a bool, in order.
  template <typename Visit>
  void ForEach(Visit&& visit) const {
    Head head;
    for (const char *p = records_.data(), *end = p + records_.size(); p != end; p += head.size) {
      std::memcpy(&head, p, sizeof head);
      p += sizeof head;
      const std::string_view key(head.key, head.key_size);
      if (head.kind == Kind::kText) {
        visit(key, std::string_view(p, head.size));
      } else if (head.kind == Kind::kInt) {
        int64_t number;
        std::memcpy(&number, p, sizeof number);
        visit(key, number);
      } else {
        visit(key, *p != 0);
      }
    }
  }
  // Cost: these three walk from the first one on.
  size_t size() const {
    size_t n = 0;
    ForEach([&n](std::string_view, auto) { ++n; });
    return n;
  }
  std::string_view key(size_t i) const { return At(i).first; }
  Value value(size_t i) const { return At(i).second; }
  // Bytes held, for budgets.
  size_t bytes() const { return records_.capacity(); }

 private:
  enum class Kind : uint8_t { kText, kInt, kBool };
  // Followed by `size` bytes of value.
  struct Head {
    const char* key;
    uint32_t size;
    uint16_t key_size;
    Kind kind;
  };

  void Append(std::string_view key, Kind kind, const void* value, size_t size) {
    const Head head{key.data(), static_cast<uint32_t>(size), static_cast<uint16_t>(key.size()),
                    kind};
    records_.append(reinterpret_cast<const char*>(&head), sizeof head);
    records_.append(static_cast<const char*>(value), size);
  }
  std::pair<std::string_view, Value> At(size_t i) const {
    std::pair<std::string_view, Value> found;
    ForEach([&](std::string_view key, auto value) {
      if (i-- == 0) found = {key, Value(value)};
    });
    return found;
  }

  std::string records_;
};

enum class SpanPhase : uint8_t { kOpened, kFinished };

struct Span {
  SpanPhase phase = SpanPhase::kFinished;
  Role role = Role::kServer;
  uint64_t exchange_id = 0;  // unique for the life of the agent
  ProcessRef process;
  uint32_t thread = 0;  // that read (server) or wrote (client) the request head
  std::optional<WireContext> context;

  // Kernel times, ns since the Unix epoch; 0 = not seen (yet).
  uint64_t request_first_ns = 0, request_last_ns = 0, response_first_ns = 0, response_last_ns = 0;
  uint64_t cut_ns = 0;  // when it was cut short: the stream was reset, the connection closed
  uint64_t request_bytes = 0, response_bytes = 0;  // on the wire, heads included

  // Both kernel ends of one connection carry equal values here (loopback: the network namespace
  // too).
  Endpoint client;  // the side that sends requests
  Endpoint server;  // as this side sees it
  uint64_t netns = 0;
  // Raw TCP sequence number of the request's first byte; 0 where HTTP/2 is read out of a TLS
  // library, since the two ends cut their calls differently: then the stream is enough.
  uint32_t request_sequence = 0;
  uint32_t stream_id = 0;  // HTTP/2; 0 = HTTP/1
  bool is_tls = false;     // read as plaintext of a TLS library

  std::string method;        // as on the wire
  std::string target;        // path without query, as on the wire
  uint16_t status_code = 0;  // 0 = no response seen

  // kFinished only.
  std::string name;
  bool is_error = false;
  // gRPC messages in each direction; nothing where they could not be counted.
  std::optional<uint32_t> request_messages, response_messages;
  AttributeList attributes;  // semantic conventions, without weft.*
};

struct SpanBatch {
  std::vector<Span> items;
};

}  // namespace weft::model
