// The only place where bytes are decompressed or compressed. Inflate is bounded: output grows in
// steps, each charged to a ByteCredit before it is allocated, and stops at the limit, whatever the
// input claims (cases F31).
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/bytes.h"
#include "base/credit.h"
#include "base/result.h"

namespace weft::base {

enum class Compression { kNone, kGzip, kDeflate, kZstd, kSnappy, kLz4 };

// "gzip", "deflate" (and "zlib"), "zstd", "snappy" (and "x-snappy-framed"), "lz4", "identity"/"" →
// kNone; false for anything else.
bool CompressionFromName(std::string_view name, Compression* out);
std::string_view CompressionName(Compression compression);

// Bytes in the compressed form in which they came, kept so that they can be passed on in it.
struct Packed {
  Compression compression = Compression::kNone;
  ByteBuffer bytes;
};
using SharedPacked = std::shared_ptr<const Packed>;

enum class InflateStatus { kDone, kTooLarge, kNoCredit, kBad };

// Threads: any. Owns: nothing. `charged_bytes` says how much credit was taken and must be returned
// by the caller, also on failure (then `out` is empty). Concatenated gzip members, zstd
// and lz4 frames are accepted; trailing garbage is kBad. Snappy is the framed form, or one raw
// block.
InflateStatus Inflate(Compression compression, ByteView in, uint64_t limit_bytes,
                      ByteCredit* credit, ByteBuffer* out, uint64_t* charged_bytes);

// Appends the compressed form of `in` to `out`. Levels: gzip 1, zstd 1; snappy and lz4 in
// frames.
Status Deflate(Compression compression, ByteView in, ByteBuffer* out);

}  // namespace weft::base
