// The reading end of the log: durable records that nobody has, oldest first, past any damage.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/coding/crc.h"
#include "base/log.h"
#include "spool/log.h"

namespace weft::spool {
namespace {

constexpr size_t kChunkBytes = 2 << 20;
constexpr uint64_t kPage = 4096;

uint64_t PayloadBytes(const std::vector<Record>& records) {
  uint64_t sum = 0;
  for (const Record& record : records) sum += record.payload->size();
  return sum;
}

// A file that cannot be opened for want of descriptors, memory or rights is not gone: what it holds
// was acknowledged, and is asked for again.
bool IsForNow(int fd) { return fd < 0 && fd != -ENOENT; }

base::SharedBytes CopyOf(base::ByteView bytes) {
  base::ByteBuffer copy(bytes.size());
  copy.Append(bytes);
  return base::Share(std::move(copy));
}

}  // namespace

bool Log::HasUnread() const {
  if (!returned_.empty()) return true;
  for (const Segment& segment : segments_) {
    if (segment.recovered ? !segment.read_done : segment.unread > 0) return true;
  }
  return false;
}

std::vector<Record> Log::Read(uint64_t max_bytes) {
  std::vector<Record> out;
  ReadReturned(max_bytes, &out);
  std::vector<uint64_t> numbers;
  for (const Segment& segment : segments_)
    if (segment.recovered ? !segment.read_done : segment.unread > 0)
      numbers.push_back(segment.number);
  for (uint64_t number : numbers) {
    if (PayloadBytes(out) >= max_bytes) break;
    Segment& segment = *Find(number);
    ReadSegment(segment, max_bytes, &out);
    RemoveIfComplete(number);
    const Segment* left = Find(number);
    if (left != nullptr && (left->recovered ? !left->read_done : left->unread > 0)) break;
  }
  return out;
}

void Log::ReadReturned(uint64_t max_bytes, std::vector<Record>* out) {
  while (!returned_.empty() &&
         (out->empty() || PayloadBytes(*out) + returned_.front().payload_bytes <= max_bytes)) {
    const RecordKey key = returned_.front();
    returned_.pop_front();
    Segment* segment = Find(key.segment);
    if (segment == nullptr) continue;
    const int fd = ReadFd(*segment);
    if (IsForNow(fd)) {
      counters_.read_errors.Add(1);
      return returned_.push_front(key);
    }
    AddTally(&segment->unclaimed, key.source, -int64_t{key.items});
    base::ByteBuffer bytes(RecordBytes(key.payload_bytes));
    const int64_t n =
        fd < 0 ? fd : ReadFully(files_, fd, {bytes.data(), bytes.capacity()}, key.offset);
    if (n == static_cast<int64_t>(bytes.capacity())) {
      bytes.Commit(bytes.capacity());
      const Scan scan = ScanRecord(bytes.view(), segment->salt, true);
      const base::ByteView payload = bytes.view().subspan(kRecordHeaderBytes, key.payload_bytes);
      if (scan.status == ScanStatus::kRecord && scan.header.ordinal == key.ordinal &&
          scan.header.payload_crc == base::Crc32(0, payload)) {
        out->push_back(
            {key, scan.header.signal, sources_[key.source], scan.header.time_ns, CopyOf(payload)});
        continue;
      }
    }
    if (n < 0) counters_.read_errors.Add(1);
    deps_.ledger.Held(-int64_t{key.items});
    deps_.ledger.Lose(base::Loss::kRejected, "damaged", key.items);
    counters_.damaged_records.Add(1);
    segment->settled.Add(key.ordinal);
    RemoveIfComplete(key.segment);
  }
}

void Log::ReadSegment(Segment& segment, uint64_t max_bytes, std::vector<Record>* out) {
  if (IsForNow(ReadFd(segment))) {
    counters_.read_errors.Add(1);
    return;
  }
  size_t want = kChunkBytes;
  while (segment.read_offset < segment.committed_size) {
    if (!Fill(segment, want)) continue;
    want = kChunkBytes;
    Step step = Step::kOn;
    while (step == Step::kOn && segment.read_offset < segment.committed_size) {
      const base::ByteView bytes = ChunkRest(segment);
      step = bytes.empty() ? Step::kRefill
                           : ReadStep(segment, bytes, PayloadBytes(*out) >= max_bytes, out);
    }
    if (step == Step::kEnough) return;
    if (step != Step::kRefill) continue;
    // A record that is larger than the chunk is read whole, if nothing else can be given out.
    const Scan scan = ScanRecord(ChunkRest(segment), segment.salt, false);
    if (scan.status != ScanStatus::kRecord) continue;
    if (!out->empty()) return;
    want = std::max<size_t>(want, RecordBytes(scan.header.payload_bytes));
  }
  FinishReading(segment);
}

// What chunk_ has from the segment's read offset on.
base::ByteView Log::ChunkRest(const Segment& segment) const {
  return chunk_.view().subspan(
      std::min<uint64_t>(segment.read_offset - chunk_offset_, chunk_.size()));
}

// Makes chunk_ begin at or before the read offset. False: the offset has moved on, past a page that
// cannot be read or to the end.
bool Log::Fill(Segment& segment, size_t want) {
  if (want == kChunkBytes && chunk_segment_ == segment.number &&
      segment.read_offset >= chunk_offset_) {
    // Goes on in what an earlier Read has left, if a whole record is there.
    const base::ByteView rest = ChunkRest(segment);
    const Scan scan = ScanRecord(rest, segment.salt, false);
    if (scan.status == ScanStatus::kRecord && RecordBytes(scan.header.payload_bytes) <= rest.size())
      return true;
  }
  const uint64_t limit = segment.committed_size;
  const auto bytes = static_cast<size_t>(std::min<uint64_t>(want, limit - segment.read_offset));
  if (chunk_.capacity() > 2 * kChunkBytes && want == kChunkBytes) chunk_ = base::ByteBuffer();
  chunk_.clear();
  chunk_.Reserve(bytes);
  chunk_segment_ = segment.number;
  chunk_offset_ = segment.read_offset;
  const int fd = ReadFd(segment);
  const int64_t n = fd < 0 ? 0 : ReadFully(files_, fd, {chunk_.data(), bytes}, segment.read_offset);
  if (n == static_cast<int64_t>(bytes)) {
    chunk_.Commit(bytes);
    return true;
  }
  counters_.read_errors.Add(1);
  if (n >= 0) {
    // Gone, or shorter than it was: nothing more can come.
    segment.committed_size = segment.read_offset + static_cast<uint64_t>(n);
    chunk_.Commit(static_cast<size_t>(n));
    return n > 0;
  }
  // The disk refuses this page: the next one may be better.
  const uint64_t next = std::min(limit, (segment.read_offset / kPage + 1) * kPage);
  counters_.damaged_bytes.Add(next - segment.read_offset);
  segment.read_offset = next;
  return false;
}

Log::Step Log::ReadStep(Segment& segment, base::ByteView bytes, bool may_stop,
                        std::vector<Record>* out) {
  const uint64_t limit = segment.committed_size;
  const bool at_end = segment.read_offset + bytes.size() == limit;
  const Scan scan = ScanRecord(bytes, segment.salt, at_end);
  switch (scan.status) {
    case ScanStatus::kNeedMore:
      return Step::kRefill;
    case ScanStatus::kDamage:
      counters_.damaged_bytes.Add(scan.skip);
      [[fallthrough]];
    case ScanStatus::kZeros:
    case ScanStatus::kTorn:  // as below
      segment.read_offset += scan.skip;
      return Step::kOn;
    case ScanStatus::kRecord:
      break;
  }
  const RecordHeader& header = scan.header;
  const uint64_t total = RecordBytes(header.payload_bytes);
  if (total > limit - segment.read_offset) {
    // Torn: it was never synced, so nobody was told that it is safe.
    segment.read_offset = limit;
    return Step::kOn;
  }
  // Neither can come from a log; a checksum may be right by chance.
  const bool out_of_order = header.ordinal < segment.read_ordinal ||
                            header.ordinal > segment.read_offset / kRecordHeaderBytes;
  const bool taken =
      segment.settled.Contains(header.ordinal) || segment.claimed.Contains(header.ordinal);
  if (!out_of_order && !taken) {
    if (may_stop) return Step::kEnough;
    if (total > bytes.size()) return Step::kRefill;
  }
  if (!out_of_order) {
    CountLost(segment, segment.read_ordinal, header.ordinal);
    segment.read_ordinal = header.ordinal + 1;
    if (!taken)
      GiveOut(segment, header, bytes.subspan(kRecordHeaderBytes, header.payload_bytes), out);
  }
  segment.read_offset += total;
  return Step::kOn;
}

void Log::GiveOut(Segment& segment, const RecordHeader& header, base::ByteView payload,
                  std::vector<Record>* out) {
  RecordKey key{segment.number,       segment.read_offset, header.ordinal,
                header.payload_bytes, header.items,        SourceIndex(header.source_name())};
  if (segment.recovered) {
    deps_.ledger.In(key.items);
    deps_.ledger.Held(key.items);
  } else {
    --segment.unread;
    AddTally(&segment.unclaimed, key.source, -int64_t{key.items});
  }
  if (base::Crc32(0, payload) != header.payload_crc) {
    deps_.ledger.Held(-int64_t{key.items});
    deps_.ledger.Lose(base::Loss::kRejected, "damaged", key.items);
    counters_.damaged_records.Add(1);
    counters_.damaged_bytes.Add(RecordBytes(payload.size()));
    segment.settled.Add(key.ordinal);
    cursor_dirty_ = true;
    return;
  }
  segment.claimed.Add(key.ordinal);
  out->push_back({key, header.signal, sources_[key.source], header.time_ns, CopyOf(payload)});
}

// Ordinals that are not there although later ones are.
void Log::CountLost(Segment& segment, uint32_t from, uint32_t to) {
  for (uint32_t ordinal = from; ordinal < to; ++ordinal) {
    if (segment.settled.Contains(ordinal) || segment.claimed.Contains(ordinal)) continue;
    counters_.damaged_records.Add(1);
    segment.settled.Add(ordinal);
    cursor_dirty_ = true;
    if (!segment.recovered && segment.unread > 0) --segment.unread;
  }
}

void Log::FinishReading(Segment& segment) {
  if (segment.recovered) {
    segment.records = segment.read_ordinal;
    segment.read_done = true;
    return;
  }
  // Of our own the number is known: what has not shown up by now is lost.
  CountLost(segment, segment.read_ordinal, segment.committed_records);
  segment.read_ordinal = std::max(segment.read_ordinal, segment.committed_records);
  segment.unread = 0;
}

int Log::ReadFd(const Segment& segment) {
  if (read_fd_ >= 0 && read_segment_ == segment.number) return read_fd_;
  if (read_fd_ >= 0) files_.Close(read_fd_);
  read_segment_ = segment.number;
  read_fd_ = files_.Open(PathOf(segment.number), FileLayer::Mode::kRead);
  return read_fd_;
}

}  // namespace weft::spool
