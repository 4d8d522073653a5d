// Receipt: the promise that belongs to a batch from a receiver. It holds the byte credit that the
// batch took at the rim and gives it back when the last holder lets go. Slices derived from a batch
// share its receipt.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/credit.h"

namespace weft::model {

// How far a batch has come. The client is answered at the level that the configuration asks for.
enum class ReceiptLevel : uint8_t { kPending, kTaken, kDelivered, kFailed };

// Threads: any.
class Receipt {
 public:
  Receipt(base::ByteCredit* credit, uint64_t charged_bytes)
      : credit_(credit), charged_bytes_(charged_bytes) {}
  Receipt(const Receipt&) = delete;
  Receipt& operator=(const Receipt&) = delete;
  ~Receipt() {
    if (credit_ != nullptr) credit_->Return(charged_bytes_);
  }

  ReceiptLevel level() const { return level_.load(std::memory_order_acquire); }
  void Reach(ReceiptLevel level) { level_.store(level, std::memory_order_release); }

 private:
  base::ByteCredit* const credit_;
  const uint64_t charged_bytes_;
  std::atomic<ReceiptLevel> level_{ReceiptLevel::kPending};
};

using ReceiptRef = std::shared_ptr<Receipt>;

}  // namespace weft::model
