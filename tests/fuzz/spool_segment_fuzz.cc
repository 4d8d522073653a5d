// fuzz: spool
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "spool/entry_points.h"

// The first byte says what the rest is. A checksum is hard to guess, so a segment may be given one:
// its first record's header is made right before it is read.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weft;
  if (size == 0) return 0;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::string wrong;
  if (data[0] % 3 == 0) {
    wrong = spool::TryCursor(bytes);
  } else {
    if (data[0] % 3 == 1) {
      uint8_t header[spool::kFirstRecord];
      spool::EncodeSegmentHeader({1, 2, 3}, header);
      bytes.insert(0, reinterpret_cast<const char*>(header), sizeof(header));
      const size_t start = spool::kFirstRecord, room = bytes.size() - start;
      if (room >= spool::kRecordHeaderBytes) {
        spool::RecordHeader record;
        record.payload_bytes = static_cast<uint32_t>(static_cast<uint8_t>(bytes[start + 8])) |
                               static_cast<uint32_t>(static_cast<uint8_t>(bytes[start + 9])) << 8;
        record.ordinal = static_cast<uint8_t>(bytes[start + 16]);
        record.items = static_cast<uint8_t>(bytes[start + 20]);
        if (record.payload_bytes <= room - spool::kRecordHeaderBytes)
          record.payload_crc =
              base::Crc32(0, base::AsBytes(std::string_view(bytes).substr(
                                 start + spool::kRecordHeaderBytes, record.payload_bytes)));
        uint8_t encoded[spool::kRecordHeaderBytes];
        spool::EncodeRecordHeader(record, 3, encoded);
        bytes.replace(start, sizeof(encoded), reinterpret_cast<const char*>(encoded),
                      sizeof(encoded));
      }
    }
    wrong = spool::TrySegment(bytes);
  }
  if (!wrong.empty()) {
    std::fprintf(stderr, "%s\n", wrong.c_str());
    std::abort();
  }
  return 0;
}
