#include "base/entry_points.h"

#include <iterator>

#include "base/credit.h"
#include "base/inflate.h"

namespace weft::base {
namespace {

constexpr Compression kAll[] = {Compression::kGzip, Compression::kDeflate, Compression::kZstd,
                                Compression::kSnappy, Compression::kLz4};
constexpr uint64_t kLimit = 256 << 10, kCredit = 192 << 10;

}  // namespace

std::string TryInflate(ByteView bytes) {
  if (bytes.empty()) return "";
  const Compression compression = kAll[bytes[0] % std::size(kAll)];
  ByteCredit credit(kCredit);
  ByteBuffer out;
  uint64_t charged = 0;
  const InflateStatus status =
      Inflate(compression, bytes.subspan(1), kLimit, &credit, &out, &charged);
  if (credit.used() != charged) return "not all that was taken of the credit is told";
  if (out.size() > kLimit) return "more than the limit";
  if (out.size() > charged) return "more than was paid for";
  if (status != InflateStatus::kDone) return out.empty() ? "" : "a failure with output";
  credit.Return(charged);

  ByteBuffer packed, again;
  if (!Deflate(compression, out.view(), &packed).ok()) return "what was inflated does not deflate";
  ByteCredit plenty(16 << 20);
  if (Inflate(compression, packed.view(), kLimit, &plenty, &again, &charged) !=
      InflateStatus::kDone)
    return "own compressed bytes refused";
  return AsText(again.view()) == AsText(out.view()) ? "" : "not what was compressed";
}

}  // namespace weft::base
