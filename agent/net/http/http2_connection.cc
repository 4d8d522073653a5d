// The HTTP/2 side of a listener: nghttp2 does frames and HPACK, this file turns streams into
// requests. gRPC messages are deframed while they arrive, so that a body is copied once: from the
// receive buffer to where it will stay.
#include <array>
#include <cstring>
#include <unordered_map>

#include "base/coding/percent.h"
#include "net/http/connection.h"
#include "net/http/grpc_framing.h"
#include "net/http/nghttp2_types.h"

namespace weft::net {
namespace {

constexpr uint32_t kMaxConcurrentStreams = 128;
constexpr size_t kMaxHeaders = 128, kUsualHeaders = 12;
// Frames that cost us and bring no request (PING, SETTINGS, RST_STREAM, empty DATA, …): a bucket of
// that many, refilled by requests and by time.
constexpr int kFreeFrames = 1000;
constexpr int kFreeFramesPerRequest = 8;
constexpr int kFreeFramesPerSweep = 50;
// A client answers our DATA with WINDOW_UPDATEs, for the stream and for the connection. Not for
// crumbs: a client that opens its window by a byte at a time is what the bucket is for.
constexpr int kFreeFramesPerData = 2;
constexpr size_t kCrumbBytes = 1 << 10;
// Requests that the client takes back; a deadline that passes for many calls at once is no attack.
// Ours is a little stricter than nghttp2's own, which does not say what it saw.
constexpr double kResetBurst = 400, kResetsPerSecond = 40;
constexpr uint64_t kLibraryResetBurst = 500, kLibraryResetsPerSecond = 50;
constexpr int kFreeFramesPerHugeHead = 16;
// Frames that wait behind output nobody reads. An honest client has at most a few for each stream.
constexpr size_t kMaxQueuedFrames = 8 * kMaxConcurrentStreams;
// A head that goes on unfolding beyond this is made to cost us (HPACK bombs).
constexpr size_t kBombBytes = 4 * kMaxHeadBytes;

// One stream: a request coming in, then its response going out.
struct Exchange {
  Exchange(int32_t id, base::ByteCredit& credit, uint64_t limit, PeerAccount* account)
      : id(id), body(credit, limit, account) {}

