// Span: what weft itself says about an Exchange (one HTTP request with its response, seen from one
// side). It never leaves `merge`, which encodes it as OTLP or folds it into the SDK's span.
//
// One Exchange arrives twice: kOpened when its request head is parsed (so that it can be found from
// then on), and kFinished when it is over. Both carry the same exchange id; kFinished repeats
// everything.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
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

// Attributes of one span. Keys are string literals; text values are copied into one string: two
// allocations a span.
class AttributeList {
 public:
  using Value = std::variant<std::string_view, int64_t, bool>;

  // Room for that many attributes and bytes of text in all.
  void Reserve(size_t entries, size_t text_bytes) {
    entries_.reserve(entries), text_.reserve(text_bytes);
  }
  void Add(std::string_view literal_key, std::string_view value) {
    entries_.push_back({literal_key, text_.size(), value.size(), 0, Kind::kText});
    text_.append(value);
  }
  void Add(std::string_view literal_key, int64_t value) {
    entries_.push_back({literal_key, 0, 0, value, Kind::kInt});
  }
  void AddBool(std::string_view literal_key, bool value) {
    entries_.push_back({literal_key, 0, 0, value, Kind::kBool});
  }
  size_t size() const { return entries_.size(); }
  std::string_view key(size_t i) const { return entries_[i].key; }
  Value value(size_t i) const {
    const Entry& e = entries_[i];
    if (e.kind == Kind::kInt) return e.number;
    if (e.kind == Kind::kBool) return e.number != 0;
    return std::string_view(text_).substr(e.offset, e.length);
  }
  // Bytes held, for budgets.
  size_t bytes() const { return text_.capacity() + entries_.capacity() * sizeof(Entry); }

 private:
  enum class Kind : uint8_t { kText, kInt, kBool };
  struct Entry {
    std::string_view key;
    size_t offset, length;
    int64_t number;
    Kind kind;
  };
  std::vector<Entry> entries_;
  std::string text_;
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
