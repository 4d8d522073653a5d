#include "spool/format.h"

#include <algorithm>
#include <cstring>

#include "base/coding/crc.h"

namespace weft::spool {
namespace {

constexpr std::string_view kSegmentMagic = "WEFTSPL\n";
constexpr std::string_view kRecordMagic = "WREC";
constexpr std::string_view kPrefix = "segment-";
constexpr std::string_view kSuffix = ".spool";

template <typename T>
void Put(uint8_t* at, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) at[i] = static_cast<uint8_t>(uint64_t{value} >> (8 * i));
}
template <typename T>
T Get(const uint8_t* at) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value |= uint64_t{at[i]} << (8 * i);
  return static_cast<T>(value);
}

bool StartsWith(base::ByteView bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

uint32_t RecordCrc(const uint8_t* header, uint64_t salt) {
  uint8_t seed[8];
  Put(seed, salt);
  return base::Crc32(base::Crc32(0, {seed, sizeof(seed)}), {header + 8, kRecordHeaderBytes - 8});
}

// At least kRecordHeaderBytes long.
bool DecodeRecordHeader(base::ByteView bytes, uint64_t salt, RecordHeader* out) {
  const uint8_t* p = bytes.data();
  if (!StartsWith(bytes, kRecordMagic) || Get<uint32_t>(p + 4) != RecordCrc(p, salt)) return false;
  out->payload_bytes = Get<uint32_t>(p + 8);
  out->payload_crc = Get<uint32_t>(p + 12);
  out->ordinal = Get<uint32_t>(p + 16);
  out->items = Get<uint32_t>(p + 20);
  out->time_ns = Get<uint64_t>(p + 24);
  out->signal = static_cast<model::Signal>(p[32]);
  std::memcpy(out->source, p + 36, kSourceBytes);
  return out->payload_bytes <= kMaxPayloadBytes && p[32] <= uint8_t{3};
}

}  // namespace

std::string_view RecordHeader::source_name() const {
  return {source, strnlen(source, kSourceBytes)};
}

void RecordHeader::SetSource(std::string_view name) {
  std::memset(source, 0, kSourceBytes);
  name.copy(source, kSourceBytes);
}

std::string SegmentName(uint64_t number) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string name(kPrefix);
  for (int shift = 60; shift >= 0; shift -= 4) name.push_back(kDigits[number >> shift & 15]);
  return name.append(kSuffix);
}

std::optional<uint64_t> SegmentNumber(std::string_view name) {
  if (name.size() != kPrefix.size() + 16 + kSuffix.size() || !name.starts_with(kPrefix) ||
      !name.ends_with(kSuffix))
    return std::nullopt;
  uint64_t number = 0;
  for (char c : name.substr(kPrefix.size(), 16)) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) return std::nullopt;
    number = number << 4 | static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return number;
}

void EncodeSegmentHeader(const SegmentHeader& header, uint8_t out[kFirstRecord]) {
  std::memset(out, 0, kFirstRecord);
  std::memcpy(out, kSegmentMagic.data(), kSegmentMagic.size());
  Put(out + 8, kFormatVersion);
  Put(out + 12, static_cast<uint32_t>(kFirstRecord));
  Put(out + 16, header.number);
  Put(out + 24, header.created_ns);
  Put(out + 32, header.salt);
  Put(out + 60, base::Crc32(0, {out, 60}));
  std::memcpy(out + kHeaderBytes, out, kHeaderBytes);
}

HeaderStatus DecodeSegmentHeader(base::ByteView bytes, SegmentHeader* out, uint32_t* version) {
  HeaderStatus status = HeaderStatus::kBad;
  for (size_t copy = 0; copy < 2; ++copy) {
    if (bytes.size() < (copy + 1) * kHeaderBytes) break;
    const base::ByteView header = bytes.subspan(copy * kHeaderBytes, kHeaderBytes);
    if (!StartsWith(header, kSegmentMagic)) continue;
    const uint8_t* p = header.data();
    if (Get<uint32_t>(p + 60) == base::Crc32(0, {p, 60}) && Get<uint32_t>(p + 8) == 1) {
      *out = {Get<uint64_t>(p + 16), Get<uint64_t>(p + 24), Get<uint64_t>(p + 32)};
      return HeaderStatus::kGood;
    }
    // Another version may have other lengths, so its checksum is not looked for.
    if (Get<uint32_t>(p + 8) != kFormatVersion) {
      *version = Get<uint32_t>(p + 8);
      status = HeaderStatus::kOtherVersion;
    }
  }
  return status;
}

void EncodeRecordHeader(const RecordHeader& header, uint64_t salt,
                        uint8_t out[kRecordHeaderBytes]) {
  std::memset(out, 0, kRecordHeaderBytes);
  std::memcpy(out, kRecordMagic.data(), kRecordMagic.size());
  Put(out + 8, header.payload_bytes);
  Put(out + 12, header.payload_crc);
  Put(out + 16, header.ordinal);
  Put(out + 20, header.items);
  Put(out + 24, header.time_ns);
  out[32] = static_cast<uint8_t>(header.signal);
  std::memcpy(out + 36, header.source, kSourceBytes);
  Put(out + 4, RecordCrc(out, salt));
}

Scan ScanRecord(base::ByteView bytes, uint64_t salt, bool at_end) {
  Scan scan;
  if (bytes.size() >= kRecordHeaderBytes && DecodeRecordHeader(bytes, salt, &scan.header)) {
    scan.status = ScanStatus::kRecord;
    return scan;
  }
  if (bytes.size() < kRecordHeaderBytes && !at_end) return scan;
  size_t at = 0;
  const auto zero_word = [&bytes](size_t offset) {
    const size_t n = std::min(kAlignment, bytes.size() - offset);
    return std::all_of(bytes.begin() + static_cast<ptrdiff_t>(offset),
                       bytes.begin() + static_cast<ptrdiff_t>(offset + n),
                       [](uint8_t b) { return b == 0; });
  };
  while (at < bytes.size() && zero_word(at)) at += kAlignment;
  if (at > 0) {
    scan.status = ScanStatus::kZeros;
    scan.skip = std::min(at, bytes.size());
    return scan;
  }
  if (bytes.size() < kRecordHeaderBytes &&
      base::AsText(bytes).substr(0, kRecordMagic.size()) == kRecordMagic.substr(0, bytes.size())) {
    scan.status = ScanStatus::kTorn;
    scan.skip = bytes.size();
    return scan;
  }
  // Not here; the next place where a whole header is right, or may be beyond what is there.
  scan.status = ScanStatus::kDamage;
  RecordHeader found;
  for (at = kAlignment; at + kRecordHeaderBytes <= bytes.size(); at += kAlignment)
    if (DecodeRecordHeader(bytes.subspan(at), salt, &found)) break;
  scan.skip =
      at_end && at + kRecordHeaderBytes > bytes.size() ? bytes.size() : std::min(at, bytes.size());
  return scan;
}

}  // namespace weft::spool
