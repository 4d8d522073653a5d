#include "sources/ebpf/record_view.h"

#include <cstring>

namespace weft::sources::ebpf {
namespace {

template <typename T>
bool Copy(base::ByteView raw, T* out) {
  if (raw.size() < sizeof(T)) return false;
  std::memcpy(out, raw.data(), sizeof(T));
  return true;
}

bool IsProtocol(uint8_t number) {
  return number == WEFT_PROTOCOL_HTTP1 || number == WEFT_PROTOCOL_HTTP2;
}

RecordStatus ViewConnection(base::ByteView raw, RecordView* out) {
  if (raw.size() != sizeof(weft_connection) || !Copy(raw, &out->connection)) {
    return RecordStatus::kBadSize;
  }
  bool family_known = out->connection.family == 4 || out->connection.family == 6;
  return family_known ? RecordStatus::kOk : RecordStatus::kBadValue;
}

RecordStatus ViewData(base::ByteView raw, RecordView* out) {
  if (!Copy(raw, &out->data)) return RecordStatus::kBadSize;
  const weft_data& d = out->data;
  base::ByteView tail = raw.subspan(sizeof(weft_data));
  if (d.captured > tail.size()) return RecordStatus::kBadSize;
  if (!IsProtocol(d.protocol) || d.direction > WEFT_RECEIVE || d.captured_offset > d.length ||
      d.captured > d.length - d.captured_offset) {
    return RecordStatus::kBadValue;
  }
  out->captured = tail.first(d.captured);
  return RecordStatus::kOk;
}

RecordStatus ViewEnd(base::ByteView raw, RecordView* out) {
  if (raw.size() != sizeof(weft_end) || !Copy(raw, &out->end)) return RecordStatus::kBadSize;
  const bool known = out->end.direction <= WEFT_RECEIVE && IsProtocol(out->end.protocol);
  return known ? RecordStatus::kOk : RecordStatus::kBadValue;
}

}  // namespace

RecordStatus View(base::ByteView raw, RecordView* out) {
  if (!Copy(raw, &out->header)) return RecordStatus::kShort;
  if (out->header.size != raw.size()) return RecordStatus::kBadSize;
  out->captured = {};
  switch (out->header.kind) {
    case WEFT_RECORD_CONNECTION:
    case WEFT_RECORD_SOCKET_OWNER:
      return ViewConnection(raw, out);
    case WEFT_RECORD_DATA:
      return ViewData(raw, out);
    case WEFT_RECORD_END:
    case WEFT_RECORD_CLOSED:
      return ViewEnd(raw, out);
    default:
      return RecordStatus::kUnknownKind;
  }
}

}  // namespace weft::sources::ebpf
