// What the collector exporter holds: an Item is the encoded form of one batch (or of a part of one)
// with its promise, a Request is some Items that travel in one call. Encoded trace requests may be
// concatenated (the message is one repeated field), so a Request copies nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "exporters/collector/transport.h"
#include "model/otlp_batch.h"

namespace weft::exporters::collector {

// Shared by the Items of one batch; tells the receipt when the last of them has been settled.
struct Promise {
  model::ReceiptRef receipt;
  bool failed = false;  // some part of the batch was given up
  explicit Promise(model::ReceiptRef r) : receipt(std::move(r)) {}
  Promise(const Promise&) = delete;
  Promise& operator=(const Promise&) = delete;
  ~Promise() {
    receipt->Reach(failed ? model::ReceiptLevel::kFailed : model::ReceiptLevel::kDelivered);
  }
};

struct Item {
  base::Gathered payload;
  uint64_t spans = 0;
  uint64_t charge = 0;               // bytes of the queue's budget
  std::shared_ptr<Promise> promise;  // null for batches without a receipt
};

struct Request {
  uint64_t id = 0;
  std::vector<Item> items;
  uint32_t attempts = 0;           // failed so far
  bool peer_set_the_time = false;  // waits as long as the peer asked, whatever happens meanwhile
  TimerQueue::TimerId timer = 0;

  uint64_t spans() const;
  uint64_t bytes() const;
  uint64_t charge() const;
  // Views of all items, with their owners.
  base::Gathered Payload() const;
  void MarkFailed();
};

// Spans that are not dropped.
uint64_t LiveSpans(const model::OtlpBatch& batch);

// What `batch` is charged: its bytes, its edits and the bookkeeping around it.
uint64_t ChargeOf(const model::OtlpBatch& batch);

// The encoded form of `batch`, `spans` > 0, in parts of at most `max_bytes` each. A single span is
// never cut, nor is a run of spans whose envelopes alone take more than half of `max_bytes`: each
// part would repeat them. The charges sum up to about ChargeOf(batch).
std::vector<Item> MakeItems(model::OtlpBatch&& batch, uint64_t spans, uint64_t max_bytes);

// Cuts a request into two with the same spans: between its items, or the spans of its only item in
// the middle. False when it holds one span: `request` is then unchanged.
bool Halve(Request* request, Request* second);

}  // namespace weft::exporters::collector
