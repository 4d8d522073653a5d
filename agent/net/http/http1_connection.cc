// The HTTP/1.1 side of a listener: requests one after the other, bodies by Boost.Beast's parser
// straight into the BodyIntake. The head is checked first by rules that are stricter than Beast's,
// because whatever two parsers read differently is a way to smuggle (cases F36).
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <charconv>
#include <optional>

#include "net/http/connection.h"

namespace weft::net {
namespace {
namespace http = boost::beast::http;
using ErrorCode = boost::beast::error_code;

// A Beast body that appends to a BodyIntake.
struct IntakeBody {
  struct value_type {
    BodyIntake* intake = nullptr;
    Refusal* refusal = nullptr;
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
        *body_.refusal =
            body_.intake->Append({static_cast<const uint8_t*>(part.data()), part.size()});
        if (*body_.refusal != Refusal::kNone) {
          error = http::error::body_limit;
          return taken;
        }
        taken += part.size();
      }
      return taken;
    }
    void finish(ErrorCode& error) { error = {}; }

   private:
    value_type& body_;
  };
};

enum class HeadScan { kNeedMore, kDone, kBad };

// Looks for the end of the head in `in`, going on from `*position`; on kDone that is the head's
// size. No NUL, no bare CR or LF, no folded lines.
HeadScan ScanHead(base::ByteView in, size_t* position) {
  size_t i = *position;
  for (; i < in.size() && i < kMaxHeadBytes; ++i) {
    uint8_t c = in[i], before = i == 0 ? 0 : in[i - 1];
    if (c == 0 || (before == '\r') != (c == '\n')) return HeadScan::kBad;
    if (before == '\n' && (c == ' ' || c == '\t')) return HeadScan::kBad;
    if (c == '\n' && i >= 3 && in[i - 2] == '\n') {
      *position = i + 1;
      return HeadScan::kDone;
    }
  }
  *position = i;
  return HeadScan::kNeedMore;
}

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  return out;
}

class Http1Session final : public ProtocolSession,
                           public std::enable_shared_from_this<Http1Session> {
 public:
  Http1Session(ServerContext& context, Stream& stream, const Peers& peers)
      : context_(context),
        stream_(stream),
        peers_(peers),
        deadline_(context.After(context.options.header_timeout)) {}

  void OnBytes(base::ByteView bytes) override;
  void OnEnd() override;
  void OnDrained() override { Continue(); }
  void Sweep(Deadline now) override;
  void Shutdown() override;
  void Respond(uint64_t request, Response&& response) override;

 private:
  enum class State { kHead, kBody, kServing, kDone };

  size_t Consume(base::ByteView in);
  size_t TakeHead(base::ByteView in);
  size_t TakeBody(base::ByteView in);
  Refusal OnHead();
  void Dispatch();
  void Refuse(Refusal refusal);
  void Write(const Response& response);
  void Continue();
  bool ConsumePending();
  void Settle();
  bool idle() const { return state_ == State::kHead && pending_.empty(); }

  ServerContext& context_;
  Stream& stream_;
  const Peers peers_;
  Deadline deadline_, body_start_{};
  StuckOutput stuck_;
  State state_ = State::kHead;
  base::ByteBuffer pending_;  // received, not yet consumed: a partial head or chunk header, or
                              // pipelined requests
  size_t scanned_ = 0;
  bool is_held_up_ = false;  // Consume stopped because of output that has not left
  bool consuming_ = false, head_started_ = false, keep_alive_ = true, ended_ = false,
       is_shut_down_ = false;
  uint64_t trusted_bytes_ = 0;

  // The current request.
  using Parser = http::request_parser<IntakeBody>;
  std::optional<Parser> parser_;
  std::optional<BodyIntake> body_;
  Refusal body_refusal_ = Refusal::kNone;
  Request request_;
  uint64_t request_id_ = 0;
  bool is_head_method_ = false, is_http10_ = false;
};

void Http1Session::OnBytes(base::ByteView bytes) {
  if (state_ == State::kDone) return;
  // What is left from before is completed by small steps, so that a body behind it is not copied
  // twice.
  constexpr size_t kStep = 4096;
  while (!pending_.empty() && !bytes.empty()) {
    size_t step = state_ == State::kServing ? bytes.size() : std::min(kStep, bytes.size());
    pending_.Append(bytes.first(step));
    bytes = bytes.subspan(step);
    size_t used = Consume(pending_.view());
    base::ByteBuffer rest;
    rest.Append(pending_.view().subspan(used));
    pending_ = std::move(rest);
  }
  if (!bytes.empty()) pending_.Append(bytes.subspan(Consume(bytes)));
  Settle();
}

// Goes on with what was left over while a request was being served or output was stuck.
void Http1Session::Continue() {
  if (consuming_) return;
  ConsumePending();
  Settle();
}

