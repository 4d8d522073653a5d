// What the collector exporter holds: an Item is the encoded form of one batch (or of a part of one)
// with its promise, a Request is some Items of one signal that travel in one call. Encoded requests
// may be concatenated (the message is one repeated field), so a Request copies nothing. Profiles
// are the exception: their parts share a dictionary, so each travels alone and whole.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/inflate.h"
#include "exporters/collector/transport.h"
#include "model/otlp_batch.h"

namespace weft::exporters::collector {

// Shared by the Items of one batch; tells the receipt when the last of them has been settled.
struct Promise {
  model::ReceiptHold hold;
  model::ReceiptFailure failure = model::ReceiptFailure::kNone;  // some part was given up
  explicit Promise(model::ReceiptRef receipt) : hold(std::move(receipt)) {}
  Promise(const Promise&) = delete;
  Promise& operator=(const Promise&) = delete;
  ~Promise() {
    if (failure == model::ReceiptFailure::kNone)
      hold.Delivered();
    else
      hold.Fail(failure);
  }
};

struct Item {
  base::Gathered payload;
  // `payload` compressed by its sender, where that is worth a request of its own; or null.
  base::SharedPacked packed;
  model::Signal signal = model::Signal::kTraces;
  uint64_t spans = 0;                // or data points, or log records
  uint64_t charge = 0;               // bytes of the queue's budget
  std::shared_ptr<Promise> promise;  // null for batches without a receipt

  // Somebody is answered when it is delivered, or before a disk has it if that is sooner.
  bool awaited() const;
};

struct Request {
  uint64_t id = 0;
  std::vector<Item> items;         // one or more, all of one signal
  uint32_t attempts = 0;           // failed so far
  uint32_t failed_alone = 0;       // of them as the only request that its peer had
  bool suspect = false;            // the fault may be its own, and not the peer's
  uint64_t delivered_before = 0;   // requests, when that was said
  bool peer_set_the_time = false;  // waits as long as the peer asked, whatever happens meanwhile
  TimerQueue::TimerId timer = 0;

  model::Signal signal() const { return items.empty() ? model::Signal::kTraces : items[0].signal; }
  uint64_t spans() const;
  uint64_t bytes() const;
  uint64_t charge() const;
  // The only item's payload as its sender compressed it with `encoding`; else null.
  base::SharedPacked PackedBy(std::string_view encoding) const;
  // Forgets that form; false when there was none.
  bool DropPacked();
  // Views of all items, with their owners.
  base::Gathered Payload() const;
  // kLost: it may be sent again by who still has it (spool, client).
  void MarkFailed(model::ReceiptFailure failure = model::ReceiptFailure::kRejected);
};

// What `batch` is charged: its bytes, its edits and the bookkeeping around it.
uint64_t ChargeOf(const model::OtlpBatch& batch);

// The encoded form of `batch`, `spans` > 0, in parts of at most `max_bytes` each. A single span is
// never cut, nor is a run of spans whose envelopes alone take more than half of `max_bytes`: each
// part would repeat them. Other signals are not cut. The charges sum up to about ChargeOf(batch).
std::vector<Item> MakeItems(model::OtlpBatch&& batch, uint64_t spans, uint64_t max_bytes);

// The same for several destinations: `owner` says of a trace where it goes. The Items of
// destination d stand in the result at [d]; `owners` is their number.
using Owner = std::function<uint32_t(const base::TraceId&)>;
std::vector<std::vector<Item>> MakeOwnedItems(model::OtlpBatch&& batch, uint64_t max_bytes,
                                              uint32_t owners, const Owner& owner);
// An Item of traces that was encoded already, divided anew.
std::vector<std::vector<Item>> DivideItem(Item&& item, uint32_t owners, const Owner& owner);

// Cuts a request into two with the same content: between its items, else its only item between
// envelopes where that divides the bytes well, else between spans. An item that is mostly one
// envelope gives up its smallest span alone: if that is too much, so is every other. Opaque signals
// are cut between their top-level entries, and their count is divided by bytes. False when there is
// nothing to cut: `request` is then unchanged.
bool Halve(Request* request, Request* second);

// The size of the smallest request that a part of `request` could be, down to a single span with
// its envelopes.
uint64_t SmallestPart(const Request& request);

}  // namespace weft::exporters::collector
