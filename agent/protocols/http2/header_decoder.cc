#include "protocols/http2/header_decoder.h"

#include <cstring>

#include "protocols/http2/field_names.h"

namespace weft::protocols::http2 {
namespace {

constexpr uint64_t kStaticEntries = 61;
constexpr size_t kKeptScratchBytes = 2 * 1024;
constexpr uint64_t kMaxInteger = 1u << 30;  // no length or index in a block is larger

void* PoolMalloc(size_t size, void* pool) { return static_cast<Pool*>(pool)->Take(size); }
void PoolFree(void* block, void* pool) { static_cast<Pool*>(pool)->Give(block); }
void* PoolCalloc(size_t count, size_t size, void* pool) {
  if (size != 0 && count > SIZE_MAX / size) return nullptr;
  void* block = static_cast<Pool*>(pool)->Take(count * size);
  if (block != nullptr) std::memset(block, 0, count * size);
  return block;
}
void* PoolRealloc(void* block, size_t size, void* pool) {
  return static_cast<Pool*>(pool)->Resize(block, size);
}

std::string_view Text(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

// An integer whose first byte has `bits` of it (RFC 7541, 5.1). Fails the reader when it is cut or
// larger than anything that makes sense.
uint64_t ReadInteger(base::ByteReader* reader, uint8_t first, int bits) {
  const uint64_t max = (1u << bits) - 1;
  uint64_t value = first & max;
  if (value < max) return value;
  for (int shift = 0; shift < 35 && reader->ok(); shift += 7) {
    const uint8_t byte = reader->U8();
    value += static_cast<uint64_t>(byte & 0x7f) << shift;
    if (value > kMaxInteger) break;
    if ((byte & 0x80) == 0) return value;
  }
  reader->Fail();
  return 0;
}

// A string as it is encoded, with its length.
base::ByteView TakeString(base::ByteReader* reader) {
  const uint8_t* begin = reader->position();
  reader->Take(ReadInteger(reader, reader->U8(), 7));
  if (!reader->ok()) return {};
  return {begin, static_cast<size_t>(reader->position() - begin)};
}

}  // namespace

void HeaderDecoder::Forget() {
  inflater_.reset();
  is_joined_ = true;
  table_.Forget();
}

bool HeaderDecoder::EnsureInflater() {
  if (inflater_ != nullptr) return true;
  memory_ = {&pool_, PoolMalloc, PoolFree, PoolCalloc, PoolRealloc};
  nghttp2_hd_inflater* inflater = nullptr;
  if (nghttp2_hd_inflate_new2(&inflater, &memory_) != 0) return false;
  inflater_.reset(inflater);
  // The table's size is what the encoder announces in its own blocks. What the other side allows it
  // (SETTINGS) is for the peers to enforce; here it would only race.
  return nghttp2_hd_inflate_change_table_size(inflater, kMaxTableBytes) == 0;
}

bool HeaderDecoder::Decode(base::ByteView block, Head* head, BlockShape* shape, Output* out) {
  if (!is_joined_) {
    Sink sink{head, shape, out};
    if (EnsureInflater() && Inflate(block, &sink)) return true;
    // A table beyond kMaxTableBytes, or a broken block: the reader below tells them apart.
    Forget();
    *head = {};
    *shape = {};
  }
  if (!EnsureInflater()) return false;
  Sink sink{head, shape, out};
  const bool is_good = ReadJoined(block, &sink);
  if (scratch_.capacity() > kKeptScratchBytes) {
    base::ByteBuffer empty;
    scratch_ = std::move(empty);
  }
  return is_good;
}

bool HeaderDecoder::Inflate(base::ByteView block, Sink* sink) {
  const uint8_t* p = block.data();
  size_t left = block.size();
  for (;;) {
    nghttp2_nv field;
    int flags = 0;
    const auto used = nghttp2_hd_inflate_hd2(inflater_.get(), &field, &flags, p, left, 1);
    if (used < 0) return false;
    p += used;
    left -= static_cast<size_t>(used);
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      AddField(Text(field.name, field.namelen), Text(field.value, field.valuelen), sink);
    } else if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
      return nghttp2_hd_inflate_end_headers(inflater_.get()) == 0;
    } else if (used == 0) {
      return false;
    }
  }
}

bool HeaderDecoder::InflateScratch(nghttp2_nv* field) {
  int flags = 0;
  const auto used =
      nghttp2_hd_inflate_hd2(inflater_.get(), field, &flags, scratch_.data(), scratch_.size(), 1);
  // The texts stay valid until the inflater's next call. The block is left open: the next field is
  // simply its next one.
  return used >= 0 && static_cast<size_t>(used) == scratch_.size() &&
         (flags & NGHTTP2_HD_INFLATE_EMIT) != 0;
}