// True when something was used.
bool Http1Session::ConsumePending() {
  const bool may = state_ == State::kHead || state_ == State::kBody;
  if (!may || pending_.empty() || stream_.closed()) return false;
  base::ByteBuffer input = std::move(pending_);
  pending_ = base::ByteBuffer();
  size_t used = Consume(input.view());
  pending_.Append(input.view().subspan(used));
  return used > 0;
}

// Behind every step: what was said leaves, and the reading side follows what there is room for.
// While a request is served it stays open, so that we see a client hang up.
void Http1Session::Settle() {
  stream_.Flush();
  // Output that left at once: nobody will call us for the requests behind it.
  while (is_held_up_ && stream_.unsent() < Stream::kHighWater && ConsumePending()) stream_.Flush();
  if (stream_.closed() || state_ == State::kDone) return;
  const bool is_serving = state_ == State::kServing;
  if (ended_ && !is_serving) return stream_.CloseAfterFlush();
  stream_.SetReading(is_serving ? pending_.empty() : stream_.unsent() < Stream::kHighWater);
}

size_t Http1Session::Consume(base::ByteView in) {
  consuming_ = true;
  size_t used = 0;
  while (used < in.size() && stream_.unsent() < Stream::kHighWater) {
    size_t n = 0;
    if (state_ == State::kHead) n = TakeHead(in.subspan(used));
    if (state_ == State::kBody && n == 0) n = TakeBody(in.subspan(used));
    if (state_ == State::kDone) used = in.size();
    if (n == 0) break;
    used += n;
  }
  consuming_ = false;
  used = std::min(used, in.size());
  is_held_up_ = used < in.size() && stream_.unsent() >= Stream::kHighWater;
  if (state_ == State::kHead && used < in.size() && !head_started_) {
    head_started_ = true;
    deadline_ = context_.After(context_.options.header_timeout);
  }
  return used;
}

size_t Http1Session::TakeHead(base::ByteView in) {
  if (scanned_ == 0 && in.size() >= 2 && in[0] == '\r' && in[1] == '\n') return 2;
  HeadScan scan = ScanHead(in, &scanned_);
  if (scan == HeadScan::kBad) return Refuse(Refusal::kBadRequest), 0;
  if (scan == HeadScan::kNeedMore) {
    if (scanned_ >= kMaxHeadBytes) Refuse(Refusal::kHeadTooLarge);
    return 0;
  }
  size_t size = std::exchange(scanned_, 0);
  head_started_ = false;
  request_ = Request();
  body_.emplace(context_.credit, context_.options.max_body_bytes, peers_.account.get());
  body_refusal_ = Refusal::kNone;
  parser_.emplace();
  parser_->header_limit(kMaxHeadBytes);
  parser_->body_limit(context_.options.max_body_bytes);
  parser_->eager(true);
  parser_->get().body() = {&*body_, &body_refusal_};
  ErrorCode error;
  parser_->put(boost::asio::buffer(in.data(), size), error);
  if (error == http::error::body_limit) return Refuse(Refusal::kTooLarge), 0;
  if ((error && error != http::error::need_more) || !parser_->is_header_done()) {
    return Refuse(Refusal::kBadRequest), 0;
  }
  if (Refusal no = OnHead(); no != Refusal::kNone) return Refuse(no), 0;
  if (parser_->is_done()) {
    Dispatch();
  } else {
    state_ = State::kBody;
    body_start_ = std::chrono::steady_clock::now();
    deadline_ = context_.After(context_.options.body_timeout);
  }
  return size;
}

Refusal Http1Session::OnHead() {
  const auto& message = parser_->get();
  request_.method = std::string(message.method_string());
  is_head_method_ = request_.method == "HEAD";
  is_http10_ = message.version() < 11;
  keep_alive_ = parser_->keep_alive();
  SetTarget({message.target().data(), message.target().size()}, &request_);
  size_t lengths = 0, codings = 0;
  for (const auto& field : message) {
    std::string_view name(field.name_string().data(), field.name_string().size());
    std::string_view value(field.value().data(), field.value().size());
    request_.headers.emplace_back(Lower(name), value);
    if (field.name() == http::field::content_length) {
      // Beast takes the last of a list ("3, 4").
      if (value.find_first_not_of("0123456789") != std::string_view::npos) {
        return Refusal::kBadRequest;
      }
      ++lengths;
    }
    if (field.name() == http::field::transfer_encoding) {
      if (Lower(value) != "chunked" || is_http10_) return Refusal::kBadRequest;
      ++codings;
    }
  }
  if (lengths + codings > 1) return Refusal::kBadRequest;
  if (message.version() != 11 && message.version() != 10) return Refusal::kBadRequest;
  if (request_.method == "CONNECT") return Refusal::kBadMethod;
  if (parser_->is_done()) return Refusal::kNone;
  if (auto length = parser_->content_length()) {
    Refusal no = body_->Announce(*length, trusted_bytes_);
    if (no != Refusal::kNone) return no;
  }
  std::string_view expect = request_.Header("expect");
  if (!expect.empty() && !is_http10_) {
    if (Lower(expect) != "100-continue") return Refusal::kExpectation;
    stream_.Append("HTTP/1.1 100 Continue\r\n\r\n");
  }
  return Refusal::kNone;
}

