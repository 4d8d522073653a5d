#include "base/inflate.h"

#include <libdeflate.h>
#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <memory>

namespace weft::base {
namespace {

constexpr uint64_t kFirstStep = 64 << 10;
constexpr uint64_t kMaxLimit = uint64_t{1} << 40;
constexpr uint64_t kTrustedRatio = 16;  // a gzip trailer that claims more than this is not believed
constexpr int kZstdWindowLog = 23;  // 8 MiB: what RFC 8878 asks every decoder to offer, and no more

constexpr uint64_t kToleratedSlack = 4 << 10;

// The output while it grows. One byte of room above the limit tells "exactly the limit" from
// "more".
class Output {
 public:
  Output(uint64_t limit, ByteCredit* credit, ByteBuffer* out, uint64_t* charged)
      : limit_(std::min(limit, kMaxLimit)), credit_(credit), out_(out), charged_(charged) {}

  // Makes room for at least one more byte; kDone if there is some.
  InflateStatus MakeRoom(size_t input_size) {
    if (out_->size() > limit_) return InflateStatus::kTooLarge;
    if (out_->size() < out_->capacity()) return InflateStatus::kDone;
    uint64_t step = std::max<uint64_t>(kFirstStep, uint64_t{4} * input_size);
    return GrowTo(std::max<uint64_t>(uint64_t{2} * out_->capacity(), step));
  }
  InflateStatus GrowTo(uint64_t target) {
    target = std::min(target, limit_ + 1);
    if (target <= out_->capacity()) return InflateStatus::kDone;
    uint64_t more = target - out_->capacity();
    if (credit_ != nullptr) {
      if (!credit_->Take(more)) return InflateStatus::kNoCredit;
      *charged_ += more;
    }
    out_->Reserve(target);
    return InflateStatus::kDone;
  }
  // Room for `n` more, which will all be used; kTooLarge when that is over the limit.
  InflateStatus MakeRoomFor(uint64_t n) {
    if (n > limit_ - std::min<uint64_t>(limit_, out_->size())) return InflateStatus::kTooLarge;
    if (out_->size() + n <= out_->capacity()) return InflateStatus::kDone;
    return GrowTo(std::max<uint64_t>(out_->size() + n, uint64_t{2} * out_->capacity()));
  }
  size_t size() const { return out_->size(); }
  ByteView From(size_t position) const { return out_->view().subspan(position); }
  uint8_t* end() { return out_->data() + out_->size(); }
  size_t room() const { return out_->capacity() - out_->size(); }
  void Commit(size_t n) { out_->Commit(n); }
  bool OverLimit() const { return out_->size() > limit_; }
  // Steps are generous, and the output may be kept for long: gives back room that was not needed.
  void GiveBackRoom() {
    if (room() <= kToleratedSlack || room() <= out_->capacity() / 4) return;
    uint64_t before = out_->capacity();
    out_->ShrinkToFit();
    uint64_t less = before - out_->capacity();
    if (credit_ == nullptr) return;
    credit_->Return(less);
    *charged_ -= less;
  }

