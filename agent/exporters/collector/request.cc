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

// `slice` of `from`, for `to`: the bytes are shared, those in `extra` are copied.
model::Slice CopySlice(const model::OtlpBatch& from, model::Slice slice, model::OtlpBatch* to) {
  if (slice.size == 0) return {};
  if ((slice.offset & model::kExtra) == 0) return slice;
  const auto offset = static_cast<uint32_t>(to->extra.size());
  to->extra.append(from.extra, slice.offset & ~model::kExtra, slice.size);
  return {offset | model::kExtra, slice.size};
}

// The live spans [first, last) with their envelopes, without the receipt. Nothing else is copied,
// so that cutting a batch again and again costs no more than its size each time.
model::OtlpBatch Range(const model::OtlpBatch& batch, uint64_t first, uint64_t last) {
  model::OtlpBatch out;
  out.bytes = batch.bytes;
  out.edited = true;
  uint64_t position = 0;
  uint32_t open_resource = UINT32_MAX, open_scope = UINT32_MAX;
  ForEachLive(batch, [&](uint32_t r, uint32_t s, uint32_t i) {
    const uint64_t at = position++;
    if (at < first || at >= last) return;
    if (r != open_resource) {
      const model::ResourceGroup& from = batch.resources[r];
      out.resources.push_back({CopySlice(batch, from.head, &out), CopySlice(batch, from.tail, &out),
                               static_cast<uint32_t>(out.scopes.size()), 0});
      open_resource = r;
      open_scope = UINT32_MAX;
    }
    if (s != open_scope) {
      const model::ScopeGroup& from = batch.scopes[s];
      out.scopes.push_back({CopySlice(batch, from.head, &out), CopySlice(batch, from.tail, &out),
                            static_cast<uint32_t>(out.spans.size()), 0});
      ++out.resources.back().scope_count;
      open_scope = s;
    }
    model::SpanRef span = batch.spans[i];
    if (span.append != 0) {
      out.appends.push_back(batch.appends[span.append - 1]);
      span.append = static_cast<uint32_t>(out.appends.size());
    }
    out.spans.push_back(span);
    ++out.scopes.back().span_count;
  });
  return out;
}

// How many live spans to put into the first of two parts of about the same size; 0: do not cut.
// Both parts carry the envelopes of the place of the cut. Where these take more than half of a
// request, repeating them would multiply the bytes instead of dividing them, so no cut falls there.
uint64_t FindCut(const model::OtlpBatch& batch, uint64_t max_bytes) {
  const auto size_of = [](const auto& group) {
    return uint64_t{group.head.size} + group.tail.size;
  };
  uint64_t total = 0;
  for (const model::SpanRef& span : batch.spans) total += span.dropped ? 0 : span.body.size;
  uint64_t best = 0, best_distance = UINT64_MAX, position = 0, before = 0;
  uint32_t last_resource = UINT32_MAX, last_scope = UINT32_MAX;
  ForEachLive(batch, [&](uint32_t r, uint32_t s, uint32_t i) {
    uint64_t repeated = 0;
    if (r == last_resource) repeated += size_of(batch.resources[r]);
    if (s == last_scope) repeated += size_of(batch.scopes[s]);
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
  const uint64_t cut = payload.size > max_bytes && spans > 1 ? FindCut(batch, max_bytes) : 0;
  if (cut != 0) {
    payload = {};
    AddItems(Range(batch, 0, cut), cut, max_bytes, out);
    AddItems(Range(batch, cut, spans), spans - cut, max_bytes, out);
    return;
  }
  Item item;
  item.spans = spans;
  item.payload = std::move(payload);
  out->push_back(std::move(item));
}

// Parts of one batch share its bytes: together they are charged once, each for its share.
void ChargeItems(uint64_t charge, std::vector<Item>* items) {
  if (items->size() == 1) {
    // A batch whose spans were mostly dropped still keeps all of its bytes alive.
    Item& only = items->front();
    only.charge = std::max(only.payload.size + kItemOverhead, charge);
    return;
  }
  uint64_t total = 0;
  for (const Item& item : *items) total += item.payload.size;
  const double share = static_cast<double>(charge) / static_cast<double>(total);
  for (Item& item : *items) {
    item.charge =
        kItemOverhead + static_cast<uint64_t>(share * static_cast<double>(item.payload.size));
  }
}

bool HalveItem(Item* item, Item* second) {
  if (item->spans < 2) return false;
  model::OtlpBatch batch;
  if (otlp::Index(base::Share(otlp::Flatten(item->payload)), &batch).status !=
      otlp::IndexStatus::kDone)
    return false;
  uint64_t middle = item->spans / 2;
  second->spans = item->spans - middle;
  second->payload = otlp::Gather(Range(batch, middle, item->spans));
  second->charge = item->charge / 2;
  second->promise = item->promise;
  item->payload = otlp::Gather(Range(batch, 0, middle));
  item->spans = middle;
  item->charge -= second->charge;
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

base::Gathered Request::Payload() const {
  base::Gathered out;
  for (const Item& item : items) out.Add(base::Gathered(item.payload));
  return out;
}

void Request::MarkFailed() {
  for (Item& item : items)
    if (item.promise) item.promise->failed = true;
}

uint64_t LiveSpans(const model::OtlpBatch& batch) {
  uint64_t live = 0;
  for (const model::SpanRef& span : batch.spans) live += span.dropped ? 0 : 1;
  return live;
}

uint64_t ChargeOf(const model::OtlpBatch& batch) {
  uint64_t bytes = batch.size_bytes() + batch.extra.size() + kItemOverhead;
  for (const std::string& append : batch.appends) bytes += append.size();
  return bytes;
}

std::vector<Item> MakeItems(model::OtlpBatch&& batch, uint64_t spans, uint64_t max_bytes) {
  uint64_t charge = ChargeOf(batch);
  std::vector<Item> items;
  AddItems(batch, spans, max_bytes, &items);
  ChargeItems(charge, &items);
  if (batch.receipt) {
    auto promise = std::make_shared<Promise>(std::move(batch.receipt));
    for (Item& item : items) item.promise = promise;
  }
  return items;
}

bool Halve(Request* request, Request* second) {
  std::vector<Item>& items = request->items;
  if (items.size() > 1) {
    auto middle = items.begin() + static_cast<ptrdiff_t>(items.size() / 2);
    second->items.assign(std::make_move_iterator(middle), std::make_move_iterator(items.end()));
    items.erase(middle, items.end());
    return true;
  }
  Item half;
  if (items.empty() || !HalveItem(&items[0], &half)) return false;
  second->items.clear();
  second->items.push_back(std::move(half));
  return true;
}

}  // namespace weft::exporters::collector
