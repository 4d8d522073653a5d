// RecordView: the only way from bytes of a ring to a record of the contract (bpf/abi/weft_abi.h).
// The kernel side gets no trust: a record whose kind, size or lengths do not fit is refused, and
// what is accepted is a copy with its captured bytes as a view.
#pragma once

#include "abi/weft_abi.h"
#include "base/bytes.h"

namespace weft::sources::ebpf {

enum class RecordStatus { kOk, kShort, kUnknownKind, kBadSize, kBadValue };

// One accepted record. `header.kind` says which member of the union is valid.
struct RecordView {
  weft_record_header header{};
  union {
    weft_connection connection;  // WEFT_RECORD_CONNECTION, WEFT_RECORD_SOCKET_OWNER
    weft_data data;              // WEFT_RECORD_DATA
    weft_end end;                // WEFT_RECORD_END, WEFT_RECORD_CLOSED
  };
  base::ByteView captured;  // of data; points into the bytes given to View

  RecordView() : connection{} {}
};

// Fails: `out` is then unspecified. Cost: copies the fixed part, at most 88 bytes.
RecordStatus View(base::ByteView raw, RecordView* out);

}  // namespace weft::sources::ebpf
