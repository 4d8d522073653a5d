// The little C++ around nghttp2 that its server and client sides share. Internal to this room.
#pragma once

#include <nghttp2/nghttp2.h>

#include <memory>
#include <string_view>
#include <vector>

#include "net/http/stream.h"

namespace weft::net {

// Large windows: a sender on a LAN never waits for an update within one message of ordinary size.
inline constexpr int32_t kStreamWindowBytes = 8 << 20;
inline constexpr int32_t kConnectionWindowBytes = 16 << 20;

struct Nghttp2Deleter {
  void operator()(nghttp2_session* p) const { nghttp2_session_del(p); }
  void operator()(nghttp2_session_callbacks* p) const { nghttp2_session_callbacks_del(p); }
  void operator()(nghttp2_option* p) const { nghttp2_option_del(p); }
};
using Nghttp2Session = std::unique_ptr<nghttp2_session, Nghttp2Deleter>;
using Nghttp2Callbacks = std::unique_ptr<nghttp2_session_callbacks, Nghttp2Deleter>;
using Nghttp2Option = std::unique_ptr<nghttp2_option, Nghttp2Deleter>;

// Headers for one submit call. The texts must live until that call returns; nghttp2 copies them.
class HeaderBlock {
 public:
  HeaderBlock() { list_.reserve(kUsualHeaders); }
  void Add(std::string_view name, std::string_view value) {
    list_.push_back({Bytes(name), Bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
  }
  const nghttp2_nv* data() const { return list_.data(); }
  size_t size() const { return list_.size(); }

 private:
  static constexpr size_t kUsualHeaders = 16;

  static uint8_t* Bytes(std::string_view text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  }
  std::vector<nghttp2_nv> list_;
};

// Moves what the session has to say into the stream, as few writes as possible. False when the
// session is over and the stream should be closed behind its last words.
inline bool PumpOutput(nghttp2_session* session, Stream& stream) {
  size_t appended;
  do {
    appended = 0;
    while (stream.unsent() < Stream::kHighWater) {
      size_t before = stream.unsent();
      const uint8_t* bytes = nullptr;
      ssize_t n = nghttp2_session_mem_send(session, &bytes);
      if (n < 0) return false;
      stream.Append({bytes, static_cast<size_t>(n)});
      // Borrowed DATA goes past the return value, by the send_data callback.
      if (n == 0 && stream.unsent() == before) break;
      appended += stream.unsent() - before;
    }
    stream.Flush();
  } while (appended > 0 && stream.unsent() == 0 && !stream.closed());
  return nghttp2_session_want_read(session) != 0 || nghttp2_session_want_write(session) != 0;
}

}  // namespace weft::net
