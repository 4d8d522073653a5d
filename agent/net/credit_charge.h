// CreditCharge: the byte credit that one request's body holds, as a value. Dropping it gives the
// credit back, so every way to abort a request is right by itself; Release hands the bytes over to
// a model::Receipt.
#pragma once

#include <cstdint>
#include <utility>

#include "base/credit.h"

namespace weft::net {

// Threads: one owner at a time. The ByteCredit must outlive it.
class CreditCharge {
 public:
  CreditCharge() = default;
  explicit CreditCharge(base::ByteCredit* credit) : credit_(credit) {}
  CreditCharge(CreditCharge&& o) noexcept
      : credit_(o.credit_), bytes_(std::exchange(o.bytes_, 0)) {}
  CreditCharge& operator=(CreditCharge&& o) noexcept {
    std::swap(credit_, o.credit_), std::swap(bytes_, o.bytes_);
    return *this;
  }
  ~CreditCharge() { Return(); }

  base::ByteCredit* credit() const { return credit_; }
  uint64_t bytes() const { return bytes_; }

  // Takes `n` more; false (and nothing changed) when there is no credit.
  [[nodiscard]] bool Take(uint64_t n) {
    if (credit_ == nullptr || !credit_->Take(n)) return false;
    bytes_ += n;
    return true;
  }
  // `n` bytes that somebody else has taken from the same credit.
  void Adopt(uint64_t n) { bytes_ += n; }
  // The bytes held; from now on the caller must give them back (Receipt{charge.credit(),
  // charge.Release()}).
  [[nodiscard]] uint64_t Release() { return std::exchange(bytes_, 0); }
  void Return() {
    if (bytes_ != 0) credit_->Return(std::exchange(bytes_, 0));
  }
  void Return(uint64_t n) {
    credit_->Return(n);
    bytes_ -= n;
  }

 private:
  base::ByteCredit* credit_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace weft::net