  const int32_t id;
  Request request;
  BodyIntake body;
  GrpcUnaryReader grpc;
  Response response;
  std::array<uint8_t, kGrpcPrefixBytes> prefix{};
  size_t prefix_left = 0, body_sent = 0, head_bytes = 0;
  Deadline deadline{}, start{};
  uint64_t data_at_start = 0;
  Refusal refusal = Refusal::kNone;
  bool head_done = false, request_done = false, serving = false, answered = false;
};

class Http2Session final : public ProtocolSession,
                           public std::enable_shared_from_this<Http2Session> {
 public:
  Http2Session(ServerContext& context, Stream& stream, const Peers& peers);

  void OnBytes(base::ByteView bytes) override;
  void OnEnd() override { stream_.CloseAfterFlush(); }
  void OnDrained() override { Pump(); }
  void Sweep(Deadline now) override;
  void Shutdown() override;
  void AnnounceShutdown() override;
  void Respond(uint64_t request, Response&& response) override;

  // Called by nghttp2.
  int OnBeginHeaders(const nghttp2_frame& frame);
  int OnHeader(int32_t id, std::string_view name, std::string_view value);
  int OnFrame(const nghttp2_frame& frame);
  int OnInvalidFrame(const nghttp2_frame& frame);
  int OnData(int32_t id, base::ByteView bytes);
  void OnFrameSent(const nghttp2_frame& frame);
  void OnStreamClosed(int32_t id) { exchanges_.erase(id); }
  ssize_t ReadBody(Exchange& exchange, uint8_t* out, size_t size, uint32_t* flags);

 private:
  Exchange* Find(int32_t id);
  void OnHead(Exchange& exchange);
  void OnRequestDone(Exchange& exchange);
  void Refuse(Exchange& exchange, Refusal refusal);
  void Submit(Exchange& exchange);
  void SubmitTrailers(Exchange& exchange);
  void AddStatus(const Exchange& exchange, HeaderBlock* block);
  void Pump();
  void CloseAbusive(Abuse abuse);
  void KeepAlive(Deadline now);

  ServerContext& context_;
  Stream& stream_;
  const Peers peers_;
  Nghttp2Session session_;
  std::unordered_map<int32_t, std::unique_ptr<Exchange>> exchanges_;
  StuckOutput stuck_;
  Deadline last_bytes_, last_use_, last_sweep_, ping_sent_{}, head_deadline_;
  uint64_t trusted_bytes_ = 0, data_bytes_ = 0;
  int free_frames_ = kFreeFrames;
  double resets_ = kResetBurst;          // a bucket, too
  Abuse abuse_ = Abuse::kBrokenFraming;  // what it would be if the session fails now
  bool ping_open_ = false;
  bool in_callback_ = false, in_head_ = true, is_first_ = true, is_shut_down_ = false,
       is_abusive_ = false;
  // Storage for texts between building a header block and submitting it.
  std::array<std::string, 4> texts_;
};

Http2Session& Self(void* user) { return *static_cast<Http2Session*>(user); }

std::string_view Text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

Nghttp2Callbacks MakeCallbacks() {
  nghttp2_session_callbacks* c = nullptr;
  nghttp2_session_callbacks_new(&c);
  nghttp2_session_callbacks_set_on_begin_headers_callback(
      c, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
        return Self(user).OnBeginHeaders(*frame);
      });
  nghttp2_session_callbacks_set_on_header_callback(
      c, [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
            const uint8_t* value, size_t value_size, uint8_t, void* user) {
        return Self(user).OnHeader(frame->hd.stream_id, Text(name, name_size),
                                   Text(value, value_size));
      });
  nghttp2_session_callbacks_set_on_frame_recv_callback(
      c, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
        return Self(user).OnFrame(*frame);
      });
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(
      c, [](nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
        return Self(user).OnInvalidFrame(*frame);
      });
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      c, [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* user) {
        return Self(user).OnData(id, {data, size});
      });
  nghttp2_session_callbacks_set_on_frame_send_callback(
      c, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
        Self(user).OnFrameSent(*frame);
        return 0;
      });
  nghttp2_session_callbacks_set_on_stream_close_callback(
      c, [](nghttp2_session*, int32_t id, uint32_t, void* user) {
        Self(user).OnStreamClosed(id);
        return 0;
      });
  return Nghttp2Callbacks(c);
}

Nghttp2Option MakeOptions() {
  nghttp2_option* o = nullptr;
  nghttp2_option_new(&o);
  nghttp2_option_set_max_outbound_ack(o, kFreeFrames);
  nghttp2_option_set_max_settings(o, 32);
  nghttp2_option_set_no_closed_streams(o, 1);
  nghttp2_option_set_stream_reset_rate_limit(o, kLibraryResetBurst, kLibraryResetsPerSecond);
  return Nghttp2Option(o);
}

Http2Session::Http2Session(ServerContext& context, Stream& stream, const Peers& peers)
    : context_(context),
      stream_(stream),
      peers_(peers),
      last_bytes_(std::chrono::steady_clock::now()),
      last_use_(last_bytes_),
      last_sweep_(last_bytes_),
      head_deadline_(context.After(context.options.header_timeout)) {
  static const Nghttp2Callbacks kCallbacks = MakeCallbacks();
  static const Nghttp2Option kOptions = MakeOptions();
  nghttp2_session* session = nullptr;
  nghttp2_session_server_new2(&session, kCallbacks.get(), this, kOptions.get());
  session_.reset(session);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kMaxConcurrentStreams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindowBytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kMaxHeadBytes},
  };
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kConnectionWindowBytes);
}

