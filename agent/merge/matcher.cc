#include "merge/matcher.h"

#include <algorithm>
#include <optional>

#include "merge/sdk/span_facts.h"

namespace weft::merge {
namespace {

using model::Role;
using model::SpanKind;
using model::SpanRef;

// SDKs read another clock, and the kernel's stamps are taken after the call.
constexpr uint64_t kSlackNs = 2'000'000;
// A span that does not say what it did must at least begin when the request does.
constexpr uint64_t kVagueSlackNs = 20'000'000;
// Entries looked at for one span.
constexpr int kMaxLooks = 256;

uint64_t Distance(uint64_t a, uint64_t b) { return a > b ? a - b : b - a; }

bool IsClientKind(SpanKind kind) {
  return kind == SpanKind::kClient || kind == SpanKind::kProducer;
}
bool IsServerKind(SpanKind kind) {
  return kind == SpanKind::kServer || kind == SpanKind::kConsumer;
}

// How badly the times fit; less is better.
struct Misfit {
  int rank = 0;
  uint64_t deviation_ns = 0;
  bool operator<(const Misfit& o) const {
    return rank != o.rank ? rank < o.rank : deviation_ns < o.deviation_ns;
  }
};

// A server's exchange encloses the SDK's span; a client's is enclosed by it.
bool Encloses(const Entry& entry, const SpanRef& span) {
  const uint64_t first = entry.span.request_first_ns, last = entry.span.response_last_ns;
  if (entry.is_client()) {
    return span.start_ns <= first + kSlackNs && (last == 0 || last <= span.end_ns + kSlackNs);
  }
  return first <= span.start_ns + kSlackNs && (last == 0 || last + kSlackNs >= span.end_ns);
}

uint64_t Deviation(const Entry& entry, const SpanRef& span) {
  const uint64_t last = entry.span.response_last_ns;
  return Distance(entry.span.request_first_ns, span.start_ns) +
         (last == 0 ? 0 : Distance(last, span.end_ns));
}

// Which of the views that are shown to it, nearest first, is the one that the span describes.
class EdgeSearch {
 public:
  EdgeSearch(const model::OtlpBatch& batch, const SpanRef& span)
      : batch_(batch), span_(span), is_client_(span.kind == SpanKind::kClient) {}

  // False: what comes behind it does not matter any more.
  bool Look(const TimeIndex::Item& item) {
    if (item.entry == nullptr || (request_ && *request_ != item.request)) return true;
    Entry& entry = *item.entry;
    if (IsBeyondBest(entry)) return false;
    if (!entry.is_waiting() || entry.is_claimed || entry.id_is_given_out) return true;
    if (!FitsTimes(entry)) return true;
    if (!has_facts_) {
      ReadFacts();
      if (facts_.is_other_protocol) return false;
    }
    if (FitsFacts(entry)) Consider(entry);
    return true;
  }

  Entry* Result(uint64_t* ambiguous) const {
    // A span that does not say what it did is recognised only if nothing else can be meant.
    const bool is_vague =
        !facts_.has_request() || (is_client_ && !facts_.is_grpc && facts_.path.empty());
    if (candidates_ <= 1 || !is_vague || best_misfit_.rank == 0) return best_;
    ++*ambiguous;
    return nullptr;
  }

 private:
  // Further away it only gets worse.
  bool IsBeyondBest(const Entry& entry) const {
    if (best_ == nullptr || (best_misfit_.rank != 0 && port() != 0)) return false;
    if (candidates_ <= 1 && !facts_.has_request()) return false;
    if (!is_client_) return best_->span.request_first_ns <= span_.start_ns;
    // That there are two matters if the span is vague.
    const bool is_vague = !facts_.is_grpc && facts_.path.empty();
    return (candidates_ > 1 || !is_vague) &&
           Distance(entry.span.request_first_ns, span_.start_ns) > best_misfit_.deviation_ns;
  }
  bool FitsTimes(const Entry& entry) const {
    if (is_client_) return Encloses(entry, span_);
    const uint64_t last_ns = entry.span.response_last_ns;
    return last_ns == 0 || last_ns + kSlackNs >= span_.start_ns;
  }
  void ReadFacts() {
    facts_ = ReadSpanFacts(batch_.bytes->view().subspan(span_.body.offset, span_.body.size));
    has_facts_ = true;
    request_ = HashRequest(facts_);
  }
  bool FitsFacts(const Entry& entry) const {
    if (!FitsRequest(facts_, entry.span.method, entry.span.target)) return false;
    return facts_.has_request() ||
           (Encloses(entry, span_) &&
            Distance(entry.span.request_first_ns, span_.start_ns) <= kVagueSlackNs);
  }
  void Consider(Entry& entry) {
    ++candidates_;
    const uint16_t seen = is_client_ ? entry.span.server.port : entry.span.client.port;
    const Misfit misfit{port() != 0 && port() == seen ? 0 : 1,
                        is_client_ ? Deviation(entry, span_)
                                   : Distance(entry.span.request_first_ns, span_.start_ns)};
    if (best_ == nullptr || misfit < best_misfit_) best_ = &entry, best_misfit_ = misfit;
  }
  // What the span says of the other end.
  uint16_t port() const { return is_client_ ? facts_.server_port : facts_.peer_port; }

