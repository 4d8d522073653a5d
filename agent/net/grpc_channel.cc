#include "net/grpc_channel.h"

#include <algorithm>
#include <deque>
#include <random>

#include "net/address.h"
#include "net/event_loop.h"
#include "net/http/client_parts.h"
#include "net/http/grpc_session.h"
#include "net/http_client.h"

namespace weft::net {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

class GrpcChannel::Impl final : public GrpcSession::Owner,
                                public std::enable_shared_from_this<GrpcChannel::Impl> {
 public:
  Impl(EventLoop& loop, Options options) : loop_(loop), options_(std::move(options)) {
    for (std::string_view scheme : {"http://", "grpc://", "https://", "grpcs://"}) {
      if (!options_.endpoint.starts_with(scheme)) continue;
      options_.endpoint.erase(0, scheme.size());
      if (scheme.ends_with("s://") && !options_.tls) options_.tls.emplace();
    }
    options_.endpoint.resize(std::min(options_.endpoint.find('/'), options_.endpoint.size()));
    if (options_.tls) {
      credentials_.emplace(*options_.tls, TlsSide::kClient, std::vector<std::string>{"h2"});
    }
  }

  void Start() {
    auto period =
        std::max(std::min(options_.ping_interval, options_.ping_timeout) / 4, milliseconds(5));
    keepalive_timer_ = loop_.RunEvery(period, [this] { KeepAlive(); });
    resolve_timer_ = loop_.RunEvery(options_.resolve_interval, [this] { CheckAddress(); });
    BeginAttempt();
  }

  void Shutdown() {
    is_shut_down_ = true;
    for (auto id : {keepalive_timer_, resolve_timer_, deadline_timer_, attempt_timer_}) {
      loop_.Cancel(id);
    }
    query_.reset();
    check_query_.reset();
    sessions_.clear();
    waiting_.clear();
  }

  void Call(std::string_view path, base::Gathered&& payload, std::string_view encoding,
            std::function<void(GrpcReply&&)> done) {
    auto call = std::make_shared<GrpcCall>(options_.max_reply_bytes);
    call->path = path;
    call->encoding = encoding;
    call->payload = std::move(payload);
    call->done = std::move(done);
    call->deadline = Clock::now() + options_.timeout;
    ++open_calls_;
    waiting_.push_back(std::move(call));
    if (deadline_timer_ == 0) ArmDeadline(options_.timeout);
    PostDispatch();
  }

  bool connected() const { return current_ != nullptr && current_->ready(); }
  size_t open_calls() const { return open_calls_; }

  void OnReady(GrpcSession& session) override {
    loop_.Cancel(std::exchange(attempt_timer_, 0));
    // What made it ready is being parsed now; the calls are flushed when that is done.
    if (&session == current_) Dispatch();
  }

  void OnDraining(GrpcSession& session) override {
    if (&session != current_) return;
    current_ = nullptr;
    ScheduleAttempt();
  }

  void OnDone(GrpcCallRef call, GrpcReply&& reply) override {
    // Only an answer shows that a connection is worth having again at once.
    if (!reply.transport_error) failures_ = 0;
    completed_.emplace_back(std::move(call), std::move(reply));
    if (std::exchange(drain_posted_, true)) return;
    loop_.Post([self = shared_from_this()] { self->Complete(); });
  }

  void OnRefused(GrpcCallRef call) override {
    if (std::exchange(call->was_requeued, true)) {
      return OnDone(std::move(call), NotProcessed("refused twice"));
    }
    waiting_.push_front(std::move(call));
    PostDispatch();
  }

  void OnSessionClosed(GrpcSession& session) override {
    bool was_current = &session == current_;
    bool was_ready = session.was_ready();
    std::string failure = session.failure();
    auto self = shared_from_this();
    std::erase_if(sessions_, [&](const auto& s) { return s.get() == &session; });
    if (!was_current) return PostDispatch();
    current_ = nullptr;
    loop_.Cancel(std::exchange(attempt_timer_, 0));
    if (was_ready) return ScheduleAttempt();
    TryNextAddress(failure.empty() ? "no HTTP/2 connection" : failure);
  }

  void SetHeader(std::string_view name, std::string_view value) {
    SetHeaderIn(name, value, &options_.headers);
  }

 private:
  static GrpcReply NotProcessed(std::string reason) {
    GrpcReply reply = TransportFailure(std::move(reason));
    reply.unprocessed = true;
    return reply;
  }

  // Resolve, then each address in turn, then a pause.
  void BeginAttempt() {
    auto parts = SplitHostPort(options_.endpoint);
    if (!parts.ok()) return FailAttempt(std::string(parts.status().message()));
    query_ = Resolve(loop_, parts->first, parts->second, [this](base::Result<Addresses> found) {
      if (!found.ok()) return FailAttempt(std::string(found.status().message()));
      addresses_ = std::move(*found);
      std::shuffle(addresses_.begin(), addresses_.end(), random_);
      TryNextAddress("no address");
    });
  }

  void TryNextAddress(const std::string& reason) {
    if (addresses_.empty()) return FailAttempt("connect " + options_.endpoint + ": " + reason);
    std::unique_ptr<TlsSession> tls;
    if (credentials_) {
      auto made = MakeClientTls(*credentials_, options_.endpoint);
      if (!made.ok()) return FailAttempt(std::string(made.status().message()));
      tls = std::move(*made);
    }
    auto session =
        std::make_unique<GrpcSession>(loop_, *this, options_, addresses_.back(), std::move(tls));
    addresses_.pop_back();
    if (!session->Connect()) return FailAttempt("no file descriptor");
    current_ = session.get();
    sessions_.push_back(std::move(session));
    attempt_timer_ = loop_.RunAfter(options_.connect_timeout, [this] {
      attempt_timer_ = 0;
      if (current_ != nullptr) current_->Close();
    });
  }

  void FailAttempt(const std::string& reason) {
    current_ = nullptr;
    for (auto& call : std::exchange(waiting_, {})) OnDone(std::move(call), NotProcessed(reason));
    ScheduleAttempt();
  }

  void ScheduleAttempt() {
    milliseconds pause = options_.backoff_max;
    if (failures_ < 16) pause = std::min(pause, options_.backoff_min * (1 << failures_));
    ++failures_;
    std::uniform_real_distribution<double> jitter(0.8, 1.2);
    loop_.Cancel(attempt_timer_);
    attempt_timer_ = loop_.RunAfter(
        std::chrono::duration_cast<std::chrono::nanoseconds>(pause * jitter(random_)), [this] {
          attempt_timer_ = 0;
          BeginAttempt();
        });
  }

  void Dispatch() {
    while (!waiting_.empty() && connected() && current_->calls() < options_.max_in_flight &&
           current_->room() > 0) {
      GrpcCallRef call = std::move(waiting_.front());
      waiting_.pop_front();
      current_->Start(std::move(call));
    }
  }

  // Once behind whatever made the calls, so that those of one read leave in one write.
  void PostDispatch() {
    if (std::exchange(dispatch_posted_, true)) return;
    loop_.Post([weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self || self->is_shut_down_) return;
      self->dispatch_posted_ = false;
      self->Dispatch();
      if (self->current_ != nullptr) self->current_->Pump();
    });
  }

