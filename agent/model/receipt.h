// Receipt: the promise that belongs to a batch from a receiver. It holds the byte credit that the
// batch took at the rim and gives it back when the last reference goes. Slices derived from a batch
// share its receipt. Who keeps a part of the batch beyond Push (spool, exporter) answers for it
// with a ReceiptHold; a level is reached when all holds have reached it, and the source that wants
// to answer its client only then asks with When().
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/credit.h"

namespace weft::model {

// How far a batch has come: held in memory, on disk, acknowledged by the collector, or never to
// come further. The client is answered at the level that the configuration asks for.
enum class ReceiptLevel : uint8_t { kPending, kTaken, kDurable, kDelivered, kFailed };

// Why a batch failed. kRejected: refused for good, sending it again is useless. kLost: it could not
// be kept, the client should send it again.
enum class ReceiptFailure : uint8_t { kNone, kRejected, kLost };

// What the source asks of those who take its batch.
struct ReceiptWish {
  ReceiptLevel level = ReceiptLevel::kTaken;  // when the client is answered
  std::string_view source = {};               // the receiver's name; static text
};

// Threads: credit and level() any; everything else, and letting go of a ReceiptHold, the data
// thread. Order: Push, with the holds made inside it, then When. Callbacks may come from within
// When and from within a hold's methods, and at the end of the process from destructors: they guard
// what they point to.
class Receipt {
 public:
  using Callback = std::function<void(bool reached)>;

  Receipt(base::ByteCredit* credit, uint64_t charged_bytes, ReceiptWish wish = {})
      : credit_(credit), charged_bytes_(charged_bytes), wish_(wish) {}
  Receipt(const Receipt&) = delete;
  Receipt& operator=(const Receipt&) = delete;
  ~Receipt() {
    if (credit_ != nullptr) credit_->Return(charged_bytes_);
  }

  const ReceiptWish& wish() const { return wish_; }
  ReceiptLevel level() const { return level_.load(std::memory_order_acquire); }
  ReceiptFailure failure() const { return failure_; }

  // Notes a level without a hold: kTaken by the source, the others by who settles a batch within
  // Push. Levels never fall, and nothing follows kFailed.
  void Reach(ReceiptLevel level) {
    if (level > this->level()) level_.store(level, std::memory_order_release);
    if (level == ReceiptLevel::kFailed) Fail(ReceiptFailure::kRejected);
  }

  // Calls `done` once: true when every hold has reached `level`, at once if nobody holds a part any
  // more (then all of it has been settled); false when a hold failed or ended below `level`.
  void When(ReceiptLevel level, Callback done) {
    waiting_.push_back({level, std::move(done)});
    Settle();
  }

 private:
  friend class ReceiptHold;
  struct Waiter {
    ReceiptLevel level;
    Callback done;
  };

  void Fail(ReceiptFailure failure) {
    if (failure_ == ReceiptFailure::kNone) failure_ = failure;
    level_.store(ReceiptLevel::kFailed, std::memory_order_release);
    Settle();
  }
  void Settle() {
    const bool failed = failure_ != ReceiptFailure::kNone;
    const ReceiptLevel now = open_ == 0        ? best_
                             : undurable_ == 0 ? ReceiptLevel::kDurable
                                               : ReceiptLevel::kTaken;
    if (held_ && now > ReceiptLevel::kTaken) {
      if (now > level()) level_.store(now, std::memory_order_release);
    }
    std::vector<Waiter> due, later;
    for (Waiter& waiter : waiting_)
      (failed || open_ == 0 || waiter.level <= now ? due : later).push_back(std::move(waiter));
    waiting_ = std::move(later);
    for (Waiter& waiter : due) waiter.done(!failed && waiter.level <= now);
  }

  base::ByteCredit* const credit_;
  const uint64_t charged_bytes_;
  const ReceiptWish wish_;
  std::atomic<ReceiptLevel> level_{ReceiptLevel::kPending};
  ReceiptFailure failure_ = ReceiptFailure::kNone;
  bool held_ = false;
  uint32_t open_ = 0;                             // holds that have not ended
  uint32_t undurable_ = 0;                        // of those, not durable
  ReceiptLevel best_ = ReceiptLevel::kDelivered;  // the lowest level at which a hold ended
  std::vector<Waiter> waiting_;
};

using ReceiptRef = std::shared_ptr<Receipt>;

// One holder's word for its part of a batch. Move-only; also good for batches without a receipt.
// Ends by Delivered, Fail or Cancel; a hold that goes without a word failed as kLost, one that goes
// after Durable has kept what it promised.
class ReceiptHold {
 public:
  ReceiptHold() = default;
  explicit ReceiptHold(ReceiptRef receipt) : receipt_(std::move(receipt)) {
    if (receipt_ == nullptr) return;
    receipt_->held_ = true;
    ++receipt_->open_;
    ++receipt_->undurable_;
  }
  ReceiptHold(ReceiptHold&& other) noexcept
      : receipt_(std::move(other.receipt_)), durable_(std::exchange(other.durable_, false)) {}
  ReceiptHold& operator=(ReceiptHold&& other) noexcept {
    if (this == &other) return *this;
    Drop();
    receipt_ = std::move(other.receipt_);
    durable_ = std::exchange(other.durable_, false);
    return *this;
  }
  ~ReceiptHold() { Drop(); }

  const ReceiptRef& receipt() const { return receipt_; }

  void Durable() {
    if (receipt_ == nullptr || durable_) return;
    durable_ = true;
    --receipt_->undurable_;
    const ReceiptRef keep = receipt_;
    keep->Settle();
  }
  void Delivered() {
    if (ReceiptRef ended = End()) ended->Settle();
  }
  void Fail(ReceiptFailure failure) {
    if (ReceiptRef ended = End()) ended->Fail(failure);
  }
  // As if it had never been: the batch stays with the caller (kBusy).
  void Cancel() { (void)End(); }
  // Ends it at the level that it has reached.
  void Drop() {
    const bool durable = durable_;
    ReceiptRef ended = End();
    if (ended == nullptr) return;
    if (!durable) return ended->Fail(ReceiptFailure::kLost);
    ended->best_ = ReceiptLevel::kDurable;
    ended->Settle();
  }

 private:
  ReceiptRef End() {
    if (receipt_ == nullptr) return nullptr;
    --receipt_->open_;
    if (!std::exchange(durable_, false)) --receipt_->undurable_;
    return std::move(receipt_);
  }

  ReceiptRef receipt_;
  bool durable_ = false;
};

}  // namespace weft::model