  const model::OtlpBatch& batch_;
  const SpanRef& span_;
  const bool is_client_;
  SpanFacts facts_;
  bool has_facts_ = false;
  std::optional<uint32_t> request_;
  int candidates_ = 0;
  Entry* best_ = nullptr;
  Misfit best_misfit_;
};

}  // namespace

void Matcher::Match(const model::OtlpBatch& batch, ProcessState* sender, MatchResult* out) {
  second_pass_.clear();
  resources_.Begin();
  for (uint32_t i = 0; i < batch.spans.size(); ++i) {
    if (!batch.spans[i].dropped) MatchIds(batch, i, sender, false, out);
  }
  for (uint32_t i : second_pass_) MatchIds(batch, i, sender, true, out);
  if (sender == nullptr) return;
  // What is unmatched so far may still meet a view without context.
  size_t kept = 0;
  for (uint32_t i : out->unmatched) {
    const SpanRef& span = batch.spans[i];
    if (Entry* entry = BestAtEdge(batch, span, *sender, &out->ambiguous)) {
      entry->is_claimed = true;
      out->hits.push_back({i, entry});
      ++out->edge;
    } else {
      out->unmatched[kept++] = i;
    }
  }
  out->unmatched.resize(kept);
}

// Spans of the fitting kind choose first; in the second pass those whose kind says nothing.
void Matcher::MatchIds(const model::OtlpBatch& batch, uint32_t index, const ProcessState* sender,
                       bool is_second_pass, MatchResult* out) {
  const SpanRef& span = batch.spans[index];
  // Not only those of the sender: it may bring what others sent it.
  const auto has = [&](Role role) { return window_.has_context(role); };
  Entry* as_client = has(Role::kClient)
                         ? window_.WithContext(span.trace_id, span.span_id, Role::kClient)
                         : nullptr;
  Entry* as_server = nullptr;
  if (!span.parent_id.IsZero() && !IsClientKind(span.kind) && has(Role::kServer)) {
    as_server = window_.WithContext(span.trace_id, span.parent_id, Role::kServer);
  }
  if (IsServerKind(span.kind)) {
    // Its own id travelled as a context: what carried it is its child, not itself.
    if (as_client != nullptr) out->taken.push_back(as_client);
    as_client = nullptr;
  }
  Entry* found = nullptr;
  if (as_client != nullptr || as_server != nullptr) {
    if (!is_second_pass && !IsClientKind(span.kind) && !IsServerKind(span.kind)) {
      second_pass_.push_back(index);
      return;
    }
    if (is_second_pass && IsCallOfSender(span, sender)) as_server = nullptr;
    found = Best(as_client, span, sender, &out->ambiguous);
    if (as_client != nullptr) out->taken.push_back(as_client);
    if (found == nullptr) found = Best(as_server, span, sender, &out->ambiguous);
    if (found == nullptr && sender != nullptr) {
      found = BestElsewhere(as_client, batch, index, *sender, &out->ambiguous);
      if (found == nullptr) {
        found = BestElsewhere(as_server, batch, index, *sender, &out->ambiguous);
      }
    }
  }
  if (found != nullptr) {
    found->is_claimed = true;
    out->hits.push_back({index, found});
  } else if (span.kind == SpanKind::kClient || span.kind == SpanKind::kServer) {
    out->unmatched.push_back(index);
  }
}

// A child of a call that the same process made is no request to it, even if it calls itself.
bool Matcher::IsCallOfSender(const SpanRef& span, const ProcessState* sender) const {
  return Carried(window_.WithContext(span.trace_id, span.parent_id, Role::kClient), span, sender);
}

// Whether an exchange of the chain is one of this process.
bool Matcher::Carried(Entry* chain, const SpanRef& span, const ProcessState* process) const {
  if (chain == nullptr || process == nullptr ||
      process->with_context[static_cast<size_t>(chain->span.role)] == 0) {
    return false;
  }
  bool is_found = false;
  window_.ForEachNear(chain, span.start_ns, kMaxLooks, [&](const Entry& e) {
    is_found |= e.process == process;
    return !is_found;
  });
  return is_found;
}

Entry* Matcher::Best(Entry* chain, const SpanRef& span, const ProcessState* sender,
                     uint64_t* ambiguous) const {
  Entry* best = nullptr;
  Misfit best_misfit;
  const ProcessState* only = sender;
  bool is_ambiguous = false;
  window_.ForEachNear(chain, span.start_ns, kMaxLooks, [&](Entry& e) {
    if (e.is_claimed || !e.is_waiting()) return true;
    if (sender != nullptr && e.process != sender) return true;
    // Whoever forwards a header is not its author.
    if (e.parenthood == Parenthood::kForwarded) return true;
    is_ambiguous |= only != nullptr && e.process != only;
    only = e.process;
    const Misfit misfit{Encloses(e, span) ? 0 : 1, Deviation(e, span)};
    if (best == nullptr || misfit < best_misfit) best = &e, best_misfit = misfit;
    // Those that begin further away than this one deviates do not fit better. Whether they are of
    // another process matters where the ids alone decide.
    return sender == nullptr || best_misfit.rank != 0 ||
           Distance(e.indexed_at_ns, span.start_ns) <= best_misfit.deviation_ns;
  });
  if (!is_ambiguous) return best;
  ++*ambiguous;
  return nullptr;
}

// The sender carried no such context itself: it forwards. The ids are the proof then, if one other
// process alone carried them, times contain each other, and the span's resource does not name
// another process; it must name this one where ids alone could deceive: the sender speaks HTTP of
// its own, or that process passes on what others sent it.
Entry* Matcher::BestElsewhere(Entry* chain, const model::OtlpBatch& batch, uint32_t index,
                              const ProcessState& sender, uint64_t* ambiguous) {
  if (chain == nullptr) return nullptr;
  const SpanRef& span = batch.spans[index];
  const model::WireContext& context = *chain->span.context;
  if (window_.Past(sender, context, chain->span.role)) return nullptr;
  if (Carried(chain, span, &sender)) return nullptr;
  Entry* found = Best(chain, span, nullptr, ambiguous);
  if (found == nullptr || !Encloses(*found, span) || found->span.process == nullptr) return nullptr;
  // The next owner of a pid does not speak for the one before (case F46).
  if (found->process->key.pid == sender.key.pid) return nullptr;
  const Origin origin = OriginOf(resources_.FactsOf(batch, index), *found->span.process);
  const bool needs_proof = sender.had_entries || found->process->forwards_contexts;
  if (origin == Origin::kOther || (needs_proof && origin != Origin::kSame)) return nullptr;
  return found;
}

Entry* Matcher::BestAtEdge(const model::OtlpBatch& batch, const SpanRef& span,
                           const ProcessState& sender, uint64_t* ambiguous) const {
  const bool is_client = span.kind == SpanKind::kClient;
  const auto& bare = sender.bare[static_cast<size_t>(is_client ? Role::kClient : Role::kServer)];
  if (bare.empty()) return nullptr;
  EdgeSearch search(batch, span);
  if (is_client) {
    // Oldest first: a client's exchange begins just after the span, which may last long.
    const uint64_t begin_ns = span.start_ns - std::min(span.start_ns, kSlackNs + 1);
    auto it = bare.Above(begin_ns);
    for (int looks = 0; it != bare.end() && looks < kMaxLooks; ++it, ++looks) {
      if (it->first_ns > span.end_ns + kSlackNs || !search.Look(*it)) break;
    }
  } else {
    // Newest first: a server's exchange began just before the span.
    auto it = bare.Above(span.start_ns + kSlackNs);
    for (int looks = 0; it != bare.begin() && looks < kMaxLooks; ++looks) {
      if (!search.Look(*--it)) break;
    }
  }
  return search.Result(ambiguous);
}

}  // namespace weft::merge