size_t Http1Session::TakeBody(base::ByteView in) {
  ErrorCode error;
  size_t used = parser_->put(boost::asio::buffer(in.data(), in.size()), error);
  if (error == http::error::need_more) {
    // A chunk header, or a trailer, that never ends.
    if (in.size() - used > kMaxHeadBytes) return Refuse(Refusal::kBadRequest), 0;
    return used;
  }
  if (error) {
    bool at_limit = error == http::error::body_limit;
    if (body_refusal_ == Refusal::kNone) {
      body_refusal_ = at_limit ? Refusal::kTooLarge : Refusal::kBadRequest;
    }
    return Refuse(body_refusal_), 0;
  }
  if (parser_->is_done()) Dispatch();
  return used;
}

void Http1Session::Dispatch() {
  state_ = State::kServing;
  deadline_ = context_.After(context_.options.answer_timeout);
  ++request_id_;
  trusted_bytes_ = std::max(trusted_bytes_, body_->size());
  Refusal no = body_->Decode(Lower(request_.Header("content-encoding")));
  if (no != Refusal::kNone) {
    context_.metrics.refusals[static_cast<size_t>(no)]->Add(1);
    body_->Drop();
    return Respond(request_id_, RefusalResponse(no, false));
  }
  body_->MoveInto(&request_);
  request_.peer = peers_.peer;
  request_.local = peers_.local;
  request_.peer_pid = peers_.pid;
  context_.metrics.http1_requests.Add(1);
  context_.service(std::move(request_), Responder(weak_from_this(), request_id_));
}

// The connection cannot be trusted to be in step any more, or a body is left unread: answer and
// close.
void Http1Session::Refuse(Refusal refusal) {
  context_.metrics.refusals[static_cast<size_t>(refusal)]->Add(1);
  if (body_) body_->Drop();
  keep_alive_ = false;
  Write(RefusalResponse(refusal, false));
  state_ = State::kDone;
  stream_.CloseAfterFlush();
}

void Http1Session::Respond(uint64_t request, Response&& response) {
  if (state_ != State::kServing || request != request_id_ || stream_.closed()) return;
  keep_alive_ = keep_alive_ && !is_shut_down_;
  Write(response);
  if (!keep_alive_) {
    state_ = State::kDone;
    return stream_.CloseAfterFlush();
  }
  state_ = State::kHead;
  deadline_ = context_.After(context_.options.idle_timeout);
  Continue();
}

void Http1Session::Write(const Response& response) {
  bool has_body = response.status >= 200 && response.status != 204 && response.status != 304;
  std::string head = is_http10_ ? "HTTP/1.0 " : "HTTP/1.1 ";
  auto reason = http::obsolete_reason(http::int_to_status(static_cast<unsigned>(response.status)));
  head.append(std::to_string(response.status)).append(" ").append(reason.data(), reason.size());
  head.append("\r\n");
  if (!response.content_type.empty()) {
    head.append("content-type: ").append(response.content_type).append("\r\n");
  }
  for (const auto& [name, value] : response.headers) {
    head.append(name).append(": ").append(value).append("\r\n");
  }
  if (has_body) {
    head.append("content-length: ").append(std::to_string(response.body.size())).append("\r\n");
  }
  if (!keep_alive_) {
    head.append("connection: close\r\n");
  } else if (is_http10_) {
    head.append("connection: keep-alive\r\n");
  }
  head.append("\r\n");
  stream_.Append(head);
  if (has_body && !is_head_method_) stream_.Append(response.body);
}

void Http1Session::OnEnd() {
  ended_ = true;
  if (state_ == State::kServing) {
    // They may still read, or have gone.
    deadline_ = std::min(deadline_, context_.After(context_.options.header_timeout));
    return;
  }
  state_ = State::kDone;
  stream_.CloseAfterFlush();
}

void Http1Session::Shutdown() {
  is_shut_down_ = true;
  if (!idle()) return;
  state_ = State::kDone;
  stream_.CloseAfterFlush();
}

void Http1Session::Sweep(Deadline now) {
  if (stuck_.Check(stream_, now, context_.options)) return stream_.Close();
  if (state_ == State::kDone || stream_.unsent() > 0) return;
  if (state_ == State::kServing) {
    if (now > deadline_) ended_ ? stream_.Close() : Refuse(Refusal::kNoAnswer);
    return;
  }
  if (state_ == State::kBody && IsTooSlow(body_->size(), now - body_start_, context_.options)) {
    return Refuse(Refusal::kTooSlow);
  }
  if (now <= deadline_) return;
  if (!idle()) return Refuse(Refusal::kTimeout);
  state_ = State::kDone;
  stream_.CloseAfterFlush();
}

}  // namespace

std::shared_ptr<ProtocolSession> MakeHttp1Session(ServerContext& context, Stream& stream,
                                                  const Peers& peers) {
  return std::make_shared<Http1Session>(context, stream, peers);
}

}  // namespace weft::net