Exchange* Http2Session::Find(int32_t id) {
  return static_cast<Exchange*>(nghttp2_session_get_stream_user_data(session_.get(), id));
}

void Http2Session::OnBytes(base::ByteView bytes) {
  last_bytes_ = std::chrono::steady_clock::now();
  ping_open_ = false;
  in_callback_ = true;
  ssize_t n = nghttp2_session_mem_recv(session_.get(), bytes.data(), bytes.size());
  in_callback_ = false;
  if (n < 0) {
    // nghttp2 has its own limits: on CONTINUATION frames, and on answers it owes.
    if (n == NGHTTP2_ERR_FLOODED) abuse_ = Abuse::kFrameFlood;
    if (abuse_ == Abuse::kBrokenFraming && in_head_ && !is_first_) abuse_ = Abuse::kHeaderFlood;
    return CloseAbusive(abuse_);
  }
  Pump();
  if (resets_ < 0) return CloseAbusive(Abuse::kRapidReset);
  if (nghttp2_session_get_outbound_queue_size(session_.get()) > kMaxQueuedFrames) {
    CloseAbusive(Abuse::kFrameFlood);
  }
}

// Ends the connection with a word, whoever sent what.
void Http2Session::CloseAbusive(Abuse abuse) {
  if (stream_.closed()) return;
  context_.metrics.abuses[static_cast<size_t>(abuse)]->Add(1);
  is_abusive_ = true;
  nghttp2_session_terminate_session(session_.get(), NGHTTP2_ENHANCE_YOUR_CALM);
  PumpOutput(session_.get(), stream_);
  stream_.Close();
}

void Http2Session::Pump() {
  if (stream_.closed()) return;
  in_callback_ = true;
  bool goes_on = PumpOutput(session_.get(), stream_);
  in_callback_ = false;
  if (!goes_on || (is_shut_down_ && exchanges_.empty() && stream_.unsent() == 0)) {
    stream_.CloseAfterFlush();
  }
}

