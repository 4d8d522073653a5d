#include "net/http/grpc_session.h"

#include <algorithm>
#include <charconv>

#include "base/coding/percent.h"
#include "net/event_loop.h"

namespace weft::net {
namespace {

constexpr size_t kFrameHeadBytes = 9;
constexpr size_t kMaxDetailsBytes = 64 << 10;

std::string_view Text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

int ToInt(std::string_view text, int otherwise) {
  int value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : otherwise;
}

// What gRPC says an HTTP status means when there is no grpc-status.
int StatusOfHttp(int http_status) {
  switch (http_status) {
    case 400:
      return kGrpcInternal;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return kGrpcUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return kGrpcUnavailable;
    default:
      return kGrpcUnknown;
  }
}

}  // namespace

GrpcReply TransportFailure(std::string message) {
  GrpcReply reply;
  reply.status = kGrpcUnavailable;
  reply.message = std::move(message);
  reply.transport_error = true;
  return reply;
}

// The C callbacks of nghttp2, forwarded.
struct GrpcSessionCallbacks {
  static GrpcSession& Self(void* user) { return *static_cast<GrpcSession*>(user); }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* user) {
    if (GrpcCall* call = Self(user).Find(frame->hd.stream_id)) {
      Self(user).OnHeader(*call, Text(name, name_size), Text(value, value_size));
    }
    return 0;
  }
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Self(user).OnFrame(*frame);
    return 0;
  }
  static int OnData(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size,
                    void* user) {
    Self(user).OnData(id, {data, size});
    return 0;
  }
  static int OnStreamClose(nghttp2_session*, int32_t id, uint32_t error_code, void* user) {
    Self(user).OnStreamClosed(id, error_code);
    return 0;
  }
  static ssize_t ReadData(nghttp2_session*, int32_t, uint8_t*, size_t size, uint32_t* flags,
                          nghttp2_data_source* source, void* user) {
    return Self(user).ReadData(*static_cast<GrpcCall*>(source->ptr), size, flags);
  }
  static int SendData(nghttp2_session*, nghttp2_frame* frame, const uint8_t* frame_head,
                      size_t size, nghttp2_data_source*, void* user) {
    return Self(user).SendData(frame->hd.stream_id, frame_head, size);
  }

  static Nghttp2Callbacks Make() {
    nghttp2_session_callbacks* c = nullptr;
    nghttp2_session_callbacks_new(&c);
    nghttp2_session_callbacks_set_on_header_callback(c, OnHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, OnFrame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, OnData);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, OnStreamClose);
    nghttp2_session_callbacks_set_send_data_callback(c, SendData);
    return Nghttp2Callbacks(c);
  }
};

GrpcSession::GrpcSession(EventLoop& loop, Owner& owner, const GrpcChannel::Options& options,
                         const model::Endpoint& peer, std::unique_ptr<TlsSession> tls)
    : loop_(loop), owner_(owner), options_(options), peer_(peer), tls_(std::move(tls)) {}

GrpcSession::~GrpcSession() {
  if (stream_ == nullptr) return;
  stream_->Detach();
  stream_->Close();
}

bool GrpcSession::Connect() {
  stream_ = Stream::Connect(loop_, peer_, this, std::move(tls_));
  return stream_ != nullptr;
}

void GrpcSession::OnConnected() {
  if (stream_->tls() != nullptr && stream_->tls()->protocol() != "h2") {
    failure_ = "tls: the peer does not offer h2";
    return stream_->Close();
  }
  static const Nghttp2Callbacks kCallbacks = GrpcSessionCallbacks::Make();
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  Nghttp2Option owned(option);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_session* session = nullptr;
  nghttp2_session_client_new2(&session, kCallbacks.get(), this, option);
  session_.reset(session);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindowBytes},
  };
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kConnectionWindowBytes);
  last_bytes_ = std::chrono::steady_clock::now();
  Pump();
}

GrpcCall* GrpcSession::Find(int32_t id) {
  return static_cast<GrpcCall*>(nghttp2_session_get_stream_user_data(session_.get(), id));
}

