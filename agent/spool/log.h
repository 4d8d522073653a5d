// Log: the spool without its thread: segments written at one end, read and unlinked at the other,
// and the cursor that says what was delivered. Everything is synchronous and goes through a
// FileLayer, so that tests can stop it between any two calls. The format and the promises are in
// docs/adr/0010-spool-format.md.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/ledger.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/result.h"
#include "spool/cursor.h"
#include "spool/files.h"
#include "spool/format.h"
#include "spool/ranges.h"

namespace weft::spool {

struct RecordMeta {
  model::Signal signal = model::Signal::kTraces;
  uint32_t items = 0;
  std::string_view source = {};  // a receiver's name
};

// The name of a record and where it is.
struct RecordKey {
  uint64_t segment = 0;
  uint64_t offset = 0;
  uint32_t ordinal = 0;
  uint32_t payload_bytes = 0;
  uint32_t items = 0;
  uint16_t source = 0;  // index into the log's names
};

struct Record {
  RecordKey key;
  model::Signal signal = model::Signal::kTraces;
  std::string_view source;  // valid as long as the log
  uint64_t time_ns = 0;     // when it was appended, since the epoch
  base::SharedBytes payload;
};

struct LogOptions {
  std::string directory;
  uint64_t max_bytes = uint64_t{4} << 30;
  uint64_t segment_bytes = 64 << 20;
};

// Everything outlives the log.
struct LogDeps {
  FileLayer& files;
  const base::Clock& clock;
  base::LedgerRow& ledger;  // "spool", in items
  base::MetricRegistry& metrics;
};

// Threads: one at a time. Owns: the folder (by a lock), its files' descriptors.
class Log {
 public:
  // Takes the lock and looks at the headers of the segments; reads no record.
  // Fails: no folder, or another process has it. Damaged segments are no failure: see problems().
  static base::Result<std::unique_ptr<Log>> Open(LogOptions options, LogDeps deps);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // Writes one record to the page cache. `claimed`: the caller still has the data and will Settle
  // or Release the record; Read leaves it out.
  // Fails: no space, read-only, an error of the disk. The record is then not in the log, the ones
  // before it still are, and the next Append begins a new segment.
  base::Result<RecordKey> Append(const base::Gathered& payload, const RecordMeta& meta,
                                 bool claimed);
  // Makes everything appended durable. Fails: then nothing appended since the last successful
  // Commit is in the log any more, and may not be acknowledged.
  base::Status Commit();
  bool uncommitted() const { return !uncommitted_.empty(); }

  // The next records that are durable, nobody has claimed and nobody has settled, oldest first, and
  // claims them. At least one if there is one; not more than `max_bytes` of payload if that is
  // possible. Empty: there is nothing (more) to read now.
  std::vector<Record> Read(uint64_t max_bytes);
  // Delivered, or refused for good: it will not be read again.
  void Settle(const RecordKey& key);
  // Nobody could read it: it will not be read again, and what was in it is lost.
  void Reject(const RecordKey& key);
  // The claimant has no use for it: Read will give it out again.
  void Release(const RecordKey& key);
  bool HasUnread() const;

  // Writes what was settled since the last call, if anything.
  base::Status SaveCursor(bool sync);

  uint64_t bytes() const { return bytes_; }
  size_t segments() const { return segments_.size(); }
  // What was found wrong in the folder at Open, one line each.
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  struct Tally {
    uint16_t source = 0;
    uint64_t items = 0;
  };
  struct Segment {
    uint64_t number = 0, salt = 0;
    uint64_t size = 0, committed_size = 0;        // bytes
    uint32_t records = 0, committed_records = 0;  // of a recovered one: those that were seen
    int fd = -1;                                  // while it is written to or not yet synced
    bool sealed = false;                          // nothing will be appended
    bool recovered = false;   // of an earlier run: what is in it shows when it is read
    bool name_synced = true;  // the folder has been synced since it was made
    uint64_t read_offset = kFirstRecord;
    uint32_t read_ordinal = 0;
    bool read_done = false;
    uint32_t unread = 0;           // of our own: unclaimed and not yet read
    Ranges settled, claimed;       // ordinals
    std::vector<Tally> unclaimed;  // items by source that would be lost with it
  };
  struct Appended {
    RecordKey key;
    bool claimed = false;
  };
  struct Counters {
    explicit Counters(base::MetricRegistry& registry);
    base::Metric &bytes, &segments, &appended_bytes, &commits, &write_errors, &read_errors;
    base::Metric &damaged_records, &damaged_bytes, &quarantined;
    static base::Metric& ShedItems(base::MetricRegistry& registry, const std::string& source);
  };

  Log(LogOptions options, LogDeps deps);
  base::Status Recover();
  void RecoverSegment(const FileInfo& file, uint64_t number);
  void Quarantine(const std::string& name, const std::string& why);

  base::Result<Segment*> SegmentFor(uint64_t record_bytes);
  base::Status NewSegment();
  base::Status WriteRecord(Segment& segment, const base::Gathered& payload, const uint8_t* header);
  base::Status SyncAll();
  void ConfirmUncommitted();
  void VoidUncommitted();
  void CutBack(Segment& segment, uint64_t size, uint32_t records);
  bool MakeRoom(uint64_t bytes);
  void DropOldest();
  void CountUnseen(Segment& segment);

  void ReadReturned(uint64_t max_bytes, std::vector<Record>* out);
  void ReadSegment(Segment& segment, uint64_t max_bytes, std::vector<Record>* out);
  enum class Step { kOn, kRefill, kEnough };
  Step ReadStep(Segment& segment, base::ByteView bytes, bool may_stop, std::vector<Record>* out);
  bool Fill(Segment& segment, size_t want);
  base::ByteView ChunkRest(const Segment& segment) const;
  void NeverAgain(const RecordKey& key);
  void GiveOut(Segment& segment, const RecordHeader& header, base::ByteView payload,
               std::vector<Record>* out);
  void CountLost(Segment& segment, uint32_t from, uint32_t to);
  void FinishReading(Segment& segment);
  int ReadFd(const Segment& segment);

  Segment* Find(uint64_t number);
  bool Complete(const Segment& segment) const;
  void RemoveIfComplete(uint64_t number);
  void Remove(uint64_t number);
  void CloseFd(Segment& segment);
  uint16_t SourceIndex(std::string_view name);
  static void AddTally(std::vector<Tally>* tallies, uint16_t source, int64_t items);
  void UpdateGauges();
  std::string PathOf(uint64_t number) const;

  const LogOptions options_;
  LogDeps deps_;
  FileLayer& files_;
  Counters counters_;
  Cursor cursor_;
  bool cursor_dirty_ = false, cursor_unsynced_ = false;
  bool cursor_name_synced_ = false;   // the folder has been synced since the file was made
  std::vector<CursorEntry> removed_;  // segments whose unlinking has not been synced
  base::LogLimiter error_log_{10'000'000'000};
  int lock_fd_ = -1;
  std::deque<Segment> segments_;  // ascending numbers
  uint64_t last_number_ = 0;
  uint64_t bytes_ = 0;
  std::vector<Appended> uncommitted_;
  std::deque<RecordKey> returned_;
  std::deque<std::string> sources_;  // names by index; addresses stay
  std::vector<std::string> problems_;

  int read_fd_ = -1;
  uint64_t read_segment_ = 0;
  base::ByteBuffer chunk_;
  uint64_t chunk_segment_ = 0, chunk_offset_ = 0;  // where chunk_ begins
};

}  // namespace weft::spool
