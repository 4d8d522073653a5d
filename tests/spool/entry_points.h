// What fuzzing and the ordinary tests do with bytes that claim to be a segment or a cursor.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/coding/crc.h"
#include "model_files.h"
#include "spool/log.h"

namespace weft::spool {

// Reads `bytes` as the only segment of a spool, then appends behind it. "" or what is wrong.
inline std::string TrySegment(std::string_view bytes) {
  ModelFiles files;
  base::FakeClock clock;
  base::Ledger books;
  base::LedgerRow& ledger = books.Row("spool", "items");
  base::MetricRegistry metrics;
  files.Put("/s/" + SegmentName(1), std::string(bytes));
  auto log = Log::Open({"/s"}, {files, clock, ledger, metrics});
  if (!log.ok()) return "a damaged segment keeps the spool from opening";
  uint64_t payload = 0, rounds = 0;
  for (std::vector<Record> some; !(some = (*log)->Read(4096)).empty();) {
    if (++rounds > bytes.size()) return "reading does not end";
    for (const Record& record : some) {
      payload += record.payload->size();
      if (record.key.offset + record.payload->size() > bytes.size()) return "record beyond the end";
      if (bytes.substr(record.key.offset + kRecordHeaderBytes, record.payload->size()) !=
          base::AsText(record.payload->view()))
        return "a payload that is not in the segment";
      (*log)->Settle(record.key);
    }
  }
  if (payload > bytes.size()) return "more payload than bytes";
  if ((*log)->HasUnread()) return "reading stopped early";
  if (!ledger.Balanced()) return "the books do not balance";
  base::Gathered more;
  more.Add(base::AsBytes("more"));
  if (!(*log)->Append(more, {.items = 1}, false).ok() || !(*log)->Commit().ok())
    return "nothing can be appended";
  const std::vector<Record> last = (*log)->Read(4096);
  if (last.size() != 1 || base::AsText(last[0].payload->view()) != "more")
    return "what was appended does not come back";
  return "";
}

// Two slots of a cursor file.
inline std::string TryCursor(std::string_view bytes) {
  ModelFiles files;
  files.Put("/s/cursor-1", std::string(bytes));
  Cursor cursor(files, "/s/cursor-1");
  CursorState state = cursor.Load();
  const uint64_t generation = state.generation;
  state.last_segment = 77;
  if (generation < UINT64_MAX && !cursor.Save(state, true).ok()) return "cannot be saved";
  Cursor again(files, "/s/cursor-1");
  if (generation < UINT64_MAX && again.Load().last_segment != 77) return "is not read back";
  return "";
}

}  // namespace weft::spool
