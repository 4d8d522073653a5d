#include "exporters/collector/request.h"

#include <algorithm>
#include <iterator>

#include "protocols/otlp/gather.h"
#include "protocols/otlp/index.h"

namespace weft::exporters::collector {
namespace {

namespace otlp = protocols::otlp;

// Vectors, owners and map nodes of an Item; measured roughly, so that a queue of tiny batches stays
// within its budget too.
constexpr uint64_t kItemOverhead = 512;
// Compressing a smaller batch again, together with others, costs less than a request for each.
constexpr uint64_t kWorthARequest = 32 << 10;

// Calls `visit(resource, scope, span)` with the indices of every live span, in order.
template <typename Visit>
void ForEachLive(const model::OtlpBatch& batch, Visit visit) {
  for (uint32_t r = 0; r < batch.resources.size(); ++r) {
    const model::ResourceGroup& resource = batch.resources[r];
    for (uint32_t s = resource.first_scope; s < resource.first_scope + resource.scope_count; ++s) {
      const model::ScopeGroup& scope = batch.scopes[s];
      for (uint32_t i = scope.first_span; i < scope.first_span + scope.span_count; ++i)
        if (!batch.spans[i].dropped) visit(r, s, i);
    }
  }
}

uint64_t SizeOf(const auto& group) { return uint64_t{group.head.size} + group.tail.size; }

uint64_t SizeOf(const model::OtlpBatch& batch, const model::SpanRef& span) {
  return span.body.size + (span.append != 0 ? batch.appends[span.append - 1].size() : 0);
}

// Part 0 is the first `cut` live spans, part 1 the others.
std::vector<uint32_t> PartsAt(const model::OtlpBatch& batch, uint64_t cut) {
  std::vector<uint32_t> part(batch.spans.size());
  uint64_t position = 0;
  ForEachLive(batch, [&](uint32_t, uint32_t, uint32_t i) { part[i] = position++ >= cut; });
  return part;
}

// How many live spans to put into the first of two parts of about the same size; 0: do not cut.
// Both parts carry the envelopes of the place of the cut. Where these take more than half of a
// request, repeating them would multiply the bytes instead of dividing them, so no cut falls there.
uint64_t FindCut(const model::OtlpBatch& batch, uint64_t max_bytes) {
  uint64_t total = 0;
  for (const model::SpanRef& span : batch.spans) total += span.dropped ? 0 : span.body.size;
  uint64_t best = 0, best_distance = UINT64_MAX, position = 0, before = 0;
  uint32_t last_resource = UINT32_MAX, last_scope = UINT32_MAX;
  ForEachLive(batch, [&](uint32_t r, uint32_t s, uint32_t i) {
    uint64_t repeated = 0;
    if (r == last_resource) repeated += SizeOf(batch.resources[r]);
    if (s == last_scope) repeated += SizeOf(batch.scopes[s]);
    const uint64_t distance = 2 * before > total ? 2 * before - total : total - 2 * before;
    if (position > 0 && repeated <= max_bytes / 2 && distance < best_distance) {
      best = position;
      best_distance = distance;
    }
    before += batch.spans[i].body.size;
    ++position;
    last_resource = r;
    last_scope = s;
  });
  return best;
}

void AddItems(const model::OtlpBatch& batch, uint64_t spans, uint64_t max_bytes,
              std::vector<Item>* out) {
  base::Gathered payload = otlp::Gather(batch);
  const bool traces = batch.signal == model::Signal::kTraces;
  const uint64_t cut =
      traces && payload.size > max_bytes && spans > 1 ? FindCut(batch, max_bytes) : 0;
  if (cut != 0) {
    payload = {};
    const std::vector<uint32_t> part = PartsAt(batch, cut);
    AddItems(otlp::Select(batch, part, 0), cut, max_bytes, out);
    AddItems(otlp::Select(batch, part, 1), spans - cut, max_bytes, out);
    return;
  }
  Item item;
  item.signal = batch.signal;
  item.spans = spans;
  item.payload = std::move(payload);
  if (!batch.edited && item.payload.size >= kWorthARequest) item.packed = batch.packed;
  out->push_back(std::move(item));
}

// Parts of one batch share its bytes: together they are charged once, each for its share.
void ChargeItems(uint64_t charge, const std::vector<Item*>& items) {
  if (items.size() == 1) {
    // A batch whose spans were mostly dropped still keeps all of its bytes alive.
    Item& only = *items.front();
    only.charge = std::max(only.payload.size + kItemOverhead, charge);
    return;
  }
  uint64_t total = 0;
  for (const Item* item : items) total += item->payload.size;
  const double share = static_cast<double>(charge) / static_cast<double>(total);
  for (Item* item : items) {
    item->charge =
        kItemOverhead + static_cast<uint64_t>(share * static_cast<double>(item->payload.size));
  }
}

// Charges all, and makes them share the promise.
void Finish(uint64_t charge, const std::shared_ptr<Promise>& promise,
            std::vector<std::vector<Item>>* owned) {
  std::vector<Item*> all;
  for (std::vector<Item>& items : *owned)
    for (Item& item : items) all.push_back(&item);
  ChargeItems(charge, all);
  for (Item* item : all) item->promise = promise;
}

std::vector<std::vector<Item>> Divide(const model::OtlpBatch& batch, uint64_t max_bytes,
                                      uint32_t owners, const Owner& owner) {
  std::vector<std::vector<Item>> out(owners);
  std::vector<uint32_t> part(batch.spans.size());
  std::vector<uint64_t> spans(owners);
  uint32_t used = 0, last = 0;
  for (size_t i = 0; i < batch.spans.size(); ++i) {
    if (batch.spans[i].dropped) continue;
    part[i] = last = owner(batch.spans[i].trace_id);
    used += spans[last]++ == 0;
  }
  if (used == 1) {
    AddItems(batch, spans[last], max_bytes, &out[last]);
  } else {
    for (uint32_t o = 0; o < owners; ++o)
      if (spans[o] > 0) AddItems(otlp::Select(batch, part, o), spans[o], max_bytes, &out[o]);
  }
  return out;
}

// A place to cut a batch in two.
struct Cut {
  uint64_t position = 0;  // live spans before it; 0 = none
  uint64_t larger = UINT64_MAX, repeated = 0;
};

// The cut that makes the larger part smallest; one between envelopes when it is nearly as good.
Cut BestCut(const model::OtlpBatch& batch) {
  uint64_t total = 0;
  for (const auto& group : batch.resources) total += SizeOf(group);
  for (const auto& group : batch.scopes) total += SizeOf(group);
  ForEachLive(batch,
              [&](uint32_t, uint32_t, uint32_t i) { total += SizeOf(batch, batch.spans[i]); });
  Cut between, any;
  uint64_t left = 0, position = 0;
  uint32_t last_resource = UINT32_MAX, last_scope = UINT32_MAX;
  ForEachLive(batch, [&](uint32_t r, uint32_t s, uint32_t i) {
    uint64_t repeated = 0;
    if (r == last_resource) repeated += SizeOf(batch.resources[r]);
    if (s == last_scope) repeated += SizeOf(batch.scopes[s]);
    const Cut cut{position, std::max(left, total - left + repeated), repeated};
    if (position > 0 && cut.larger < any.larger) any = cut;
    if (position > 0 && s != last_scope && cut.larger < between.larger) between = cut;
    if (r != last_resource) left += SizeOf(batch.resources[r]);
    if (s != last_scope) left += SizeOf(batch.scopes[s]);
    left += SizeOf(batch, batch.spans[i]);
    ++position;
    last_resource = r;
    last_scope = s;
  });
  return between.larger <= total / 4 * 3 || between.larger <= any.larger ? between : any;
}

// The live span that makes the smallest request, with its envelopes.
uint32_t SmallestSpan(const model::OtlpBatch& batch) {
  uint32_t best = 0;
  uint64_t best_size = UINT64_MAX;
  ForEachLive(batch, [&](uint32_t r, uint32_t s, uint32_t i) {
    const uint64_t size =
        SizeOf(batch.resources[r]) + SizeOf(batch.scopes[s]) + SizeOf(batch, batch.spans[i]);
    if (size >= best_size) return;
    best = i;
    best_size = size;
  });
  return best;
}

bool Reindex(const base::Gathered& payload, model::OtlpBatch* batch) {
  return otlp::Index(base::Share(otlp::Flatten(payload)), batch).status == otlp::IndexStatus::kDone;
}

// What both halves of an item have in common.
void SplitBooks(Item* item, Item* second, uint64_t second_spans) {
  second->signal = item->signal;
  second->spans = second_spans;
  second->charge = item->charge / 2;
  second->promise = item->promise;
  item->spans -= second_spans;
  item->charge -= second->charge;
  item->packed.reset();
}

bool HalveOpaque(Item* item, Item* second) {
  if (item->signal == model::Signal::kProfiles) return false;
  base::SharedBytes flat = base::Share(otlp::Flatten(item->payload));
  const std::vector<size_t> ends = otlp::EntryEnds(flat->view());
  if (ends.size() < 2) return false;
  const size_t half = flat->size() / 2;
  size_t cut = ends[0];
  for (size_t i = 0; i + 1 < ends.size(); ++i) {
    const auto off = [half](size_t at) { return at > half ? at - half : half - at; };
    if (off(ends[i]) < off(cut)) cut = ends[i];
  }
  const double share = static_cast<double>(flat->size() - cut) / static_cast<double>(flat->size());
  SplitBooks(item, second, static_cast<uint64_t>(share * static_cast<double>(item->spans) + 0.5));
  item->payload = {};
  item->payload.Add(flat->view().first(cut));
  item->payload.owners.push_back(flat);
  second->payload = {};
  second->payload.Add(flat->view().subspan(cut));
  second->payload.owners.push_back(flat);
  return true;
}

bool HalveItem(Item* item, Item* second) {
  if (item->signal != model::Signal::kTraces) return HalveOpaque(item, second);
  model::OtlpBatch batch;
  if (item->spans < 2 || !Reindex(item->payload, &batch)) return false;
  const uint64_t live = batch.live_count();
  const Cut cut = BestCut(batch);
  if (live != item->spans || cut.position == 0) return false;
  std::vector<uint32_t> part;
  uint64_t first = cut.position;
  if (cut.repeated > item->payload.size / 2) {
    part.assign(batch.spans.size(), 1);
    part[SmallestSpan(batch)] = 0;
    first = 1;
  } else {
    part = PartsAt(batch, cut.position);
  }
  SplitBooks(item, second, live - first);
  second->payload = otlp::Gather(otlp::Select(batch, part, 1));
  item->payload = otlp::Gather(otlp::Select(batch, part, 0));
  return true;
}

}  // namespace

uint64_t Request::spans() const {
  uint64_t sum = 0;
  for (const Item& item : items) sum += item.spans;
  return sum;
}

uint64_t Request::bytes() const {
  uint64_t sum = 0;
  for (const Item& item : items) sum += item.payload.size;
  return sum;
}

uint64_t Request::charge() const {
  uint64_t sum = 0;
  for (const Item& item : items) sum += item.charge;
  return sum;
}

base::SharedPacked Request::PackedBy(std::string_view encoding) const {
  if (items.size() != 1 || items[0].packed == nullptr) return nullptr;
  return base::CompressionName(items[0].packed->compression) == encoding ? items[0].packed
                                                                         : nullptr;
}

bool Request::DropPacked() {
  bool some = false;
  for (Item& item : items) some |= std::exchange(item.packed, nullptr) != nullptr;
  return some;
}

base::Gathered Request::Payload() const {
  base::Gathered out;
  for (const Item& item : items) out.Add(base::Gathered(item.payload));
  return out;
}

void Request::MarkFailed(model::ReceiptFailure failure) {
  for (Item& item : items)
    if (item.promise) item.promise->failure = std::max(item.promise->failure, failure);
}

uint64_t ChargeOf(const model::OtlpBatch& batch) {
  uint64_t bytes = batch.size_bytes() + batch.extra.size() + kItemOverhead;
  for (const std::string& append : batch.appends) bytes += append.size();
  if (batch.packed) bytes += batch.packed->bytes.size();
  return bytes;
}

bool Item::awaited() const {
  const model::Receipt* receipt = promise == nullptr ? nullptr : promise->hold.receipt().get();
  return receipt != nullptr && receipt->wish().level > model::ReceiptLevel::kTaken;
}

std::vector<Item> MakeItems(model::OtlpBatch&& batch, uint64_t spans, uint64_t max_bytes) {
  std::vector<std::vector<Item>> items(1);
  AddItems(batch, spans, max_bytes, &items[0]);
  Finish(ChargeOf(batch),
         batch.receipt ? std::make_shared<Promise>(std::move(batch.receipt)) : nullptr, &items);
  return std::move(items[0]);
}

std::vector<std::vector<Item>> MakeOwnedItems(model::OtlpBatch&& batch, uint64_t max_bytes,
                                              uint32_t owners, const Owner& owner) {
  std::vector<std::vector<Item>> items = Divide(batch, max_bytes, owners, owner);
  Finish(ChargeOf(batch),
         batch.receipt ? std::make_shared<Promise>(std::move(batch.receipt)) : nullptr, &items);
  return items;
}

std::vector<std::vector<Item>> DivideItem(Item&& item, uint32_t owners, const Owner& owner) {
  model::OtlpBatch batch;
  if (!Reindex(item.payload, &batch) || batch.live_count() != item.spans) {
    std::vector<std::vector<Item>> whole(owners);
    // Where the exporter would not take it away again at once.
    whole[owner(base::TraceId{})].push_back(std::move(item));
    return whole;
  }
  std::vector<std::vector<Item>> items = Divide(batch, UINT64_MAX, owners, owner);
  Finish(item.charge, item.promise, &items);
  return items;
}

bool Halve(Request* request, Request* second) {
  std::vector<Item>& items = request->items;
  second->items.clear();
  if (items.size() > 1) {
    const uint64_t half = request->bytes() / 2;
    uint64_t before = items[0].payload.size;
    size_t cut = 1;
    while (cut + 1 < items.size() && before + items[cut].payload.size <= half)
      before += items[cut++].payload.size;
    auto middle = items.begin() + static_cast<ptrdiff_t>(cut);
    second->items.assign(std::make_move_iterator(middle), std::make_move_iterator(items.end()));
    items.erase(middle, items.end());
    return true;
  }
  Item half;
  if (items.empty() || !HalveItem(&items[0], &half)) return false;
  second->items.push_back(std::move(half));
  return true;
}

uint64_t SmallestPart(const Request& request) {
  uint64_t smallest = UINT64_MAX;
  for (const Item& item : request.items) {
    model::OtlpBatch batch;
    if (item.signal != model::Signal::kTraces || !Reindex(item.payload, &batch)) return 0;
    std::vector<uint32_t> part(batch.spans.size(), 1);
    if (!part.empty()) part[SmallestSpan(batch)] = 0;
    smallest = std::min<uint64_t>(smallest, otlp::Gather(otlp::Select(batch, part, 0)).size);
  }
  return smallest;
}

}  // namespace weft::exporters::collector
