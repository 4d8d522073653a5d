// Who speaks on an HTTP/2 connection that is older than weft? Its preface is gone, and ports prove
// nothing; but the pseudo-header fields that begin a header block do: only requests have a method,
// only responses have a status.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "protocols/http2/events.h"

namespace weft::normalize {

// `next`: the front of a call of `length` bytes. Nothing when these are not certainly frames, or
// none of them tells.
std::optional<protocols::http2::Side> WhoSpeaks(base::ByteView next, uint64_t length);

}  // namespace weft::normalize