  void Complete() {
    drain_posted_ = false;
    auto completed = std::exchange(completed_, {});
    for (auto& [call, reply] : completed) {
      if (is_shut_down_) return;
      --open_calls_;
      auto done = std::move(call->done);
      call.reset();
      done(std::move(reply));
    }
    if (is_shut_down_) return;
    Dispatch();
    if (current_ != nullptr) current_->Pump();
  }

  void ArmDeadline(std::chrono::nanoseconds delay) {
    deadline_timer_ = loop_.RunAfter(delay, [this] { Expire(); });
  }

  // Calls share one timeout, so those that were made first end first; the timer sleeps until the
  // next may be due.
  void Expire() {
    deadline_timer_ = 0;
    auto now = Clock::now();
    for (auto& session : sessions_) {
      if (session->was_ready()) session->Expire(now);
    }
    std::erase_if(waiting_, [&](GrpcCallRef& call) {
      if (call->deadline > now) return false;
      OnDone(std::move(call), NotProcessed("no connection in time"));
      return true;
    });
    if (open_calls_ > completed_.size()) {
      ArmDeadline(
          std::clamp<milliseconds>(options_.timeout / 16, milliseconds(1), milliseconds(250)));
    }
  }

  void KeepAlive() {
    auto now = Clock::now();
    for (auto& session : sessions_) session->KeepAlive(now);
  }

  // A name may have moved (a rescheduled collector): leave an address that it no longer has.
  void CheckAddress() {
    auto parts = SplitHostPort(options_.endpoint);
    if (!connected() || !parts.ok()) return;
    check_query_ =
        Resolve(loop_, parts->first, parts->second, [this](base::Result<Addresses> found) {
          if (!found.ok() || found->empty() || !connected()) return;
          if (std::find(found->begin(), found->end(), current_->peer()) == found->end()) {
            current_->Drain();
          }
        });
  }

  EventLoop& loop_;
  Options options_;
  std::optional<TlsCredentials> credentials_;
  std::deque<GrpcCallRef> waiting_;
  std::vector<std::pair<GrpcCallRef, GrpcReply>> completed_;
  std::vector<std::unique_ptr<GrpcSession>> sessions_;  // the current one and those draining
  GrpcSession* current_ = nullptr;
  Addresses addresses_;
  std::shared_ptr<void> query_, check_query_;
  std::minstd_rand random_{std::random_device{}()};
  size_t open_calls_ = 0;
  int failures_ = 0;
  EventLoop::TimerId keepalive_timer_ = 0, resolve_timer_ = 0, deadline_timer_ = 0,
                     attempt_timer_ = 0;
  bool drain_posted_ = false, dispatch_posted_ = false, is_shut_down_ = false;
};

GrpcChannel::GrpcChannel(EventLoop& loop, Options options)
    : impl_(std::make_shared<Impl>(loop, std::move(options))) {
  impl_->Start();
}

GrpcChannel::~GrpcChannel() { impl_->Shutdown(); }

void GrpcChannel::Call(std::string_view path, base::Gathered&& payload, std::string_view encoding,
                       std::function<void(GrpcReply&&)> done) {
  impl_->Call(path, std::move(payload), encoding, std::move(done));
}

void GrpcChannel::SetHeader(std::string_view lower_name, std::string_view value) {
  impl_->SetHeader(lower_name, value);
}

bool GrpcChannel::connected() const { return impl_->connected(); }
size_t GrpcChannel::open_calls() const { return impl_->open_calls(); }

}  // namespace weft::net
