// Latency histogram with 1/64 relative resolution (HDR style: power-of-two ranges cut into equal
// parts); fixed memory, merges by addition. Units: ns.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace weft::bench {

class Histogram {
 public:
  void Record(uint64_t ns) {
    ++counts_[Index(ns)];
    ++total_;
  }
  void Merge(const Histogram& other) {
    for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    total_ += other.total_;
  }
  uint64_t total() const { return total_; }
  // The upper edge of the bucket that holds the q-th part (0..1) of the values; 0 without values.
  uint64_t Quantile(double q) const {
    uint64_t wanted = static_cast<uint64_t>(q * static_cast<double>(total_)), seen = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > wanted || (seen == total_ && seen > 0)) return UpperEdge(i);
    }
    return 0;
  }

 private:
  static constexpr unsigned kPartBits = 6;
  static size_t Index(uint64_t v) {
    if (v < (1u << kPartBits)) return v;
    unsigned shift = static_cast<unsigned>(std::bit_width(v)) - kPartBits - 1;
    return ((shift + 1) << kPartBits) + (v >> shift) - (1u << kPartBits);
  }
  static uint64_t UpperEdge(size_t i) {
    if (i < (1u << kPartBits)) return i;
    unsigned shift = static_cast<unsigned>(i >> kPartBits) - 1;
    return (((i & ((1u << kPartBits) - 1)) + (1u << kPartBits) + 1) << shift) - 1;
  }

  std::array<uint64_t, 64 * 59> counts_{};
  uint64_t total_ = 0;
};

}  // namespace weft::bench