bool HeaderDecoder::ReadJoined(base::ByteView block, Sink* sink) {
  base::ByteReader reader(block);
  bool may_resize = true;  // only at the front of a block
  while (reader.left() > 0) {
    const uint8_t first = reader.U8();
    if ((first & 0xe0) == 0x20) {
      const uint64_t size = ReadInteger(&reader, first, 5);
      if (!reader.ok() || !may_resize) return false;
      table_.SetMaxSize(size);
      continue;
    }
    may_resize = false;
    if ((first & 0x80) != 0) {
      const uint64_t index = ReadInteger(&reader, first, 7);
      if (!reader.ok() || !ReadIndexed(index, sink)) return false;
    } else if (!ReadLiteral(&reader, first, sink)) {
      return false;
    }
  }
  return true;
}

bool HeaderDecoder::ReadIndexed(uint64_t index, Sink* sink) {
  if (index == 0) return false;
  if (index <= kStaticEntries) {
    scratch_.clear();
    scratch_.Push(static_cast<uint8_t>(0x80 | index));
    nghttp2_nv field;
    if (!InflateScratch(&field)) return false;
    AddField(Text(field.name, field.namelen), Text(field.value, field.valuelen), sink);
    return true;
  }
  JoinedTable::Entry entry;
  if (!table_.Find(index - kStaticEntries - 1, &entry)) {
    if (table_.is_complete()) return false;
    AddUnknown(sink);
  } else if (entry.is_name_known) {
    AddField(entry.name, entry.value, sink);
  } else {
    AddUnknown(sink);
  }
  return true;
}

bool HeaderDecoder::ReadLiteral(base::ByteReader* reader, uint8_t first, Sink* sink) {
  const bool is_inserted = (first & 0xc0) == 0x40;
  const uint64_t index = ReadInteger(reader, first, is_inserted ? 6 : 4);
  // Written anew as a literal without indexing, whose name the inflater can know by itself.
  scratch_.clear();
  bool is_name_known = true, is_name_in_table = false;
  JoinedTable::Entry named;
  if (index == 0) {
    scratch_.Push(0x00);
    scratch_.Append(TakeString(reader));
  } else if (index <= kStaticEntries) {
    if (index < 15) {
      scratch_.Push(static_cast<uint8_t>(index));
    } else {
      scratch_.Push(0x0f);
      scratch_.Push(static_cast<uint8_t>(index - 15));
    }
  } else {
    is_name_in_table = table_.Find(index - kStaticEntries - 1, &named);
    if (!is_name_in_table && table_.is_complete()) return false;
    is_name_known = is_name_in_table && named.is_name_known;
    constexpr uint8_t kPlaceholder[] = {0x00, 0x01, 'x'};
    scratch_.Append(base::ByteView(kPlaceholder));
  }
  scratch_.Append(TakeString(reader));
  if (!reader->ok()) return false;
  nghttp2_nv field;
  if (!InflateScratch(&field)) return false;
  const std::string_view value = Text(field.value, field.valuelen);
  std::string_view name = Text(field.name, field.namelen);
  if (is_name_in_table) name = named.name;
  if (is_name_known) {
    AddField(name, value, sink);
  } else {
    AddUnknown(sink);
  }
  if (!is_inserted) return true;
  // The name may lie in the table's own memory, which Insert moves.
  if (is_name_in_table && is_name_known) {
    scratch_.clear();
    scratch_.Append(name);
    name = base::AsText(scratch_.view());
  }
  table_.Insert(is_name_known, name, value);
  return true;
}

void HeaderDecoder::AddUnknown(Sink* sink) {
  if (sink->fields++ == 0) sink->shape->starts_unknown = true;
  ++sink->head->unknown_fields;
}

void HeaderDecoder::AddField(std::string_view name, std::string_view value, Sink* sink) {
  Head& head = *sink->head;
  if (sink->fields++ == 0) sink->shape->starts_regular = name.empty() || name[0] != ':';
  const FieldName known = FindField(name);
  std::string_view* slot = nullptr;
  switch (known) {
    case FieldName::kOther:
      return;
    case FieldName::kStatus:
      sink->shape->has_status = true;
      if (head.status == 0) head.status = ParseStatus(value);
      return;
    case FieldName::kTraceparent:
      if (head.traceparent_count < 255) ++head.traceparent_count;
      slot = &head.traceparent;
      break;
    case FieldName::kTracestate:
      if (head.tracestate_count < 255) ++head.tracestate_count;
      if (head.tracestate_count > kMaxTraceStates) return;
      slot = &head.tracestate[head.tracestate_count - 1];
      break;
    default:
      sink->shape->has_request_pseudo |= IsRequestPseudo(known);
      slot = SlotOf(known, &head);
  }
  if (slot->data() != nullptr) return;
  if (sink->text_bytes + value.size() <= kMaxHeadTextBytes) *slot = sink->out->Keep(value);
  sink->text_bytes += value.size();
  if (slot->data() == nullptr) head.is_cut = true;
}

}  // namespace weft::protocols::http2
