// The bytes of the spool's files, as docs/adr/0010-spool-format.md has them: headers to bytes and
// back, and the one function that finds records in bytes that may be damaged. Pure; the disk is
// elsewhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "model/otlp_batch.h"

namespace weft::spool {

inline constexpr uint32_t kFormatVersion = 1;
inline constexpr size_t kHeaderBytes = 64;
inline constexpr size_t kFirstRecord = 2 * kHeaderBytes;
inline constexpr size_t kRecordHeaderBytes = 56;
inline constexpr size_t kSourceBytes = 20;
inline constexpr uint32_t kMaxPayloadBytes = 256u << 20;
inline constexpr size_t kAlignment = 8;

inline constexpr size_t PaddingOf(size_t payload_bytes) {
  return (kAlignment - payload_bytes % kAlignment) % kAlignment;
}
inline constexpr size_t RecordBytes(size_t payload_bytes) {
  return kRecordHeaderBytes + payload_bytes + PaddingOf(payload_bytes);
}

struct SegmentHeader {
  uint64_t number = 0;
  uint64_t created_ns = 0;  // since the epoch
  uint64_t salt = 0;
};

struct RecordHeader {
  uint32_t payload_bytes = 0;
  uint32_t payload_crc = 0;
  uint32_t ordinal = 0;
  uint32_t items = 0;
  uint64_t time_ns = 0;  // since the epoch
  model::Signal signal = model::Signal::kTraces;
  char source[kSourceBytes] = {};

  std::string_view source_name() const;
  void SetSource(std::string_view name);  // cut to what fits
};

// "segment-000000000000002a.spool" and back.
std::string SegmentName(uint64_t number);
std::optional<uint64_t> SegmentNumber(std::string_view name);

// Both copies.
void EncodeSegmentHeader(const SegmentHeader& header, uint8_t out[kFirstRecord]);

enum class HeaderStatus { kGood, kBad, kOtherVersion };
// `bytes` is the beginning of the file; kOtherVersion sets `version`.
HeaderStatus DecodeSegmentHeader(base::ByteView bytes, SegmentHeader* out, uint32_t* version);

void EncodeRecordHeader(const RecordHeader& header, uint64_t salt, uint8_t out[kRecordHeaderBytes]);

enum class ScanStatus {
  kRecord,   // a header that is right; the payload is not looked at
  kDamage,   // `skip` bytes that are no record; after them there may be one
  kZeros,    // `skip` bytes of zeros and padding: a tail, or a hole
  kTorn,     // `skip` bytes, the last ones, that begin as a header does: never written whole
  kNeedMore  // cannot tell yet; never when `at_end`
};

struct Scan {
  ScanStatus status = ScanStatus::kNeedMore;
  size_t skip = 0;  // kDamage, kZeros, kTorn
  RecordHeader header;
};

// What is at the beginning of `bytes`, which starts at a multiple of 8 in its file. `at_end`: the
// file has no more. Always moves on: skip > 0.
// Cost: about 1 GB/s over damage.
Scan ScanRecord(base::ByteView bytes, uint64_t salt, bool at_end);

}  // namespace weft::spool
