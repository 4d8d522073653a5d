// HeaderDecoder: the header blocks (HPACK, RFC 7541) of one side into Heads. As long as every block
// since the connection's first was seen, nghttp2's inflater does it. After a join or a loss a small
// reader takes over that knows which references are certain (JoinedTable); it leaves the decoding
// of strings and of the static table to an inflater, so that there is one Huffman decoder.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "protocols/http2/events.h"
#include "protocols/http2/joined_table.h"
#include "protocols/http2/pool.h"

namespace weft::protocols::http2 {

// The encoder may announce a table of up to this size. Beyond, the table counts as unknown.
inline constexpr uint32_t kMaxTableBytes = 64 * 1024;
// Text that one block may put into its Head.
inline constexpr size_t kMaxHeadTextBytes = 64 * 1024;

// What the kind of a block is told by, beside its Head.
struct BlockShape {
  bool has_request_pseudo = false;  // one of :method, :scheme, :path, :authority, :protocol
  bool has_status = false;          // :status, readable or not
  bool starts_unknown = false;      // the first field is not known
  bool starts_regular = false;      // the first field is no pseudo-header field: trailers
};

// Threads: one. Fails: Decode returns false for what no HPACK decoder would accept.
class HeaderDecoder {
 public:
  HeaderDecoder() = default;
  HeaderDecoder(const HeaderDecoder&) = delete;
  HeaderDecoder& operator=(const HeaderDecoder&) = delete;

  // A block was missed: the table is unknown from now on.
  void Forget();
  [[nodiscard]] bool Decode(base::ByteView block, Head* head, BlockShape* shape, Output* out);

  bool is_table_known() const {
    return !is_joined_ || (table_.is_complete() && !table_.has_nameless());
  }
  size_t bytes() const {
    return sizeof(*this) + pool_.bytes() + table_.bytes() + scratch_.capacity();
  }

 private:
  struct Deleter {
    void operator()(nghttp2_hd_inflater* inflater) const { nghttp2_hd_inflate_del(inflater); }
  };
  // Where the fields of one block go.
  struct Sink {
    Head* head;
    BlockShape* shape;
    Output* out;
    size_t fields = 0, text_bytes = 0;
  };

  bool EnsureInflater();
  // Runs a whole block through the inflater; the fields go to `sink`.
  bool Inflate(base::ByteView block, Sink* sink);
  bool ReadJoined(base::ByteView block, Sink* sink);
  bool ReadIndexed(uint64_t index, Sink* sink);
  bool ReadLiteral(base::ByteReader* reader, uint8_t first, Sink* sink);
  // Runs `scratch_`, which holds one field, through the inflater.
  bool InflateScratch(nghttp2_nv* field);
  static void AddField(std::string_view name, std::string_view value, Sink* sink);
  static void AddUnknown(Sink* sink);

  Pool pool_;
  nghttp2_mem memory_{};  // the inflater points to it
  std::unique_ptr<nghttp2_hd_inflater, Deleter> inflater_;
  bool is_joined_ = false;
  JoinedTable table_;
  base::ByteBuffer scratch_;
};

}  // namespace weft::protocols::http2
