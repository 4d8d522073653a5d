// A log on a disk in memory, and records whose payload says which one it is.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "model_files.h"
#include "spool/log.h"

namespace weft::spool {

inline base::Gathered Payload(const std::string& text) {
  base::Gathered out;
  auto bytes = std::make_shared<std::string>(text);
  // Two pieces, as a gathered batch has.
  out.Add(base::AsBytes(std::string_view(*bytes).substr(0, text.size() / 2)));
  out.Add(base::AsBytes(std::string_view(*bytes).substr(text.size() / 2)));
  out.owners.push_back(bytes);
  return out;
}

// "record 12: xxxx…" of about `bytes` bytes.
inline std::string Text(int number, size_t bytes = 100) {
  std::string text = "record " + std::to_string(number) + ": ";
  if (text.size() < bytes) text.append(bytes - text.size(), static_cast<char>('a' + number % 26));
  return text;
}

class LogTest : public testing::Test {
 protected:
  static constexpr char kFolder[] = "/spool";

  base::Status TryOpen() {
    auto opened = Log::Open({kFolder, max_bytes, segment_bytes}, {files, clock, *ledger, metrics});
    if (!opened.ok()) return opened.status();
    log = std::move(*opened);
    return base::Ok();
  }
  void Open() {
    base::Status status = TryOpen();
    ASSERT_TRUE(status.ok()) << status;
  }
  // As after a kill.
  void Reopen() {
    log.reset();
    files.Kill();
    ledger = &books.Row("spool", "items");
    Open();
  }
  base::Result<RecordKey> Append(const std::string& text, bool claimed = false, uint32_t items = 1,
                                 std::string_view source = "otlp_grpc") {
    return log->Append(Payload(text), {model::Signal::kTraces, items, source}, claimed);
  }
  void AppendCommitted(int from, int to, size_t bytes = 100) {
    for (int i = from; i < to; ++i) ASSERT_TRUE(Append(Text(i, bytes)).ok());
    ASSERT_TRUE(log->Commit().ok());
  }
  std::vector<Record> ReadAll() {
    std::vector<Record> all;
    for (;;) {
      std::vector<Record> some = log->Read(1 << 20);
      if (some.empty()) return all;
      for (Record& record : some) all.push_back(std::move(record));
    }
  }
  static std::string TextOf(const Record& record) {
    return std::string(base::AsText(record.payload->view()));
  }
  std::vector<std::string> ReadTexts() {
    std::vector<std::string> texts;
    for (const Record& record : ReadAll()) texts.push_back(TextOf(record));
    return texts;
  }
  std::vector<std::string> SegmentPaths() const {
    std::vector<std::string> paths;
    for (const std::string& path : files.Paths())
      if (path.ends_with(".spool")) paths.push_back(path);
    return paths;
  }
  double Metric(const std::string& name) {
    for (const auto& sample : metrics.Snapshot())
      if (sample.name == name) return sample.value;
    return -1;
  }

  ModelFiles files;
  base::FakeClock clock;
  base::Ledger books;
  base::LedgerRow* ledger = &books.Row("spool", "items");
  base::MetricRegistry metrics;
  uint64_t max_bytes = 16 << 20, segment_bytes = 64 << 10;
  std::unique_ptr<Log> log;
};

}  // namespace weft::spool