int Http2Session::OnBeginHeaders(const nghttp2_frame& frame) {
  in_head_ = true;
  is_first_ = false;
  head_deadline_ = std::chrono::steady_clock::now() + context_.options.header_timeout;
  if (frame.headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  int32_t id = frame.hd.stream_id;
  auto exchange = std::make_unique<Exchange>(id, context_.credit, context_.options.max_body_bytes,
                                             peers_.account.get());
  exchange->request.headers.reserve(kUsualHeaders);
  nghttp2_session_set_stream_user_data(session_.get(), id, exchange.get());
  exchanges_[id] = std::move(exchange);
  return 0;
}

int Http2Session::OnHeader(int32_t id, std::string_view name, std::string_view value) {
  Exchange* exchange = Find(id);
  if (exchange == nullptr || exchange->head_done) return 0;  // trailers say nothing we need
  exchange->head_bytes += name.size() + value.size() + 32;
  Request& request = exchange->request;
  if (exchange->head_bytes > kMaxHeadBytes || request.headers.size() >= kMaxHeaders) {
    exchange->refusal = Refusal::kHeadTooLarge;
    if (exchange->head_bytes <= kBombBytes) return 0;
    abuse_ = Abuse::kHeaderFlood;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  if (name == ":method") {
    request.method = value;
  } else if (name == ":path") {
    SetTarget(value, &request);
  } else if (name == ":authority") {
    request.headers.emplace_back("host", value);
  } else if (!name.starts_with(':')) {
    request.headers.emplace_back(name, value);
  }
  return 0;
}

int Http2Session::OnFrame(const nghttp2_frame& frame) {
  bool ends = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA: {
      if (frame.hd.type == NGHTTP2_HEADERS) in_head_ = false;
      if (frame.hd.type == NGHTTP2_DATA && frame.hd.length == 0 && !ends) --free_frames_;
      Exchange* exchange = Find(frame.hd.stream_id);
      if (exchange == nullptr) break;
      if (!exchange->head_done) OnHead(*exchange);
      if (ends) OnRequestDone(*exchange);
      break;
    }
    case NGHTTP2_RST_STREAM:
      --free_frames_;
      if (--resets_ >= 0) break;
      abuse_ = Abuse::kRapidReset;
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    case NGHTTP2_SETTINGS:
      in_head_ = false;  // the connection's preface is complete
      [[fallthrough]];
    default:
      --free_frames_;
  }
  // The answer to our own ping is no use of the connection.
  bool is_answer = frame.hd.type == NGHTTP2_PING && (frame.hd.flags & NGHTTP2_FLAG_ACK) != 0;
  if (!is_answer) last_use_ = last_bytes_;
  if (free_frames_ >= 0) return 0;
  abuse_ = Abuse::kFrameFlood;
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

// A frame that nghttp2 answers by itself, most often with RST_STREAM, and never shows to OnFrame: a
// stream beyond the limit (a client that does not acknowledge our SETTINGS may open them without
// end), a malformed head.
int Http2Session::OnInvalidFrame(const nghttp2_frame& frame) {
  const bool ends_head = (frame.hd.flags & NGHTTP2_FLAG_END_HEADERS) != 0;
  if (frame.hd.type == NGHTTP2_HEADERS && ends_head) in_head_ = false;
  if (--free_frames_ >= 0) return 0;
  abuse_ = Abuse::kFrameFlood;
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

void Http2Session::OnHead(Exchange& exchange) {
  exchange.head_done = true;
  exchange.start = last_bytes_;
  exchange.data_at_start = data_bytes_;
  exchange.deadline = last_bytes_ + context_.options.body_timeout;
  Request& request = exchange.request;
  request.is_grpc = IsGrpcContentType(request.Header("content-type"));
  if (exchange.refusal != Refusal::kNone) return Refuse(exchange, exchange.refusal);
  if (request.is_grpc && request.method != "POST") return Refuse(exchange, Refusal::kBadMethod);
  if (request.path.empty()) return Refuse(exchange, Refusal::kBadMethod);
}

int Http2Session::OnData(int32_t id, base::ByteView bytes) {
  data_bytes_ += bytes.size();
  Exchange* exchange = Find(id);
  if (exchange == nullptr || exchange->answered) return 0;
  Refusal refusal = exchange->request.is_grpc
                        ? exchange->grpc.Feed(bytes, trusted_bytes_, &exchange->body)
                        : exchange->body.Append(bytes);
  if (refusal != Refusal::kNone) Refuse(*exchange, refusal);
  return 0;
}

void Http2Session::OnRequestDone(Exchange& exchange) {
  exchange.request_done = true;
  if (exchange.answered) return;
  Request& request = exchange.request;
  trusted_bytes_ = std::max(trusted_bytes_, exchange.body.size());
  Refusal refusal = request.is_grpc
                        ? exchange.grpc.Finish(request.Header("grpc-encoding"), &exchange.body)
                        : exchange.body.Decode(request.Header("content-encoding"));
  if (refusal != Refusal::kNone) return Refuse(exchange, refusal);
  exchange.body.MoveInto(&request);
  request.peer = peers_.peer;
  request.local = peers_.local;
  request.peer_pid = peers_.pid;
  exchange.serving = true;
  free_frames_ = std::min(kFreeFrames, free_frames_ + kFreeFramesPerRequest);
  context_.metrics.http2_requests.Add(1);
  context_.service(std::move(request),
                   Responder(weak_from_this(), static_cast<uint64_t>(exchange.id)));
}

void Http2Session::Refuse(Exchange& exchange, Refusal refusal) {
  exchange.refusal = refusal;
  if (refusal == Refusal::kHeadTooLarge) free_frames_ -= kFreeFramesPerHugeHead;
  context_.metrics.refusals[static_cast<size_t>(refusal)]->Add(1);
  exchange.body.Drop();
  exchange.response = RefusalResponse(refusal, exchange.request.is_grpc);
  Submit(exchange);
}

void Http2Session::Respond(uint64_t request, Response&& response) {
  Exchange* exchange = Find(static_cast<int32_t>(request));
  if (exchange == nullptr || !exchange->serving || exchange->answered) return;
  exchange->response = std::move(response);
  Submit(*exchange);
  if (!in_callback_) Pump();
}

void Http2Session::AddStatus(const Exchange& exchange, HeaderBlock* block) {
  const Response& response = exchange.response;
  texts_[0] = std::to_string(response.grpc_status);
  block->Add("grpc-status", texts_[0]);
  if (!response.grpc_message.empty()) {
    texts_[1] = base::PercentEncode(response.grpc_message);
    block->Add("grpc-message", texts_[1]);
  }
  if (!response.grpc_status_details.empty()) {
    texts_[2] = Base64Encode(response.grpc_status_details);
    block->Add("grpc-status-details-bin", texts_[2]);
  }
}

void Http2Session::Submit(Exchange& exchange) {
  exchange.answered = true;
  exchange.deadline = context_.After(context_.options.body_timeout);
  Response& response = exchange.response;
  bool is_grpc = exchange.request.is_grpc;
  bool has_data = is_grpc ? response.grpc_status == 0 || !response.body.empty()
                          : !response.body.empty() && exchange.request.method != "HEAD";
  HeaderBlock block;
  std::string status = is_grpc ? "200" : std::to_string(response.status), length;
  block.Add(":status", status);
  if (is_grpc) {
    block.Add("content-type", "application/grpc");
    exchange.prefix = GrpcPrefix(false, static_cast<uint32_t>(response.body.size()));
    exchange.prefix_left = kGrpcPrefixBytes;
    if (!has_data) AddStatus(exchange, &block);
  } else {
    if (!response.content_type.empty()) block.Add("content-type", response.content_type);
    length = std::to_string(response.body.size());
    if (response.status != 204 && response.status != 304) block.Add("content-length", length);
  }
  for (const auto& [name, value] : response.headers) block.Add(name, value);
  nghttp2_data_provider provider{};
  provider.source.ptr = &exchange;
  provider.read_callback = [](nghttp2_session*, int32_t, uint8_t* out, size_t size, uint32_t* flags,
                              nghttp2_data_source* source, void* user) {
    return Self(user).ReadBody(*static_cast<Exchange*>(source->ptr), out, size, flags);
  };
  nghttp2_submit_response(session_.get(), exchange.id, block.data(), block.size(),
                          has_data ? &provider : nullptr);
}

ssize_t Http2Session::ReadBody(Exchange& exchange, uint8_t* out, size_t size, uint32_t* flags) {
  size_t written = 0;
  if (exchange.prefix_left > 0) {
    written = std::min(size, exchange.prefix_left);
    std::memcpy(out, exchange.prefix.data() + (kGrpcPrefixBytes - exchange.prefix_left), written);
    exchange.prefix_left -= written;
  }
  const std::string& body = exchange.response.body;
  size_t n = std::min(size - written, body.size() - exchange.body_sent);
  std::memcpy(out + written, body.data() + exchange.body_sent, n);
  exchange.body_sent += n;
  if (exchange.prefix_left == 0 && exchange.body_sent == body.size()) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (exchange.request.is_grpc) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      SubmitTrailers(exchange);
    }
  }
  return static_cast<ssize_t>(written + n);
}

void Http2Session::SubmitTrailers(Exchange& exchange) {
  HeaderBlock block;
  AddStatus(exchange, &block);
  nghttp2_submit_trailer(session_.get(), exchange.id, block.data(), block.size());
}

void Http2Session::OnFrameSent(const nghttp2_frame& frame) {
  if (frame.hd.type == NGHTTP2_DATA && frame.hd.length >= kCrumbBytes) {
    free_frames_ = std::min(kFreeFrames, free_frames_ + kFreeFramesPerData);
  }
  // A request that its client made us take back is one that the client took back.
  if (frame.hd.type == NGHTTP2_RST_STREAM && frame.rst_stream.error_code != NGHTTP2_NO_ERROR &&
      frame.rst_stream.error_code != NGHTTP2_REFUSED_STREAM) {
    --resets_;
  }
  // nghttp2 has seen something by itself and says why it ends.
  if (frame.hd.type == NGHTTP2_GOAWAY && frame.goaway.error_code != NGHTTP2_NO_ERROR &&
      !std::exchange(is_abusive_, true)) {
    bool is_reset = frame.goaway.error_code == NGHTTP2_INTERNAL_ERROR;
    Abuse abuse = is_reset ? Abuse::kRapidReset : Abuse::kBrokenFraming;
    context_.metrics.abuses[static_cast<size_t>(abuse)]->Add(1);
  }
  bool can_end = frame.hd.type == NGHTTP2_HEADERS || frame.hd.type == NGHTTP2_DATA;
  if (!can_end || (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return;
  Exchange* exchange = Find(frame.hd.stream_id);
  if (exchange == nullptr || exchange->request_done) return;
  // A response that ended before its request: tell the client to stop sending, without calling it
  // an error.
  nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, exchange->id, NGHTTP2_NO_ERROR);
}

void Http2Session::Shutdown() {
  if (std::exchange(is_shut_down_, true) || stream_.closed()) return;
  nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_.get()), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  if (!in_callback_) Pump();
}

void Http2Session::AnnounceShutdown() {
  if (is_shut_down_ || stream_.closed()) return;
  nghttp2_submit_shutdown_notice(session_.get());
  if (!in_callback_) Pump();
}

// Silence is asked about, and a connection that does not answer is gone: its peer was cut off.
void Http2Session::KeepAlive(Deadline now) {
  const ListenerOptions& options = context_.options;
  if (options.ping_interval.count() == 0) return;
  if (ping_open_ && now - ping_sent_ > options.ping_timeout) {
    context_.metrics.dead_connections.Add(1);
    stream_.Close();
  } else if (!ping_open_ && now - last_bytes_ > options.ping_interval) {
    ping_open_ = true;
    ping_sent_ = now;
    nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, nullptr);
  }
}