 private:
  const uint64_t limit_;
  ByteCredit* const credit_;
  ByteBuffer* const out_;
  uint64_t* const charged_;
};

// zlib's state for one thread; re-used, because its window costs more to make than small bodies do
// to inflate.
struct ZlibStream {
  z_stream z{};
  bool ready = false;
  ~ZlibStream() {
    if (ready) inflateEnd(&z);
  }
  // +32: gzip or zlib header, found by looking; negative: raw deflate.
  bool Reset(int window_bits) {
    z.next_in = nullptr;
    z.avail_in = 0;
    int rc = ready ? inflateReset2(&z, window_bits) : inflateInit2(&z, window_bits);
    ready = ready || rc == Z_OK;
    return rc == Z_OK;
  }
};

// One member; true in *ended when its end was seen and its checksum was right. z->next_in moves on.
InflateStatus InflateMember(z_stream* z, size_t input_size, Output* out) {
  for (;;) {
    if (InflateStatus status = out->MakeRoom(input_size); status != InflateStatus::kDone) {
      return status;
    }
    size_t room = std::min<size_t>(out->room(), 1u << 30);
    z->next_out = out->end();
    z->avail_out = static_cast<uInt>(room);
    int rc = inflate(z, Z_NO_FLUSH);
    out->Commit(room - z->avail_out);
    if (rc == Z_STREAM_END) {
      return out->OverLimit() ? InflateStatus::kTooLarge : InflateStatus::kDone;
    }
    if (rc != Z_OK) return InflateStatus::kBad;  // Z_BUF_ERROR: the input is truncated
    if (z->avail_in == 0 && z->avail_out != 0) return InflateStatus::kBad;
  }
}

struct InflaterFree {
  void operator()(libdeflate_decompressor* d) const { libdeflate_free_decompressor(d); }
};

// A single gzip member whose trailer tells its size, at three times the speed of the stream. False:
// let the stream decide what is wrong; room that was made stays and is used by it.
bool InflateGzipAtOnce(ByteView in, Output* out) {
  if (in.size() < 18) return false;
  uint32_t claimed = 0;
  for (size_t i = 4; i > 0; --i) claimed = claimed << 8 | in[in.size() - 5 + i];
  if (claimed > kTrustedRatio * in.size()) return false;
  if (out->GrowTo(uint64_t{claimed} + 1) != InflateStatus::kDone || out->room() <= claimed) {
    return false;
  }
  thread_local std::unique_ptr<libdeflate_decompressor, InflaterFree> inflater{
      libdeflate_alloc_decompressor()};
  if (inflater == nullptr) return false;
  size_t used = 0, made = 0;
  if (libdeflate_gzip_decompress_ex(inflater.get(), in.data(), in.size(), out->end(), out->room(),
                                    &used, &made) != LIBDEFLATE_SUCCESS ||
      used != in.size()) {
    return false;
  }
  out->Commit(made);
  return true;
}

InflateStatus InflateZlib(Compression compression, ByteView in, Output* out) {
  if (in.size() > UINT32_MAX) return InflateStatus::kTooLarge;
  if (compression == Compression::kGzip && InflateGzipAtOnce(in, out)) {
    return out->OverLimit() ? InflateStatus::kTooLarge : InflateStatus::kDone;
  }
  thread_local ZlibStream stream;
  // "deflate" means zlib (RFC 9110), but some clients send the raw form: tell by the header's
  // check.
  bool zlib_header = in.size() >= 2 && (in[0] & 15) == 8 && (in[0] * 256 + in[1]) % 31 == 0;
  int bits = compression == Compression::kGzip ? 16 + MAX_WBITS
             : zlib_header                     ? MAX_WBITS
                                               : -MAX_WBITS;
  if (!stream.Reset(bits)) return InflateStatus::kBad;
  z_stream* z = &stream.z;
  z->next_in = const_cast<Bytef*>(in.data());
  z->avail_in = static_cast<uInt>(in.size());
  for (;;) {
    InflateStatus status = InflateMember(z, in.size(), out);
    if (status != InflateStatus::kDone || z->avail_in == 0) return status;
    if (compression != Compression::kGzip || inflateReset(z) != Z_OK) return InflateStatus::kBad;
  }
}

struct ZstdDecoderFree {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

InflateStatus InflateZstd(ByteView in, Output* out) {
  thread_local std::unique_ptr<ZSTD_DCtx, ZstdDecoderFree> context{ZSTD_createDCtx()};
  if (context == nullptr) return InflateStatus::kBad;
  ZSTD_DCtx_reset(context.get(), ZSTD_reset_session_only);
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kZstdWindowLog);
  ZSTD_inBuffer input{in.data(), in.size(), 0};
  size_t left = 1;  // 0 after the end of a frame
  while (input.pos < input.size || left != 0) {
    if (InflateStatus status = out->MakeRoom(in.size()); status != InflateStatus::kDone) {
      return status;
    }
    ZSTD_outBuffer output{out->end(), out->room(), 0};
    size_t before = input.pos;
    left = ZSTD_decompressStream(context.get(), &output, &input);
    if (ZSTD_isError(left)) return InflateStatus::kBad;
    out->Commit(output.pos);
    if (out->OverLimit()) return InflateStatus::kTooLarge;
    if (left != 0 && input.pos == before && output.pos == 0) return InflateStatus::kBad;
  }
  return InflateStatus::kDone;
}

InflateStatus CopyPlain(ByteView in, Output* out) {
  while (!in.empty()) {
    if (InflateStatus status = out->MakeRoom(in.size()); status != InflateStatus::kDone) {
      return status;
    }
    size_t n = std::min(in.size(), out->room());
    std::memcpy(out->end(), in.data(), n);
    out->Commit(n);
    in = in.subspan(n);
  }
  return out->OverLimit() ? InflateStatus::kTooLarge : InflateStatus::kDone;
}

constexpr uint8_t kSnappyMagic[] = {0xff, 6, 0, 0, 's', 'N', 'a', 'P', 'p', 'Y'};
constexpr size_t kSnappyBlock = 64 << 10;  // of plain bytes in one chunk

// CRC-32C as snappy's frames carry it.
uint32_t MaskedCrc32c(ByteView bytes) {
  static constexpr auto kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t v = i;
      for (int bit = 0; bit < 8; ++bit) v = v >> 1 ^ (v & 1 ? 0x82F63B78u : 0);
      table[i] = v;
    }
    return table;
  }();
  uint32_t crc = ~0u;
  for (uint8_t byte : bytes) crc = crc >> 8 ^ kTable[(crc ^ byte) & 255];
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

uint32_t LittleU32(ByteView four) {
  return four[0] | four[1] << 8 | four[2] << 16 | static_cast<uint32_t>(four[3]) << 24;
}

// One raw block of at most `most` plain bytes, whose length stands before it.
InflateStatus InflateSnappyBlock(ByteView in, uint64_t most, Output* out) {
  const auto* data = reinterpret_cast<const char*>(in.data());
  size_t plain = 0;
  if (!snappy::GetUncompressedLength(data, in.size(), &plain)) return InflateStatus::kBad;
  // A block cannot unfold further than this (a copy of 64 bytes takes three), whatever it claims.
  if (plain / 32 > in.size()) return InflateStatus::kBad;
  if (plain > most) return InflateStatus::kTooLarge;
  if (auto status = out->MakeRoomFor(plain); status != InflateStatus::kDone) return status;
  if (!snappy::RawUncompress(data, in.size(), reinterpret_cast<char*>(out->end()))) {
    return InflateStatus::kBad;
  }
  out->Commit(plain);
  return InflateStatus::kDone;
}

InflateStatus InflateSnappyChunk(uint8_t type, ByteView chunk, Output* out) {
  if (type == 0xff) {
    bool same = std::ranges::equal(chunk, ByteView(kSnappyMagic).subspan(4));
    return same ? InflateStatus::kDone : InflateStatus::kBad;
  }
  if (type >= 0x80) return InflateStatus::kDone;  // padding and what may be skipped
  if (type > 1 || chunk.size() < 4) return InflateStatus::kBad;
  const uint32_t crc = LittleU32(chunk.first(4));
  chunk = chunk.subspan(4);
  const size_t before = out->size();
  InflateStatus status = InflateStatus::kBad;
  if (type == 0) {
    status = InflateSnappyBlock(chunk, kSnappyBlock, out);
  } else if (chunk.size() <= kSnappyBlock) {
    status = CopyPlain(chunk, out);
  }
  if (status != InflateStatus::kDone) return status;
  return MaskedCrc32c(out->From(before)) == crc ? status : InflateStatus::kBad;
}

InflateStatus InflateSnappy(ByteView in, uint64_t limit, Output* out) {
  if (in.size() < sizeof kSnappyMagic ||
      !std::ranges::equal(in.first(sizeof kSnappyMagic), kSnappyMagic)) {
    return InflateSnappyBlock(in, limit, out);
  }
  while (!in.empty()) {
    if (in.size() < 4) return InflateStatus::kBad;
    const size_t size = LittleU32(in.first(4)) >> 8;
    const uint8_t type = in[0];
    in = in.subspan(4);
    if (size > in.size()) return InflateStatus::kBad;
    if (auto status = InflateSnappyChunk(type, in.first(size), out);
        status != InflateStatus::kDone) {
      return status;
    }
    if (out->OverLimit()) return InflateStatus::kTooLarge;
    in = in.subspan(size);
  }
  return InflateStatus::kDone;
}

struct Lz4DecoderFree {
  void operator()(LZ4F_dctx* context) const { LZ4F_freeDecompressionContext(context); }
};

InflateStatus InflateLz4(ByteView in, Output* out) {
  thread_local std::unique_ptr<LZ4F_dctx, Lz4DecoderFree> context{[] {
    LZ4F_dctx* made = nullptr;
    return LZ4F_isError(LZ4F_createDecompressionContext(&made, LZ4F_VERSION)) ? nullptr : made;
  }()};
  if (context == nullptr) return InflateStatus::kBad;
  LZ4F_resetDecompressionContext(context.get());
  const size_t whole = in.size();
  size_t left = 1;  // 0 after the end of a frame
  while (!in.empty() || left != 0) {
    if (auto status = out->MakeRoom(whole); status != InflateStatus::kDone) return status;
    size_t used = in.size(), made = out->room();
    left = LZ4F_decompress(context.get(), out->end(), &made, in.data(), &used, nullptr);
    if (LZ4F_isError(left)) return InflateStatus::kBad;
    out->Commit(made);
    in = in.subspan(used);
    if (out->OverLimit()) return InflateStatus::kTooLarge;
    if (left != 0 && used == 0 && made == 0) return InflateStatus::kBad;  // truncated
  }
  return InflateStatus::kDone;
}

void DeflateSnappy(ByteView in, ByteBuffer* out) {
  out->Append(ByteView(kSnappyMagic));
  while (!in.empty()) {
    ByteView block = in.first(std::min(in.size(), kSnappyBlock));
    in = in.subspan(block.size());
    const size_t bound = 8 + snappy::MaxCompressedLength(block.size());
    uint8_t* at = out->Grow(bound);
    size_t made = 0;
    snappy::RawCompress(reinterpret_cast<const char*>(block.data()), block.size(),
                        reinterpret_cast<char*>(at + 8), &made);
    const uint32_t size = static_cast<uint32_t>(made + 4) << 8, crc = MaskedCrc32c(block);
    for (int i = 0; i < 4; ++i) {
      at[i] = static_cast<uint8_t>(size >> 8 * i);
      at[4 + i] = static_cast<uint8_t>(crc >> 8 * i);
    }
    out->Commit(8 + made);
  }
}

struct DeflaterFree {
  void operator()(libdeflate_compressor* compressor) const {
    libdeflate_free_compressor(compressor);
  }
};
struct ZstdEncoderFree {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

size_t DeflateZlib(Compression compression, ByteView in, ByteBuffer* out) {
  thread_local std::unique_ptr<libdeflate_compressor, DeflaterFree> compressor{
      libdeflate_alloc_compressor(1)};
  if (compressor == nullptr) return 0;
  libdeflate_compressor* c = compressor.get();
  if (compression == Compression::kGzip) {
    size_t bound = libdeflate_gzip_compress_bound(c, in.size());
    return libdeflate_gzip_compress(c, in.data(), in.size(), out->Grow(bound), bound);
  }
  size_t bound = libdeflate_zlib_compress_bound(c, in.size());
  return libdeflate_zlib_compress(c, in.data(), in.size(), out->Grow(bound), bound);
}

}  // namespace

bool CompressionFromName(std::string_view name, Compression* out) {
  if (name == "snappy" || name == "x-snappy-framed") {
    *out = Compression::kSnappy;
  } else if (name == "lz4") {
    *out = Compression::kLz4;
  } else if (name.empty() || name == "identity") {
    *out = Compression::kNone;
  } else if (name == "gzip" || name == "x-gzip") {
    *out = Compression::kGzip;
  } else if (name == "deflate" || name == "zlib") {
    *out = Compression::kDeflate;
  } else if (name == "zstd") {
    *out = Compression::kZstd;
  } else {
    return false;
  }
  return true;
}

std::string_view CompressionName(Compression compression) {
  switch (compression) {
    case Compression::kNone:
      return "";
    case Compression::kGzip:
      return "gzip";
    case Compression::kDeflate:
      return "deflate";
    case Compression::kZstd:
      return "zstd";
    case Compression::kSnappy:
      return "snappy";
    case Compression::kLz4:
      return "lz4";
  }
  return "";
}

InflateStatus Inflate(Compression compression, ByteView in, uint64_t limit_bytes,
                      ByteCredit* credit, ByteBuffer* out, uint64_t* charged_bytes) {
  *charged_bytes = 0;
  *out = ByteBuffer();
  Output output(limit_bytes, credit, out, charged_bytes);
  InflateStatus status = InflateStatus::kBad;
  switch (compression) {
    case Compression::kNone:
      status = CopyPlain(in, &output);
      break;
    case Compression::kGzip:
    case Compression::kDeflate:
      status = InflateZlib(compression, in, &output);
      break;
    case Compression::kZstd:
      status = InflateZstd(in, &output);
      break;
    case Compression::kSnappy:
      status = InflateSnappy(in, limit_bytes, &output);
      break;
    case Compression::kLz4:
      status = InflateLz4(in, &output);
      break;
  }
  if (status == InflateStatus::kDone) {
    output.GiveBackRoom();
  } else {
    *out = ByteBuffer();
  }
  return status;
}

Status Deflate(Compression compression, ByteView in, ByteBuffer* out) {
  switch (compression) {
    case Compression::kNone:
      out->Append(in);
      return Ok();
    case Compression::kGzip:
    case Compression::kDeflate: {
      size_t n = DeflateZlib(compression, in, out);
      if (n == 0) return Error("compress: out of memory");
      out->Commit(n);
      return Ok();
    }
    case Compression::kZstd: {
      thread_local std::unique_ptr<ZSTD_CCtx, ZstdEncoderFree> context{ZSTD_createCCtx()};
      if (context == nullptr) return Error("compress zstd: out of memory");
      size_t bound = ZSTD_compressBound(in.size());
      size_t n = ZSTD_compressCCtx(context.get(), out->Grow(bound), bound, in.data(), in.size(), 1);
      if (ZSTD_isError(n)) return Error(std::string("compress zstd: ") + ZSTD_getErrorName(n));
      out->Commit(n);
      return Ok();
    }
    case Compression::kSnappy:
      DeflateSnappy(in, out);
      return Ok();
    case Compression::kLz4: {
      size_t bound = LZ4F_compressFrameBound(in.size(), nullptr);
      size_t n = LZ4F_compressFrame(out->Grow(bound), bound, in.data(), in.size(), nullptr);
      if (LZ4F_isError(n)) return Error(std::string("compress lz4: ") + LZ4F_getErrorName(n));
      out->Commit(n);
      return Ok();
    }
  }
  return Error("compress: unknown encoding");
}

}  // namespace weft::base
