// HttpConnection: one keep-alive connection of an HttpChannel; one request at a time. Internal to
// this room.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "net/http/stream.h"
#include "net/http/tls_session.h"
#include "net/http_channel.h"

namespace weft::net {

// One request, from HttpChannel::Post to `done`.
struct HttpPost {
  std::string head;  // request line and headers
  base::Gathered body;
  std::function<void(HttpPostReply&&)> done;
  std::chrono::steady_clock::time_point deadline;
};
using HttpPostRef = std::shared_ptr<HttpPost>;

HttpPostReply HttpTransportFailure(std::string message);

class HttpConnection final : public StreamHandler {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    // Connected, or free again.
    virtual void OnIdle(HttpConnection& connection) = 0;
    virtual void OnDone(HttpPostRef post, HttpPostReply&& reply) = 0;
    // Last call; `connection` may be destroyed in it. Its request has been told.
    virtual void OnConnectionClosed(HttpConnection& connection) = 0;
  };

  HttpConnection(EventLoop& loop, Owner& owner, uint64_t max_reply_bytes);
  ~HttpConnection() override;

  // False: no descriptor.
  bool Connect(const model::Endpoint& peer, std::unique_ptr<TlsSession> tls);
  // Only when idle.
  void Start(HttpPostRef post);
  // Answers the open request with `reason` and closes.
  void Abort(const std::string& reason);
  void Close() { stream_->Close(); }

  bool was_connected() const { return is_connected_; }
  bool idle() const {
    return is_connected_ && !is_leaving_ && post_ == nullptr && !stream_->closed();
  }
  const HttpPost* post() const { return post_.get(); }
  const model::Endpoint& peer() const { return peer_; }
  std::chrono::steady_clock::time_point last_use() const { return last_use_; }
  const std::string& failure() const { return failure_; }

  void OnConnected() override;
  void OnBytes(base::ByteView bytes) override;
  void OnEnd() override;
  void OnDrained() override {}
  void OnTlsFailed(std::string_view reason) override { failure_.assign("tls: ").append(reason); }
  void OnClosed() override;

 private:
  struct Reader;

  HttpPostReply ReadHead();
  void Finish();
  void FinishDamaged(std::string reason);

  EventLoop& loop_;
  Owner& owner_;
  const uint64_t max_reply_bytes_;
  model::Endpoint peer_;
  std::shared_ptr<Stream> stream_;
  std::unique_ptr<Reader> reader_;  // of the open request's reply
  HttpPostRef post_;
  base::ByteBuffer pending_;  // an incomplete head or chunk head
  std::string failure_;
  std::chrono::steady_clock::time_point last_use_{};
  bool is_connected_ = false, is_leaving_ = false;  // left: no request after the last one
};

}  // namespace weft::net
