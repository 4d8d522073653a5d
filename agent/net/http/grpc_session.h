// GrpcSession: one HTTP/2 connection of a GrpcChannel with the calls that are on it. It is
// connecting, then ready (the peer's SETTINGS came), then perhaps draining (GOAWAY), then closed.
// Internal to this room.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/credit.h"
#include "net/grpc_channel.h"
#include "net/http/body_intake.h"
#include "net/http/grpc_framing.h"
#include "net/http/nghttp2_types.h"
#include "net/http/stream.h"
#include "net/http/tls_session.h"

namespace weft::net {

// One call, from GrpcChannel::Call to `done`; it outlives that, and the channel, while its stream
// still holds pieces of the payload.
struct GrpcCall {
  explicit GrpcCall(uint64_t max_reply_bytes) : reply_body(reply_credit, max_reply_bytes) {}

  std::string path, encoding;
  base::Gathered payload;
  std::function<void(GrpcReply&&)> done;
  std::chrono::steady_clock::time_point deadline;
  bool was_requeued = false;

  // Sending: what is left of the prefix and of the pieces.
  std::array<uint8_t, kGrpcPrefixBytes> prefix{};
  size_t prefix_left = 0, payload_left = 0, piece = 0, piece_offset = 0;

  // The reply as far as it has come.
  int http_status = 0, grpc_status = -1;
  std::string message, details, reply_encoding;
  base::ByteCredit reply_credit{UINT64_MAX / 2};  // replies are bounded one by one
  BodyIntake reply_body;
  GrpcUnaryReader reader;
  Refusal refusal = Refusal::kNone;
};
using GrpcCallRef = std::shared_ptr<GrpcCall>;

class GrpcSession final : public StreamHandler {
 public:
  // What a session tells its channel. All may be called from inside the session's own methods.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void OnReady(GrpcSession& session) = 0;
    // No further calls here; the open ones go on.
    virtual void OnDraining(GrpcSession& session) = 0;
    virtual void OnDone(GrpcCallRef call, GrpcReply&& reply) = 0;
    // Certainly not processed by the server.
    virtual void OnRefused(GrpcCallRef call) = 0;
    // Last call; `session` may be destroyed in it. Its calls have been told.
    virtual void OnSessionClosed(GrpcSession& session) = 0;
  };

  // `tls`: null for plaintext.
  GrpcSession(EventLoop& loop, Owner& owner, const GrpcChannel::Options& options,
              const model::Endpoint& peer, std::unique_ptr<TlsSession> tls);
  ~GrpcSession() override;

  // False: no descriptor.
  bool Connect();
  // Only when ready; the call starts at once as far as the windows allow.
  void Start(GrpcCallRef call);
  // Resets those past their deadline and answers them with DEADLINE_EXCEEDED.
  void Expire(std::chrono::steady_clock::time_point now);
  void KeepAlive(std::chrono::steady_clock::time_point now);
  void Drain();
  void Close() { stream_->Close(); }

  bool ready() const { return is_ready_ && !is_draining_; }
  bool was_ready() const { return is_ready_; }
  bool is_draining() const { return is_draining_; }
  const model::Endpoint& peer() const { return peer_; }
  // Why the connection could not be used; empty when nobody knows.
  const std::string& failure() const { return failure_; }
  size_t calls() const { return calls_.size(); }
  // As many calls as the peer allows.
  size_t room() const;
  // Sends what Start has queued.
  void Pump();

  void OnConnected() override;
  void OnBytes(base::ByteView bytes) override;
  void OnEnd() override { stream_->Close(); }
  void OnDrained() override { Pump(); }
  void OnTlsFailed(std::string_view reason) override { failure_.assign("tls: ").append(reason); }
  void OnClosed() override;

 private:
  friend struct GrpcSessionCallbacks;
  using Time = std::chrono::steady_clock::time_point;

  GrpcCall* Find(int32_t id);
  void OnFrame(const nghttp2_frame& frame);
  void OnHeader(GrpcCall& call, std::string_view name, std::string_view value);
  void OnData(int32_t id, base::ByteView bytes);
  void OnStreamClosed(int32_t id, uint32_t error_code);
  ssize_t ReadData(GrpcCall& call, size_t size, uint32_t* flags);
  int SendData(int32_t id, const uint8_t* frame_head, size_t size);
  void FinishCall(GrpcCallRef call, uint32_t error_code);
  void SendPing(Time now);

  EventLoop& loop_;
  Owner& owner_;
  const GrpcChannel::Options& options_;
  const model::Endpoint peer_;
  std::unique_ptr<TlsSession> tls_;  // until Connect
  std::string failure_;
  std::shared_ptr<Stream> stream_;
  Nghttp2Session session_;
  std::unordered_map<int32_t, GrpcCallRef> calls_;
  std::vector<base::ByteView> scratch_;
  Time last_bytes_{}, ping_sent_{};
  bool ping_open_ = false, in_callback_ = false, is_ready_ = false, is_draining_ = false;
};

// The call failed with the connection, not by the server's word.
GrpcReply TransportFailure(std::string message);

}  // namespace weft::net
