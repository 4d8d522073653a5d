// Cursor: what of the spool has been delivered, in one small file of two slots. The slot that was
// synced last is never written to, so a crash at any moment leaves at least that one whole.
// Forgetting the cursor costs duplicates, never data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "spool/files.h"
#include "spool/ranges.h"

namespace weft::spool {

inline constexpr char kCursorName[] = "cursor-1";
inline constexpr size_t kCursorSlotBytes = 64 << 10;

struct CursorEntry {
  uint64_t segment = 0;
  uint64_t salt = 0;  // of that segment: an entry never speaks of another one of the same number
  std::vector<Ranges::Range> delivered;
};

struct CursorState {
  uint64_t generation = 0;
  uint64_t last_segment = 0;  // the highest number ever used
  std::vector<CursorEntry> entries;
};

// One slot. What does not fit is left out, from the end: it will be delivered twice.
base::ByteBuffer EncodeCursor(const CursorState& state);
// False for anything that EncodeCursor did not make.
bool DecodeCursor(base::ByteView slot, CursorState* out);

// Threads: one.
class Cursor {
 public:
  Cursor(FileLayer& files, std::string path) : files_(files), path_(std::move(path)) {}
  ~Cursor() { Close(); }
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;

  // The newer of the good slots; an empty state if there is none. Writes nothing.
  CursorState Load();
  // Sets the generation. `sync` also makes it survive a power loss.
  base::Status Save(CursorState state, bool sync);
  void Close();

 private:
  FileLayer& files_;
  const std::string path_;
  int fd_ = -1;
  uint64_t generation_ = 0;
  int stable_slot_ = 1;  // not to be written
};

}  // namespace weft::spool
