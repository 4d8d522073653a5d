// Window: the entries that merge holds, and the indexes by which they are found: exchange id, wire
// context, connection end (client address, port, sequence of the first byte), thread. It also
// remembers the ids of entries that have left, for contexts that are used again. Private to this
// room.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <unordered_map>

#include "merge/entry.h"
#include "merge/process_table.h"

namespace weft::merge {

struct ContextKey {
  base::TraceId trace_id;
  base::SpanId span_id;
  model::Role role = model::Role::kServer;
  bool operator==(const ContextKey&) const = default;
};
struct ContextKeyHash {
  size_t operator()(const ContextKey& k) const {
    return base::IdHash()(k.span_id) ^ (base::IdHash()(k.trace_id) << 1) ^
           static_cast<size_t>(k.role);
  }
};

// Threads: one. Owns: its entries; addresses are stable until Remove.
class Window {
 public:
  // The last place of every entry with a context is remembered for `past_ns`.
  explicit Window(uint64_t past_ns) : past_ns_(past_ns) {}

  Entry& Add(model::Span&& span, ProcessState& process);
  Entry* Find(uint64_t exchange_id);
  // Replaces the span of an open entry by the finished one.
  void Update(Entry& entry, model::Span&& finished);
  // Its request is not open any more.
  void Finish(Entry& entry, uint64_t now_ns);
  // Takes it out of every index; its span is all that is left.
  model::Span Remove(Entry& entry, uint64_t now_ns);

  // The chain of entries that carried this context, of every process and fate; may be null.
  Entry* WithContext(const base::TraceId& trace, const base::SpanId& span, model::Role role);
  // The identity of a past entry of that process with this context.
  IdentityRef Past(const ProcessState& process, const model::WireContext& context,
                   model::Role role) const;
  // The entry of the other role at the same connection with the same first byte; null if none.
  Entry* OtherEnd(const Entry& entry);

  template <typename Visit>
  void ForEach(Visit&& visit) {
    for (auto& [id, entry] : entries_) visit(*entry);
  }

  void ForgetPast(uint64_t now_ns);
  size_t size() const { return entries_.size(); }
  size_t bytes() const { return bytes_; }
  bool has_context(model::Role role) const { return with_context_[static_cast<int>(role)] != 0; }

 private:
  struct EndKey {
    model::Endpoint client;
    uint32_t sequence = 0, stream = 0;
    uint64_t netns = 0;  // of loopback addresses only, which exist in every namespace
    bool operator==(const EndKey&) const = default;
  };
  struct EndKeyHash {
    size_t operator()(const EndKey& k) const {
      return model::EndpointHash()(k.client) ^
             ((uint64_t{k.stream} << 32 | k.sequence) * 0x9E3779B97F4A7C15ull) ^ k.netns;
    }
  };
  struct Ends {
    Entry* by_role[2] = {};
  };
  struct PastKey {
    ContextKey context;
    model::ProcessKey process;
    bool operator==(const PastKey&) const = default;
  };
  struct PastKeyHash {
    size_t operator()(const PastKey& k) const {
      return ContextKeyHash()(k.context) ^ model::ProcessKeyHash()(k.process);
    }
  };
  struct Memory {
    IdentityRef identity;
    uint64_t due_ns = 0;
  };

  static EndKey EndOf(const Entry& entry);
  static ContextKey KeyOf(const Entry& entry);
  void Measure(Entry& entry);
  void Unchain(Entry& entry);
  static void EnterThread(Entry& entry);
  static void LeaveThread(Entry& entry);

  const uint64_t past_ns_;
  std::unordered_map<uint64_t, std::unique_ptr<Entry>> entries_;
  std::unordered_map<ContextKey, Entry*, ContextKeyHash> contexts_;
  std::unordered_map<EndKey, Ends, EndKeyHash> ends_;
  std::unordered_map<PastKey, Memory, PastKeyHash> past_;
  struct PastDue {
    uint64_t due_ns;
    PastKey key;
  };
  std::deque<PastDue> past_order_;
  size_t bytes_ = 0;
  size_t with_context_[2] = {};
};

}  // namespace weft::merge
