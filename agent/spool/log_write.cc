// The writing end of the log: records into segments, syncs, and the byte cap.
#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <random>

#include "base/coding/crc.h"
#include "base/log.h"
#include "spool/log.h"

namespace weft::spool {
namespace {

constexpr uint8_t kZeros[kAlignment] = {};

uint64_t NewSalt() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

iovec Piece(base::ByteView bytes) { return {const_cast<uint8_t*>(bytes.data()), bytes.size()}; }

// Everything at `offset`, in as few calls as the kernel allows; 0 or -errno.
int64_t WriteFully(FileLayer& files, int fd, std::span<iovec> pieces, uint64_t offset) {
  while (!pieces.empty()) {
    const size_t count = std::min<size_t>(pieces.size(), IOV_MAX);
    const int64_t written = files.Write(fd, pieces.first(count), offset);
    if (written <= 0) return written < 0 ? written : -EIO;
    offset += static_cast<uint64_t>(written);
    auto left = static_cast<size_t>(written);
    while (!pieces.empty() && left >= pieces[0].iov_len) {
      left -= pieces[0].iov_len;
      pieces = pieces.subspan(1);
    }
    if (left == 0) continue;
    pieces[0].iov_base = static_cast<uint8_t*>(pieces[0].iov_base) + left;
    pieces[0].iov_len -= left;
  }
  return 0;
}

}  // namespace

base::Result<RecordKey> Log::Append(const base::Gathered& payload, const RecordMeta& meta,
                                    bool claimed) {
  if (payload.size > kMaxPayloadBytes) return base::Error("record too large for the spool");
  const uint64_t total = RecordBytes(payload.size);
  base::Result<Segment*> found = SegmentFor(total);
  if (!found.ok()) {
    counters_.write_errors.Add(1);
    return found.status();
  }
  Segment& segment = **found;
  RecordHeader header;
  header.payload_bytes = static_cast<uint32_t>(payload.size);
  for (base::ByteView piece : payload.pieces)
    header.payload_crc = base::Crc32(header.payload_crc, piece);
  header.ordinal = segment.records;
  header.items = meta.items;
  header.time_ns = deps_.clock.UnixNs();
  header.signal = meta.signal;
  header.SetSource(meta.source);
  uint8_t encoded[kRecordHeaderBytes];
  EncodeRecordHeader(header, segment.salt, encoded);
  if (base::Status status = WriteRecord(segment, payload, encoded); !status.ok()) {
    counters_.write_errors.Add(1);
    CutBack(segment, segment.size, segment.records);
    if (segment.size == segment.committed_size || segment.records == 0) CloseFd(segment);
    RemoveIfComplete(segment.number);
    return status;
  }
  RecordKey key{segment.number,       segment.size, header.ordinal,
                header.payload_bytes, header.items, SourceIndex(header.source_name())};
  uncommitted_.push_back({key, claimed});
  segment.size += total;
  ++segment.records;
  bytes_ += total;
  counters_.appended_bytes.Add(total);
  return key;
}

base::Status Log::WriteRecord(Segment& segment, const base::Gathered& payload,
                              const uint8_t* header) {
  std::vector<iovec> pieces;
  pieces.reserve(payload.pieces.size() + 2);
  pieces.push_back(Piece({header, kRecordHeaderBytes}));
  for (base::ByteView piece : payload.pieces)
    if (!piece.empty()) pieces.push_back(Piece(piece));
  if (const size_t padding = PaddingOf(payload.size); padding > 0)
    pieces.push_back(Piece({kZeros, padding}));
  const int64_t rc = WriteFully(files_, segment.fd, pieces, segment.size);
  return rc < 0 ? FileError("append to " + SegmentName(segment.number), rc) : base::Ok();
}

base::Result<Log::Segment*> Log::SegmentFor(uint64_t record_bytes) {
  if (!MakeRoom(record_bytes + kFirstRecord)) return base::Error("the spool is full");
  if (!segments_.empty()) {
    Segment& last = segments_.back();
    if (!last.sealed && (last.records == 0 || last.size + record_bytes <= options_.segment_bytes))
      return &last;
    last.sealed = true;
    if (last.size == last.committed_size) CloseFd(last);
    RemoveIfComplete(last.number);
  }
  if (base::Status status = NewSegment(); !status.ok()) return status;
  return &segments_.back();
}

base::Status Log::NewSegment() {
  Segment segment;
  segment.number = ++last_number_;
  segment.salt = NewSalt();
  segment.name_synced = false;
  const std::string name = SegmentName(segment.number);
  segment.fd = files_.Open(PathOf(segment.number), FileLayer::Mode::kCreate);
  if (segment.fd < 0) return FileError("create " + name, segment.fd);
  uint8_t header[kFirstRecord];
  EncodeSegmentHeader({segment.number, deps_.clock.UnixNs(), segment.salt}, header);
  iovec piece = Piece(header);
  if (int64_t rc = WriteFully(files_, segment.fd, {&piece, 1}, 0); rc < 0) {
    files_.Close(segment.fd);
    (void)files_.Unlink(PathOf(segment.number));
    return FileError("write " + name, rc);
  }
  segment.size = kFirstRecord;
  bytes_ += segment.size;
  segments_.push_back(std::move(segment));
  UpdateGauges();
  return base::Ok();
}

base::Status Log::Commit() {
  if (uncommitted_.empty()) return base::Ok();
  if (base::Status status = SyncAll(); !status.ok()) {
    counters_.write_errors.Add(1);
    VoidUncommitted();
    return status;
  }
  counters_.commits.Add(1);
  ConfirmUncommitted();
  return base::Ok();
}

base::Status Log::SyncAll() {
  bool new_names = false;
  for (const Segment& segment : segments_) {
    if (segment.fd < 0 || segment.size == segment.committed_size) continue;
    if (int rc = files_.Sync(segment.fd); rc < 0)
      return FileError("sync " + SegmentName(segment.number), rc);
    new_names = new_names || !segment.name_synced;
  }
  if (new_names)
    if (int rc = files_.SyncFolder(options_.directory); rc < 0)
      return FileError("sync the folder", rc);
  return base::Ok();
}

void Log::ConfirmUncommitted() {
  for (const Appended& appended : uncommitted_) {
    Segment& segment = *Find(appended.key.segment);
    deps_.ledger.In(appended.key.items);
    deps_.ledger.Held(appended.key.items);
    if (appended.claimed) {
      segment.claimed.Add(appended.key.ordinal);
    } else {
      ++segment.unread;
      AddTally(&segment.unclaimed, appended.key.source, appended.key.items);
    }
  }
  uncommitted_.clear();
  for (Segment& segment : segments_) {
    if (segment.fd < 0) continue;
    segment.committed_size = segment.size;
    segment.committed_records = segment.records;
    segment.name_synced = true;
    if (segment.sealed) CloseFd(segment);
  }
  UpdateGauges();
}

// After a failed sync nobody knows what of the pages is on disk, and a second sync would succeed
// without having written them: what was not synced is taken back, and the file is not used again.
void Log::VoidUncommitted() {
  uncommitted_.clear();
  std::vector<uint64_t> touched;
  for (Segment& segment : segments_) {
    if (segment.fd < 0 || segment.size == segment.committed_size) continue;
    CutBack(segment, std::max<uint64_t>(segment.committed_size, kFirstRecord),
            segment.committed_records);
    CloseFd(segment);
    touched.push_back(segment.number);
  }
  for (uint64_t number : touched) RemoveIfComplete(number);
  UpdateGauges();
}

void Log::CutBack(Segment& segment, uint64_t size, uint32_t records) {
  segment.sealed = true;
  if (files_.Truncate(segment.fd, size) >= 0) {
    segment.records = records;
  } else {
    // It may show again after a restart, although nobody was promised anything.
    segment.settled.Add(records, segment.records);
    cursor_dirty_ = true;
  }
  bytes_ -= segment.size - size;
  segment.size = size;
}

bool Log::MakeRoom(uint64_t bytes) {
  // Nothing goes for a record that would find no room even then.
  uint64_t stays = bytes_;
  for (const Segment& segment : segments_) {
    if (!segment.sealed || segment.fd >= 0) break;
    stays -= segment.size;
  }
  if (stays + bytes > options_.max_bytes) return false;
  while (bytes_ + bytes > options_.max_bytes) {
    if (segments_.empty()) return false;
    const Segment& oldest = segments_.front();
    if (!oldest.sealed || oldest.fd >= 0) return false;
    DropOldest();
  }
  return true;
}

void Log::DropOldest() {
  Segment& segment = segments_.front();
  std::vector<Tally> lost = segment.unclaimed;
  uint64_t counted = 0;
  for (const Tally& tally : lost) counted += tally.items;
  deps_.ledger.Held(-static_cast<int64_t>(counted));
  if (segment.recovered && !segment.read_done) {
    segment.unclaimed.clear();
    CountUnseen(segment);
    for (const Tally& tally : segment.unclaimed) {
      deps_.ledger.In(tally.items);
      AddTally(&lost, tally.source, static_cast<int64_t>(tally.items));
    }
  }
  for (const Tally& tally : lost) {
    if (tally.items == 0) continue;
    deps_.ledger.Lose(base::Loss::kShed, "spool_full", tally.items);
    Counters::ShedItems(deps_.metrics, sources_[tally.source]).Add(tally.items);
  }
  const uint64_t number = segment.number;
  std::erase_if(returned_, [number](const RecordKey& key) { return key.segment == number; });
  Remove(number);
}

void Log::CountUnseen(Segment& segment) {
  const int fd = ReadFd(segment);
  if (fd < 0) return;
  for (uint64_t offset = segment.read_offset; offset < segment.committed_size;) {
    uint8_t bytes[kRecordHeaderBytes];
    if (ReadFully(files_, fd, bytes, offset) != int64_t{kRecordHeaderBytes}) return;
    const Scan scan = ScanRecord(bytes, segment.salt, true);
    if (scan.status != ScanStatus::kRecord) {
      offset += kAlignment;
      continue;
    }
    const RecordHeader& header = scan.header;
    if (!segment.settled.Contains(header.ordinal) && !segment.claimed.Contains(header.ordinal))
      AddTally(&segment.unclaimed, SourceIndex(header.source_name()), header.items);
    offset += RecordBytes(header.payload_bytes);
  }
}

}  // namespace weft::spool