size_t GrpcSession::room() const {
  uint32_t allowed =
      nghttp2_session_get_remote_settings(session_.get(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  return allowed > calls_.size() ? allowed - calls_.size() : 0;
}

void GrpcSession::Start(GrpcCallRef call) {
  call->prefix = GrpcPrefix(!call->encoding.empty(), static_cast<uint32_t>(call->payload.size));
  call->prefix_left = kGrpcPrefixBytes;
  call->payload_left = call->payload.size;
  call->piece = call->piece_offset = 0;
  auto now = std::chrono::steady_clock::now();
  auto left = std::chrono::duration_cast<std::chrono::milliseconds>(call->deadline - now).count();
  std::string timeout = std::to_string(std::clamp<int64_t>(left, 1, 99'999'999)) + "m";
  HeaderBlock block;
  block.Add(":method", "POST");
  block.Add(":scheme", stream_->tls() != nullptr ? "https" : "http");
  block.Add(":path", call->path);
  block.Add(":authority", options_.authority.empty() ? options_.endpoint : options_.authority);
  block.Add("te", "trailers");
  block.Add("content-type", "application/grpc");
  block.Add("user-agent", "weft");
  block.Add("grpc-accept-encoding", "identity,gzip,zstd");
  block.Add("grpc-timeout", timeout);
  if (!call->encoding.empty()) block.Add("grpc-encoding", call->encoding);
  for (const auto& [name, value] : options_.headers) block.Add(name, value);
  nghttp2_data_provider provider{};
  provider.source.ptr = call.get();
  provider.read_callback = GrpcSessionCallbacks::ReadData;
  int32_t id = nghttp2_submit_request(session_.get(), nullptr, block.data(), block.size(),
                                      &provider, call.get());
  if (id < 0) {  // the stream ids are used up, or the session is ending
    owner_.OnRefused(std::move(call));
    return Drain();
  }
  if (calls_.empty()) last_bytes_ = std::max(last_bytes_, now - options_.ping_interval / 2);
  calls_.emplace(id, std::move(call));
}

ssize_t GrpcSession::ReadData(GrpcCall& call, size_t size, uint32_t* flags) {
  size_t left = call.prefix_left + call.payload_left;
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (left <= size) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(std::min(left, size));
}

// Queues one DATA frame: its head copied, the payload borrowed.
int GrpcSession::SendData(int32_t id, const uint8_t* frame_head, size_t size) {
  auto found = calls_.find(id);
  if (found == calls_.end()) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  if (stream_->unsent() >= Stream::kHighWater) return NGHTTP2_ERR_WOULDBLOCK;
  GrpcCall& call = *found->second;
  stream_->Append({frame_head, kFrameHeadBytes});
  size_t from_prefix = std::min(size, call.prefix_left);
  stream_->Append({call.prefix.data() + (kGrpcPrefixBytes - call.prefix_left), from_prefix});
  call.prefix_left -= from_prefix;
  size -= from_prefix;
  call.payload_left -= size;
  scratch_.clear();
  while (size > 0) {
    base::ByteView rest = call.payload.pieces[call.piece].subspan(call.piece_offset);
    size_t n = std::min(size, rest.size());
    scratch_.push_back(rest.first(n));
    call.piece_offset += n;
    size -= n;
    if (n == rest.size()) ++call.piece, call.piece_offset = 0;
  }
  stream_->AppendBorrowed(scratch_, found->second);
  return 0;
}

void GrpcSession::Pump() {
  if (session_ == nullptr || in_callback_ || stream_->closed()) return;
  in_callback_ = true;
  bool goes_on = PumpOutput(session_.get(), *stream_);
  in_callback_ = false;
  if (!goes_on) Drain();
  if (!goes_on || (is_draining_ && calls_.empty())) stream_->CloseAfterFlush();
}

void GrpcSession::OnBytes(base::ByteView bytes) {
  last_bytes_ = std::chrono::steady_clock::now();
  ping_open_ = false;
  in_callback_ = true;
  ssize_t n = nghttp2_session_mem_recv(session_.get(), bytes.data(), bytes.size());
  in_callback_ = false;
  if (n < 0) return stream_->Close();
  Pump();
}

void GrpcSession::OnFrame(const nghttp2_frame& frame) {
  if (frame.hd.type == NGHTTP2_SETTINGS && !is_ready_) {
    is_ready_ = true;
    owner_.OnReady(*this);
  } else if (frame.hd.type == NGHTTP2_GOAWAY) {
    Drain();
  }
}

void GrpcSession::Drain() {
  if (std::exchange(is_draining_, true)) return;
  owner_.OnDraining(*this);
  Pump();
}

void GrpcSession::OnHeader(GrpcCall& call, std::string_view name, std::string_view value) {
  if (name == ":status") {
    call.http_status = ToInt(value, 0);
  } else if (name == "grpc-status") {
    call.grpc_status = ToInt(value, kGrpcUnknown);
  } else if (name == "grpc-message") {
    call.message = base::PercentDecode(value);
  } else if (name == "grpc-status-details-bin" && value.size() <= kMaxDetailsBytes) {
    call.details = Base64Decode(value).value_or("");
  } else if (name == "grpc-encoding") {
    call.reply_encoding = value;
  }
}

void GrpcSession::OnData(int32_t id, base::ByteView bytes) {
  GrpcCall* call = Find(id);
  if (call == nullptr || call->refusal != Refusal::kNone || call->http_status != 200) return;
  call->refusal = call->reader.Feed(bytes, 0, &call->reply_body);
  if (call->refusal != Refusal::kNone) {
    nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
  }
}

void GrpcSession::OnStreamClosed(int32_t id, uint32_t error_code) {
  auto found = calls_.find(id);
  if (found == calls_.end()) return;  // answered before: its deadline had passed
  GrpcCallRef call = std::move(found->second);
  calls_.erase(found);
  if (call->grpc_status < 0 && error_code == NGHTTP2_REFUSED_STREAM) {
    return owner_.OnRefused(std::move(call));
  }
  FinishCall(std::move(call), error_code);
}

void GrpcSession::FinishCall(GrpcCallRef call, uint32_t error_code) {
  GrpcReply reply;
  if (call->refusal == Refusal::kNone && call->grpc_status == kGrpcOk) {
    call->refusal = call->reader.Finish(call->reply_encoding, &call->reply_body);
  }
  // A server that has failed is believed, whatever else it sent.
  if (call->refusal != Refusal::kNone && call->grpc_status <= kGrpcOk) {
    bool is_large = call->refusal == Refusal::kTooLarge;
    reply.status = is_large ? kGrpcResourceExhausted : kGrpcInternal;
    reply.message = "reply: " + std::string(RefusalName(call->refusal));
    reply.unreadable = true;
  } else if (call->grpc_status >= 0) {
    reply.status = call->grpc_status;
    reply.message = std::move(call->message);
    if (reply.status == kGrpcOk) {
      reply.body = call->reply_body.TakeBytes();
    } else if (!call->details.empty()) {
      reply.retry_delay = FindRetryDelay(base::AsBytes(call->details));
    }
  } else if (call->http_status != 0 && call->http_status != 200) {
    reply.status = StatusOfHttp(call->http_status);
    reply.message = "HTTP status " + std::to_string(call->http_status);
  } else if (error_code != NGHTTP2_NO_ERROR) {
    reply =
        TransportFailure(std::string("stream was reset: ") + nghttp2_http2_strerror(error_code));
  } else {
    reply.status = kGrpcInternal;
    reply.message = "stream ended without grpc-status";
    reply.unreadable = call->http_status == 200;
  }
  owner_.OnDone(std::move(call), std::move(reply));
}

void GrpcSession::Expire(Time now) {
  for (auto it = calls_.begin(); it != calls_.end();) {
    if (it->second->deadline > now) {
      ++it;
      continue;
    }
    int32_t id = it->first;
    GrpcCallRef call = std::move(it->second);
    it = calls_.erase(it);
    nghttp2_session_set_stream_user_data(session_.get(), id, nullptr);
    nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    GrpcReply reply;
    reply.status = kGrpcDeadlineExceeded;
    reply.message = "no answer in time";
    owner_.OnDone(std::move(call), std::move(reply));
    // A silent peer may be a dead route: find out without waiting for the next call.
    if (now - last_bytes_ > options_.ping_interval / 2) SendPing(now);
  }
  Pump();
}

void GrpcSession::SendPing(Time now) {
  if (std::exchange(ping_open_, true)) return;
  ping_sent_ = now;
  nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, nullptr);
}

// A ping goes out when a call is open and nothing came for ping_interval; it is answered within
// what is left of ping_timeout, or the connection is dead.
void GrpcSession::KeepAlive(Time now) {
  if (!is_ready_ || stream_->closed()) return;
  auto patience =
      std::max(options_.ping_timeout - options_.ping_interval, std::chrono::milliseconds(1));
  if (ping_open_) {
    if (now - ping_sent_ > patience) stream_->Close();
  } else if (!calls_.empty() && now - last_bytes_ >= options_.ping_interval) {
    SendPing(now);
    Pump();
  }
}

void GrpcSession::OnClosed() {
  auto calls = std::move(calls_);
  calls_.clear();
  for (auto& [id, call] : calls) {
    // A whole answer may have come just before the end.
    if (call->grpc_status >= 0) {
      FinishCall(std::move(call), NGHTTP2_NO_ERROR);
    } else {
      owner_.OnDone(std::move(call), TransportFailure("connection was lost"));
    }
  }
  owner_.OnSessionClosed(*this);
}

}  // namespace weft::net
