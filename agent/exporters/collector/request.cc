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

// Drops the live spans outside [first, last), counted over live spans.
model::OtlpBatch Range(const model::OtlpBatch& batch, uint64_t first, uint64_t last) {
  model::OtlpBatch out = batch;
  uint64_t position = 0;
  for (model::SpanRef& span : out.spans) {
    if (span.dropped) continue;
    if (position < first || position >= last) span.dropped = true;
    ++position;
  }
  out.edited = true;
  return out;
}

// What every part of a cut batch repeats: resources, scopes and their tags.
uint64_t EnvelopeBytes(const model::OtlpBatch& batch, uint64_t payload_bytes) {
  uint64_t bodies = 0;
  for (const model::SpanRef& span : batch.spans)
    if (!span.dropped) bodies += span.body.size;
  return payload_bytes - std::min(payload_bytes, bodies);
}

// Halves until the parts fit. Where the envelope is most of a part, cutting would multiply bytes
// instead: such a batch goes as it is, and the peer says whether it is too large.
void AddItems(const model::OtlpBatch& batch, uint64_t spans, uint64_t max_bytes,
              std::vector<Item>* out) {
  base::Gathered payload = otlp::Gather(batch);
  if (payload.size > max_bytes && spans > 1 &&
      EnvelopeBytes(batch, payload.size) <= max_bytes / 2) {
    AddItems(Range(batch, 0, spans / 2), spans / 2, max_bytes, out);
    AddItems(Range(batch, spans / 2, spans), spans - spans / 2, max_bytes, out);
    return;
  }
  Item item;
  item.charge = payload.size + kItemOverhead;
  item.spans = spans;
  item.payload = std::move(payload);
  out->push_back(std::move(item));
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
  // A batch whose spans were mostly dropped still keeps all of its bytes alive.
  if (items.size() == 1) items[0].charge = std::max(items[0].charge, charge);
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
