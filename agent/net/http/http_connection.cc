#include "net/http/http_connection.h"

#include <boost/beast/core/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <charconv>
#include <ctime>
#include <optional>

#include "net/event_loop.h"

namespace weft::net {
namespace {
namespace http = boost::beast::http;
using ErrorCode = boost::beast::error_code;

constexpr size_t kMaxReplyHeadBytes = 32 << 10;
constexpr std::chrono::seconds kLongestRetryAfter{86'400};

// A Beast body that appends to a ByteBuffer, up to a limit: Beast's own holds for what a length
// announces in some versions only.
struct BufferBody {
  struct value_type {
    base::ByteBuffer* bytes = nullptr;
    uint64_t limit = 0;
  };
  class reader {
   public:
    template <bool is_request, class Fields>
    reader(http::header<is_request, Fields>&, value_type& body) : body_(body) {}
    void init(const boost::optional<uint64_t>&, ErrorCode& error) { error = {}; }
    template <class Buffers>
    size_t put(const Buffers& buffers, ErrorCode& error) {
      size_t taken = 0;
      error = {};
      for (auto it = boost::asio::buffer_sequence_begin(buffers);
           it != boost::asio::buffer_sequence_end(buffers); ++it) {
        boost::asio::const_buffer part = *it;
        if (part.size() > body_.limit - body_.bytes->size()) {
          error = http::error::body_limit;
          return taken;
        }
        body_.bytes->Append({static_cast<const uint8_t*>(part.data()), part.size()});
        taken += part.size();
      }
      return taken;
    }
    void finish(ErrorCode& error) { error = {}; }

   private:
    value_type& body_;
  };
};

// Seconds, or a date of RFC 9110 ("Sun, 06 Nov 1994 08:49:37 GMT").
std::optional<std::chrono::milliseconds> RetryAfter(std::string_view value) {
  int64_t seconds = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error != std::errc() || end != value.data() + value.size()) {
    std::tm at{};
    const std::string text(value);
    if (strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &at) == nullptr) return std::nullopt;
    seconds = static_cast<int64_t>(timegm(&at)) - static_cast<int64_t>(std::time(nullptr));
  }
  return std::chrono::seconds(std::clamp<int64_t>(seconds, 0, kLongestRetryAfter.count()));
}

}  // namespace

HttpPostReply HttpTransportFailure(std::string message) {
  HttpPostReply reply;
  reply.message = std::move(message);
  reply.transport_error = true;
  return reply;
}

struct HttpConnection::Reader {
  explicit Reader(uint64_t limit) {
    parser.header_limit(kMaxReplyHeadBytes);
    // BufferBody has the limit. None at all would compare as less than any length.
    parser.body_limit(UINT64_MAX);
    parser.eager(true);
    parser.get().body() = {&body, limit};
  }
  base::ByteBuffer body;
  http::response_parser<BufferBody> parser;
};

HttpConnection::HttpConnection(EventLoop& loop, Owner& owner, uint64_t max_reply_bytes)
    : loop_(loop), owner_(owner), max_reply_bytes_(max_reply_bytes) {}

HttpConnection::~HttpConnection() {
  if (stream_ == nullptr) return;
  stream_->Detach();
  stream_->Close();
}

bool HttpConnection::Connect(const model::Endpoint& peer, std::unique_ptr<TlsSession> tls) {
  peer_ = peer;
  stream_ = Stream::Connect(loop_, peer, this, std::move(tls));
  return stream_ != nullptr;
}

void HttpConnection::OnConnected() {
  is_connected_ = true;
  last_use_ = std::chrono::steady_clock::now();
  owner_.OnIdle(*this);
}

void HttpConnection::Start(HttpPostRef post) {
  post_ = std::move(post);
  reader_ = std::make_unique<Reader>(max_reply_bytes_);
  stream_->Append(post_->head);
  stream_->AppendBorrowed(post_->body.pieces, post_);
  stream_->Flush();
}

void HttpConnection::OnBytes(base::ByteView bytes) {
  // Bytes that nobody asked for: the connection is out of step.
  if (post_ == nullptr) return stream_->Close();
  if (!pending_.empty()) {
    pending_.Append(bytes);
    bytes = pending_.view();
  }
  while (!bytes.empty() && !reader_->parser.is_done()) {
    ErrorCode error;
    size_t used = reader_->parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
    bytes = bytes.subspan(std::min(used, bytes.size()));
    if (error == http::error::need_more || (!error && used == 0)) break;
    if (error && reader_->parser.is_header_done())
      return FinishDamaged("reply: " + error.message());
    if (error) return Abort("reply: " + error.message());
    // 100 Continue and the like come before the answer.
    if (reader_->parser.is_done() && reader_->parser.get().result_int() / 100 == 1) {
      reader_ = std::make_unique<Reader>(max_reply_bytes_);
    }
  }
  if (reader_->parser.is_done()) return Finish();
  if (bytes.size() > kMaxReplyHeadBytes) return Abort("reply: endless head");
  base::ByteBuffer rest;
  rest.Append(bytes);
  pending_ = std::move(rest);
}

void HttpConnection::OnEnd() {
  // A reply without a length ends with the connection.
  if (post_ != nullptr && reader_->parser.is_header_done() && reader_->parser.need_eof()) {
    ErrorCode error;
    reader_->parser.put_eof(error);
    if (!error) return Finish();
  }
  stream_->Close();
}

HttpPostReply HttpConnection::ReadHead() {
  auto& message = reader_->parser.get();
  HttpPostReply reply;
  reply.status = static_cast<int>(message.result_int());
  auto type = message[http::field::content_type];
  reply.content_type.assign(type.data(), type.size());
  auto after = message[http::field::retry_after];
  if (!after.empty()) reply.retry_after = RetryAfter({after.data(), after.size()});
  return reply;
}

void HttpConnection::Finish() {
  HttpPostReply reply = ReadHead();
  reply.body = std::move(reader_->body);
  const bool goes_on = reader_->parser.keep_alive();
  is_leaving_ = !goes_on;
  reader_.reset();
  pending_ = base::ByteBuffer();
  last_use_ = std::chrono::steady_clock::now();
  owner_.OnDone(std::exchange(post_, nullptr), std::move(reply));
  // An answer that came before the request was out leaves the rest of it in the way.
  if (stream_->unsent() > 0) return stream_->Close();
  if (!goes_on) return stream_->CloseAfterFlush();
  owner_.OnIdle(*this);
}

// The server has answered, and may have done what it was asked for.
void HttpConnection::FinishDamaged(std::string reason) {
  HttpPostReply reply = ReadHead();
  reply.unreadable = true;
  reply.message = std::move(reason);
  owner_.OnDone(std::exchange(post_, nullptr), std::move(reply));
  stream_->Close();
}

void HttpConnection::Abort(const std::string& reason) {
  if (post_ != nullptr) owner_.OnDone(std::exchange(post_, nullptr), HttpTransportFailure(reason));
  stream_->Close();
}

void HttpConnection::OnClosed() {
  if (post_ != nullptr) {
    owner_.OnDone(std::exchange(post_, nullptr), HttpTransportFailure("connection was lost"));
  }
  owner_.OnConnectionClosed(*this);
}

}  // namespace weft::net
