#include "spool/tool.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "base/bytes.h"
#include "base/coding/crc.h"
#include "protocols/otlp/json_write.h"
#include "spool/cursor.h"
#include "spool/format.h"

namespace weft::spool {
namespace {

constexpr size_t kChunk = 2 << 20;

// What a walk over a folder tells.
struct Visitor {
  std::function<void(const SegmentHeader&, uint64_t bytes)> segment;
  std::function<void(const SegmentHeader&, uint64_t offset, const RecordHeader&, base::ByteView,
                     bool delivered)>
      record;
  std::function<void(const std::string& segment, uint64_t offset, uint64_t bytes,
                     const std::string& what)>
      damage;
};

class Walk {
 public:
  Walk(const std::string& directory, const Visitor& visitor, FileLayer& files)
      : directory_(directory), visitor_(visitor), files_(files) {}

  base::Status Run() {
    std::vector<FileInfo> found;
    if (int rc = files_.List(directory_, &found); rc < 0) return FileError(directory_, rc);
    std::sort(found.begin(), found.end(),
              [](const FileInfo& a, const FileInfo& b) { return a.name < b.name; });
    Cursor cursor(files_, directory_ + "/" + kCursorName);
    state_ = cursor.Load();
    for (const FileInfo& file : found)
      if (file.regular && SegmentNumber(file.name)) Segment(file);
    return base::Ok();
  }

 private:
  void Segment(const FileInfo& file) {
    const int fd = files_.Open(directory_ + "/" + file.name, FileLayer::Mode::kRead);
    if (fd < 0) return visitor_.damage(file.name, 0, file.size, "cannot be opened");
    uint8_t bytes[kFirstRecord] = {};
    const int64_t n = ReadFully(files_, fd, bytes, 0);
    SegmentHeader header;
    uint32_t version = 0;
    const HeaderStatus status = DecodeSegmentHeader(
        {bytes, static_cast<size_t>(std::max<int64_t>(n, 0))}, &header, &version);
    if (status == HeaderStatus::kGood) {
      visitor_.segment(header, file.size);
      Records(file, fd, header);
    } else {
      visitor_.damage(file.name, 0, file.size,
                      status == HeaderStatus::kOtherVersion
                          ? "format version " + std::to_string(version) + " is not known here"
                          : "damaged header");
    }
    files_.Close(fd);
  }

  void Records(const FileInfo& file, int fd, const SegmentHeader& header) {
    base::ByteBuffer buffer;
    size_t want = kChunk;
    for (uint64_t offset = kFirstRecord; offset < file.size;) {
      const auto bytes = static_cast<size_t>(std::min<uint64_t>(want, file.size - offset));
      buffer.clear();
      buffer.Reserve(bytes);
      const int64_t n = ReadFully(files_, fd, {buffer.data(), bytes}, offset);
      if (n != static_cast<int64_t>(bytes))
        return visitor_.damage(file.name, offset, file.size - offset, "cannot be read");
      buffer.Commit(bytes);
      const uint64_t before = offset;
      want = std::max(kChunk, Chunk(file, header, buffer.view(), &offset));
      if (offset == before && want <= bytes) return;
    }
  }

  // Moves `offset` over what is whole; how many bytes the rest needs.
  size_t Chunk(const FileInfo& file, const SegmentHeader& header, base::ByteView chunk,
               uint64_t* offset) {
    const uint64_t begin = *offset;
    while (*offset - begin < chunk.size()) {
      const base::ByteView rest = chunk.subspan(*offset - begin);
      const Scan scan = ScanRecord(rest, header.salt, begin + chunk.size() == file.size);
      if (scan.status == ScanStatus::kNeedMore) return kChunk;
      if (scan.status != ScanStatus::kRecord) {
        if (scan.status == ScanStatus::kDamage)
          visitor_.damage(file.name, *offset, scan.skip, "no record");
        if (scan.status == ScanStatus::kTorn)
          visitor_.damage(file.name, *offset, scan.skip, "torn tail");
        *offset += scan.skip;
        continue;
      }
      const size_t total = RecordBytes(scan.header.payload_bytes);
      if (total > file.size - *offset) {
        visitor_.damage(file.name, *offset, file.size - *offset, "torn tail");
        *offset = file.size;
        return 0;
      }
      if (total > rest.size()) return total;
      const base::ByteView payload = rest.subspan(kRecordHeaderBytes, scan.header.payload_bytes);
      if (base::Crc32(0, payload) != scan.header.payload_crc) {
        visitor_.damage(file.name, *offset, total,
                        "wrong checksum, " + std::to_string(scan.header.items) + " items");
      } else {
        visitor_.record(header, *offset, scan.header, payload,
                        Delivered(header, scan.header.ordinal));
      }
      *offset += total;
    }
    return 0;
  }

  bool Delivered(const SegmentHeader& header, uint32_t ordinal) const {
    for (const CursorEntry& entry : state_.entries) {
      if (entry.segment != header.number || entry.salt != header.salt) continue;
      return std::any_of(
          entry.delivered.begin(), entry.delivered.end(),
          [&](const Ranges::Range& r) { return r.from <= ordinal && ordinal < r.to; });
    }
    return false;
  }

