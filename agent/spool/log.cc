// Opening, the cursor, and the end of segments. Writing is in log_write.cc, reading in log_read.cc.
#include "spool/log.h"

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/log.h"

namespace weft::spool {
namespace {

constexpr size_t kMaxSources = 64;  // names on disk are checked, but not trusted to be few
constexpr uint64_t kSmallestSegment = 64 << 10;

LogOptions Sane(LogOptions options) {
  // At the cap a whole segment goes, so several must fit.
  options.segment_bytes =
      std::max(kSmallestSegment, std::min(options.segment_bytes, options.max_bytes / 4));
  return options;
}

}  // namespace

Log::Counters::Counters(base::MetricRegistry& r)
    : bytes(r.Get(base::MetricKind::kGauge, "weft_spool_disk_bytes",
                  "Size of the spool's segments.")),
      segments(r.Get(base::MetricKind::kGauge, "weft_spool_segments", "Segments on disk.")),
      appended_bytes(r.Get(base::MetricKind::kCounter, "weft_spool_appended_bytes_total",
                           "Bytes written to segments.")),
      commits(r.Get(base::MetricKind::kCounter, "weft_spool_commits_total",
                    "Times that appended records were synced to disk.")),
      write_errors(r.Get(base::MetricKind::kCounter, "weft_spool_write_errors_total",
                         "Writes, syncs and creations that failed.")),
      read_errors(
          r.Get(base::MetricKind::kCounter, "weft_spool_read_errors_total", "Reads that failed.")),
      damaged_records(r.Get(base::MetricKind::kCounter, "weft_spool_damaged_records_total",
                            "Records that could not be read back.")),
      damaged_bytes(r.Get(base::MetricKind::kCounter, "weft_spool_damaged_bytes_total",
                          "Bytes in segments that are no valid record.")),
      quarantined(r.Get(base::MetricKind::kCounter, "weft_spool_quarantined_segments_total",
                        "Segments set aside because their header is damaged.")) {
  ShedItems(r, "other");  // there from the start, so that its rise can be seen
}

base::Metric& Log::Counters::ShedItems(base::MetricRegistry& r, const std::string& source) {
  return r.Get(base::MetricKind::kCounter, "weft_spool_shed_items_total",
               "Items that went undelivered with the oldest segment at the byte cap.",
               {{"source", source}});
}

Log::Log(LogOptions options, LogDeps deps)
    : options_(Sane(std::move(options))),
      deps_(deps),
      files_(deps.files),
      counters_(deps.metrics),
      cursor_(deps.files, options_.directory + "/" + kCursorName) {}

Log::~Log() {
  for (Segment& segment : segments_) CloseFd(segment);
  if (read_fd_ >= 0) files_.Close(read_fd_);
  if (lock_fd_ >= 0) files_.Close(lock_fd_);
}

base::Result<std::unique_ptr<Log>> Log::Open(LogOptions options, LogDeps deps) {
  std::unique_ptr<Log> log(new Log(std::move(options), deps));
  if (base::Status status = log->Recover(); !status.ok())
    return base::Context("spool " + log->options_.directory, status);
  return log;
}

base::Status Log::Recover() {
  const std::string& folder = options_.directory;
  if (int rc = files_.MakeFolder(folder); rc < 0) return FileError("make the folder", rc);
  lock_fd_ = files_.Open(folder + "/lock", FileLayer::Mode::kReadWrite);
  if (lock_fd_ < 0) return FileError("open the lock file", lock_fd_);
  if (int rc = files_.Lock(lock_fd_); rc < 0) {
    if (rc == -EWOULDBLOCK) return base::Error("another weft is using this folder");
    return FileError("lock", rc);
  }
  std::vector<FileInfo> found;
  if (int rc = files_.List(folder, &found); rc < 0) return FileError("list the folder", rc);
  std::sort(found.begin(), found.end(),
            [](const FileInfo& a, const FileInfo& b) { return a.name < b.name; });
  for (const FileInfo& file : found) {
    const std::optional<uint64_t> number = SegmentNumber(file.name);
    if (!number) continue;
    last_number_ = std::max(last_number_, *number);
    if (file.regular) {
      RecoverSegment(file, *number);
    } else {
      problems_.push_back(file.name + " is not a file; left alone");
    }
  }
  const CursorState state = cursor_.Load();
  last_number_ = std::max(last_number_, state.last_segment);
  for (const CursorEntry& entry : state.entries) {
    last_number_ = std::max(last_number_, entry.segment);
    Segment* segment = Find(entry.segment);
    if (segment == nullptr || segment->salt != entry.salt) continue;
    for (const Ranges::Range& range : entry.delivered) segment->settled.Add(range.from, range.to);
  }
  UpdateGauges();
  return base::Ok();
}

void Log::RecoverSegment(const FileInfo& file, uint64_t number) {
  const std::string path = options_.directory + "/" + file.name;
  const int fd = files_.Open(path, FileLayer::Mode::kRead);
  if (fd < 0) {
    problems_.push_back(std::string(FileError("open " + file.name, fd).message()));
    return;
  }
  uint8_t bytes[kFirstRecord] = {};
  const int64_t n = ReadFully(files_, fd, bytes, 0);
  files_.Close(fd);
  if (n < 0) {
    counters_.read_errors.Add(1);
    problems_.push_back(std::string(FileError("read " + file.name, n).message()));
    return;
  }
  // A crash right after creation: nothing in it can have been acknowledged.
  if (file.size <= kFirstRecord &&
      std::all_of(bytes, bytes + kFirstRecord, [](uint8_t byte) { return byte == 0; })) {
    (void)files_.Unlink(path);
    return;
  }
  SegmentHeader header;
  uint32_t version = 0;
  switch (DecodeSegmentHeader({bytes, static_cast<size_t>(n)}, &header, &version)) {
    case HeaderStatus::kBad:
      return Quarantine(file.name, "its header is damaged");
    case HeaderStatus::kOtherVersion:
      problems_.push_back(file.name + " has format version " + std::to_string(version) +
                          ", this weft reads " + std::to_string(kFormatVersion) +
                          "; left as it is");
      return;
    case HeaderStatus::kGood:
      break;
  }
  if (header.number != number) return Quarantine(file.name, "it is a copy of another segment");
  Segment segment;
  segment.number = number;
  segment.salt = header.salt;
  segment.size = segment.committed_size = file.size;
  segment.sealed = segment.recovered = true;
  bytes_ += segment.size;
  segments_.push_back(std::move(segment));
}

void Log::Quarantine(const std::string& name, const std::string& why) {
  counters_.quarantined.Add(1);
  const std::string path = options_.directory + "/" + name;
  const bool moved = files_.Rename(path, path + ".damaged") >= 0;
  problems_.push_back(name + ": " + why + (moved ? "; renamed to *.damaged" : "; left alone"));
}

void Log::Settle(const RecordKey& key) {
  deps_.ledger.Out(key.items);
  NeverAgain(key);
}

void Log::Reject(const RecordKey& key) {
  deps_.ledger.Lose(base::Loss::kRejected, "damaged", key.items);
  NeverAgain(key);
}

void Log::NeverAgain(const RecordKey& key) {
  deps_.ledger.Held(-int64_t{key.items});
  Segment* segment = Find(key.segment);
  if (segment == nullptr) return;  // it went at the byte cap while the record was on its way
  segment->settled.Add(key.ordinal);
  cursor_dirty_ = true;
  RemoveIfComplete(key.segment);
}

void Log::Release(const RecordKey& key) {
  Segment* segment = Find(key.segment);
  if (segment == nullptr) {
    deps_.ledger.Lose(base::Loss::kShed, "spool_full", key.items);
    deps_.ledger.Held(-int64_t{key.items});
    return;
  }
  AddTally(&segment->unclaimed, key.source, key.items);
  returned_.push_back(key);
}

base::Status Log::SaveCursor(bool sync) {
  if (!cursor_dirty_ && !(sync && cursor_unsynced_)) return base::Ok();
  // Until the folder is synced a removed segment may come back, and must then count as delivered.
  if (sync && !removed_.empty() && files_.SyncFolder(options_.directory) >= 0) removed_.clear();
  CursorState state;
  state.last_segment = last_number_;
  state.entries = removed_;
  for (const Segment& segment : segments_)
    if (!segment.settled.empty())
      state.entries.push_back({segment.number, segment.salt, segment.settled.list()});
  if (base::Status status = cursor_.Save(std::move(state), sync); !status.ok()) {
    counters_.write_errors.Add(1);
    return status;
  }
  cursor_dirty_ = false;
  cursor_unsynced_ = !sync;
  if (sync && !cursor_name_synced_)
    cursor_name_synced_ = files_.SyncFolder(options_.directory) >= 0;
  return base::Ok();
}

Log::Segment* Log::Find(uint64_t number) {
  auto it = std::lower_bound(
      segments_.begin(), segments_.end(), number,
      [](const Segment& segment, uint64_t wanted) { return segment.number < wanted; });
  return it != segments_.end() && it->number == number ? &*it : nullptr;
}

bool Log::Complete(const Segment& segment) const {
  if (!segment.sealed || segment.fd >= 0) return false;
  if (segment.recovered && !segment.read_done) return false;
  return segment.settled.Covers(segment.records);
}

void Log::RemoveIfComplete(uint64_t number) {
  const Segment* segment = Find(number);
  if (segment == nullptr || !Complete(*segment)) return;
  // Items that nobody has claimed and that are yet settled were lost to damage.
  for (const Tally& tally : segment->unclaimed) {
    deps_.ledger.Held(-static_cast<int64_t>(tally.items));
    deps_.ledger.Lose(base::Loss::kRejected, "damaged", tally.items);
  }
  Remove(number);
}

void Log::Remove(uint64_t number) {
  Segment* segment = Find(number);
  CloseFd(*segment);
  if (read_fd_ >= 0 && read_segment_ == number) {
    files_.Close(read_fd_);
    read_fd_ = -1;
  }
  if (int rc = files_.Unlink(PathOf(number)); rc < 0 && rc != -ENOENT) {
    counters_.write_errors.Add(1);
    if (error_log_.Allow(deps_.clock.MonotonicNs()))
      SPDLOG_WARN("spool: unlink {}: error {}", SegmentName(number), -rc);
  }
  bytes_ -= segment->size;
  removed_.push_back({number, segment->salt, {{0, UINT32_MAX}}});
  std::erase_if(segments_, [number](const Segment& s) { return s.number == number; });
  cursor_dirty_ = true;
  UpdateGauges();
}

void Log::CloseFd(Segment& segment) {
  if (segment.fd >= 0) files_.Close(segment.fd);
  segment.fd = -1;
}

uint16_t Log::SourceIndex(std::string_view name) {
  for (size_t i = 0; i < sources_.size(); ++i)
    if (sources_[i] == name) return static_cast<uint16_t>(i);
  if (sources_.size() == kMaxSources) return static_cast<uint16_t>(kMaxSources - 1);
  sources_.emplace_back(sources_.size() == kMaxSources - 1 ? "other" : name);
  return static_cast<uint16_t>(sources_.size() - 1);
}

void Log::AddTally(std::vector<Tally>* tallies, uint16_t source, int64_t items) {
  for (Tally& tally : *tallies) {
    if (tally.source != source) continue;
    tally.items = static_cast<uint64_t>(static_cast<int64_t>(tally.items) + items);
    return;
  }
  if (items > 0) tallies->push_back({source, static_cast<uint64_t>(items)});
}

void Log::UpdateGauges() {
  counters_.bytes.Set(static_cast<int64_t>(bytes_));
  counters_.segments.Set(static_cast<int64_t>(segments_.size()));
}

std::string Log::PathOf(uint64_t number) const {
  return options_.directory + "/" + SegmentName(number);
}

}  // namespace weft::spool
