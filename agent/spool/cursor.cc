#include "spool/cursor.h"

#include <cstring>

#include "base/coding/crc.h"

namespace weft::spool {
namespace {

// Slot: magic, u32 CRC of what follows, u32 bytes of the body, u64 generation; body: u64 last
// segment, then for each entry u64 segment, u64 salt, u32 count, count × (u32 from, u32 to).
constexpr std::string_view kMagic = "WCUR";
constexpr size_t kSlotHeader = 20;
constexpr size_t kEntryHeader = 20;

void PutLittle(uint64_t value, size_t n, base::ByteBuffer* out) {
  for (size_t i = 0; i < n; ++i) out->Push(static_cast<uint8_t>(value >> (8 * i)));
}

uint64_t TakeLittle(base::ByteReader* reader, size_t n) {
  const base::ByteView bytes = reader->Take(n);
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size(); ++i) value |= uint64_t{bytes[i]} << (8 * i);
  return value;
}

}  // namespace

base::ByteBuffer EncodeCursor(const CursorState& state) {
  base::ByteBuffer body;
  PutLittle(state.last_segment, 8, &body);
  for (const CursorEntry& entry : state.entries) {
    const size_t room = kCursorSlotBytes - kSlotHeader - body.size();
    if (room < kEntryHeader + 8) break;
    const size_t count = std::min(entry.delivered.size(), (room - kEntryHeader) / 8);
    PutLittle(entry.segment, 8, &body);
    PutLittle(entry.salt, 8, &body);
    PutLittle(count, 4, &body);
    for (size_t i = 0; i < count; ++i) {
      PutLittle(entry.delivered[i].from, 4, &body);
      PutLittle(entry.delivered[i].to, 4, &body);
    }
  }
  base::ByteBuffer rest, slot;
  PutLittle(body.size(), 4, &rest);
  PutLittle(state.generation, 8, &rest);
  rest.Append(body.view());
  slot.Append(kMagic);
  PutLittle(base::Crc32(0, rest.view()), 4, &slot);
  slot.Append(rest.view());
  return slot;
}

bool DecodeCursor(base::ByteView slot, CursorState* out) {
  base::ByteReader reader(slot);
  if (base::AsText(reader.Take(4)) != kMagic) return false;
  const auto crc = static_cast<uint32_t>(TakeLittle(&reader, 4));
  const base::ByteView rest{reader.position(), reader.left()};
  const uint64_t body_bytes = TakeLittle(&reader, 4);
  out->generation = TakeLittle(&reader, 8);
  const base::ByteView body = reader.Take(body_bytes);
  if (!reader.ok() || base::Crc32(0, rest.first(12 + body.size())) != crc) return false;

  base::ByteReader fields(body);
  out->last_segment = TakeLittle(&fields, 8);
  out->entries.clear();
  while (fields.ok() && fields.left() > 0) {
    CursorEntry entry;
    entry.segment = TakeLittle(&fields, 8);
    entry.salt = TakeLittle(&fields, 8);
    const uint64_t count = TakeLittle(&fields, 4);
    if (count > fields.left() / 8) return false;
    for (uint64_t i = 0; i < count; ++i) {
      const auto from = static_cast<uint32_t>(TakeLittle(&fields, 4));
      const auto to = static_cast<uint32_t>(TakeLittle(&fields, 4));
      entry.delivered.push_back({from, to});
    }
    out->entries.push_back(std::move(entry));
  }
  return fields.ok();
}

CursorState Cursor::Load() {
  CursorState best;
  const int fd = files_.Open(path_, FileLayer::Mode::kRead);
  if (fd < 0) return best;
  base::ByteBuffer buffer(kCursorSlotBytes);
  for (int slot = 0; slot < 2; ++slot) {
    const int64_t n = ReadFully(files_, fd, {buffer.data(), kCursorSlotBytes},
                                static_cast<uint64_t>(slot) * kCursorSlotBytes);
    CursorState state;
    if (n <= 0 || !DecodeCursor({buffer.data(), static_cast<size_t>(n)}, &state)) continue;
    if (state.generation <= best.generation) continue;
    best = std::move(state);
    stable_slot_ = slot;
  }
  files_.Close(fd);
  generation_ = best.generation;
  return best;
}

base::Status Cursor::Save(CursorState state, bool sync) {
  if (fd_ < 0) {
    fd_ = files_.Open(path_, FileLayer::Mode::kReadWrite);
    if (fd_ < 0) return FileError("open the spool's cursor", fd_);
    // The slot that Load chose may be one that was never synced: now it is.
    if (int rc = generation_ > 0 ? files_.Sync(fd_) : 0; rc < 0) {
      Close();
      return FileError("sync the spool's cursor", rc);
    }
  }
  state.generation = ++generation_;
  const base::ByteBuffer slot = EncodeCursor(state);
  const int target = 1 - stable_slot_;
  uint64_t offset = static_cast<uint64_t>(target) * kCursorSlotBytes;
  for (size_t done = 0; done < slot.size();) {
    const iovec piece{const_cast<uint8_t*>(slot.data()) + done, slot.size() - done};
    const int64_t n = files_.Write(fd_, {&piece, 1}, offset + done);
    if (n <= 0) return FileError("write the spool's cursor", n);
    done += static_cast<size_t>(n);
  }
  if (!sync) return base::Ok();
  if (int rc = files_.Sync(fd_); rc < 0) {
    // What is on disk is unknown, so the next sync must be one of a new descriptor and new bytes.
    Close();
    return FileError("sync the spool's cursor", rc);
  }
  stable_slot_ = target;
  return base::Ok();
}

void Cursor::Close() {
  if (fd_ >= 0) files_.Close(fd_);
  fd_ = -1;
}

}  // namespace weft::spool