  const std::string& directory_;
  const Visitor& visitor_;
  FileLayer& files_;
  CursorState state_;
};

Visitor Quiet() {
  return {[](const SegmentHeader&, uint64_t) {},
          [](const SegmentHeader&, uint64_t, const RecordHeader&, base::ByteView, bool) {},
          [](const std::string&, uint64_t, uint64_t, const std::string&) {}};
}

int Finish(const base::Status& status, std::ostream& errors) {
  if (status.ok()) return 0;
  errors << status.message() << "\n";
  return 1;
}

std::string_view SignalName(model::Signal signal) {
  switch (signal) {
    case model::Signal::kTraces:
      return "traces";
    case model::Signal::kMetrics:
      return "metrics";
    case model::Signal::kLogs:
      return "logs";
    case model::Signal::kProfiles:
      return "profiles";
  }
  return "";
}

}  // namespace

int ListSpool(const std::string& directory, std::ostream& out, std::ostream& errors,
              FileLayer& files) {
  struct Row {
    SegmentHeader header;
    uint64_t bytes = 0, records = 0, items = 0, held = 0, damaged = 0;
  };
  std::vector<Row> rows;
  Visitor visitor = Quiet();
  visitor.segment = [&](const SegmentHeader& header, uint64_t bytes) {
    rows.push_back({header, bytes});
  };
  visitor.record = [&](const SegmentHeader&, uint64_t, const RecordHeader& record, base::ByteView,
                       bool delivered) {
    ++rows.back().records;
    rows.back().items += record.items;
    if (!delivered) rows.back().held += record.items;
  };
  visitor.damage = [&](const std::string& segment, uint64_t offset, uint64_t bytes,
                       const std::string& what) {
    if (offset == 0) {
      errors << segment << ": " << what << "\n";
    } else {
      rows.back().damaged += bytes;
    }
  };
  const base::Status status = Walk(directory, visitor, files).Run();
  out << "segment\tcreated_unix\tbytes\trecords\titems\tundelivered\tdamaged_bytes\n";
  Row sum;
  for (const Row& row : rows) {
    out << row.header.number << '\t' << row.header.created_ns / 1'000'000'000 << '\t' << row.bytes
        << '\t' << row.records << '\t' << row.items << '\t' << row.held << '\t' << row.damaged
        << '\n';
    sum.bytes += row.bytes, sum.records += row.records, sum.items += row.items;
    sum.held += row.held, sum.damaged += row.damaged;
  }
  out << "total\t-\t" << sum.bytes << '\t' << sum.records << '\t' << sum.items << '\t' << sum.held
      << '\t' << sum.damaged << '\n';
  return Finish(status, errors);
}

int VerifySpool(const std::string& directory, std::ostream& out, std::ostream& errors,
                FileLayer& files) {
  uint64_t records = 0, damaged = 0;
  Visitor visitor = Quiet();
  visitor.record = [&](const SegmentHeader&, uint64_t, const RecordHeader&, base::ByteView, bool) {
    ++records;
  };
  visitor.damage = [&](const std::string& segment, uint64_t offset, uint64_t bytes,
                       const std::string& what) {
    ++damaged;
    out << segment << " at " << offset << ", " << bytes << " bytes: " << what << '\n';
  };
  const base::Status status = Walk(directory, visitor, files).Run();
  out << records << " records are whole, " << damaged << " places are damaged\n";
  const int result = Finish(status, errors);
  return result != 0 || damaged > 0 ? 1 : 0;
}

int DumpSpool(const std::string& directory, DumpOptions options, std::ostream& out,
              std::ostream& errors, FileLayer& files) {
  std::string line;
  Visitor visitor = Quiet();
  visitor.record = [&](const SegmentHeader& segment, uint64_t offset, const RecordHeader& record,
                       base::ByteView payload, bool delivered) {
    if (delivered && !options.delivered) return;
    line.clear();
    if (options.raw) {
      line.append(base::AsText(payload));
    } else if (record.signal == model::Signal::kTraces) {
      protocols::otlp::AppendJson(payload, &line);
      line.push_back('\n');
    } else {
      line.append("{\"signal\":\"").append(SignalName(record.signal)).append("\",\"segment\":");
      line.append(std::to_string(segment.number)).append(",\"offset\":");
      line.append(std::to_string(offset)).append(",\"items\":");
      line.append(std::to_string(record.items)).append(",\"bytes\":");
      line.append(std::to_string(payload.size())).append("}\n");
    }
    out << line;
  };
  visitor.damage = [&](const std::string& segment, uint64_t offset, uint64_t bytes,
                       const std::string& what) {
    errors << segment << " at " << offset << ", " << bytes << " bytes: " << what << '\n';
  };
  return Finish(Walk(directory, visitor, files).Run(), errors);
}

}  // namespace weft::spool