void Http2Session::Sweep(Deadline now) {
  if (stream_.closed()) return;
  double seconds = std::chrono::duration<double>(now - std::exchange(last_sweep_, now)).count();
  resets_ = std::min(kResetBurst, resets_ + seconds * kResetsPerSecond);
  free_frames_ = std::min(kFreeFrames, free_frames_ + kFreeFramesPerSweep);
  if (in_head_ && now > head_deadline_) return stream_.Close();
  if (stuck_.Check(stream_, now, context_.options)) return stream_.Close();
  if (exchanges_.empty() && now - last_use_ > context_.options.idle_timeout) {
    nghttp2_session_terminate_session(session_.get(), NGHTTP2_NO_ERROR);
  }
  for (auto& [id, exchange] : exchanges_) {
    if (!exchange->head_done || (exchange->serving && !exchange->answered)) continue;
    if (exchange->answered) {
      if (now > exchange->deadline) return CloseAbusive(Abuse::kStalledWindow);
    } else if (now > exchange->deadline) {
      Refuse(*exchange, Refusal::kTimeout);
    } else if (IsTooSlow(data_bytes_ - exchange->data_at_start, now - exchange->start,
                         context_.options)) {
      Refuse(*exchange, Refusal::kTooSlow);
    }
  }
  KeepAlive(now);
  Pump();
}

}  // namespace

std::shared_ptr<ProtocolSession> MakeHttp2Session(ServerContext& context, Stream& stream,
                                                  const Peers& peers) {
  return std::make_shared<Http2Session>(context, stream, peers);
}

}  // namespace weft::net
