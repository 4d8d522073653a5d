#include "sources/sampling/sampling.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <vector>

#include "base/coding/percent.h"
#include "base/log.h"
#include "net/event_loop.h"
#include "net/grpc_channel.h"
#include "net/listener.h"
#include "protocols/jaeger/sampling.h"

namespace weft::sources::sampling {
namespace {

namespace jaeger = protocols::jaeger;
using base::Loss;
using base::MetricKind;
using jaeger::SamplingStrategy;

constexpr std::string_view kMethod = "/jaeger.api_v2.SamplingManager/GetSamplingStrategy";
constexpr uint64_t kSecondNs = 1'000'000'000;
constexpr uint64_t kMaxFileBytes = 4 << 20;

// In which form somebody wants to be answered.
enum class Form : uint8_t { kJson, kLegacyJson, kGrpc };

net::Response Strategy(Form form, const SamplingStrategy& strategy) {
  net::Response response;
  if (form == Form::kGrpc) {
    base::ByteBuffer bytes;
    jaeger::AppendSamplingProto(strategy, &bytes);
    response.body = base::AsText(bytes.view());
    return response;
  }
  response.content_type = "application/json";
  response.body = jaeger::SamplingJson(strategy, form == Form::kLegacyJson);
  return response;
}

net::Response Failure(Form form, int http_status, int grpc_status, std::string_view text) {
  net::Response response;
  if (form == Form::kGrpc) {
    response.grpc_status = grpc_status;
    response.grpc_message = text;
    return response;
  }
  response.status = http_status;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::string(text) + "\n";
  return response;
}

// False unless there is exactly one parameter of that name, and it says something.
bool TheService(std::string_view query, std::string* service) {
  int found = 0;
  while (!query.empty()) {
    const size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    if (!pair.starts_with("service=")) continue;
    *service = base::PercentDecode(pair.substr(8), /*plus_is_space=*/true);
    ++found;
  }
  return found == 1 && !service->empty();
}

}  // namespace

base::ConfigBlock Describe(Options& options) {
  base::ConfigBlock block{"receivers.sampling", {}};
  otlp::DescribeServer(options, "questions of Jaeger clients for their sampling strategy.", &block);
  auto add = [&block](base::ConfigField field) { block.fields.push_back(std::move(field)); };
  add({"strategies_file", &options.strategies_file,
       "Strategies in the format of Jaeger's sampling.strategies-file; empty: 0.001 for all."});
  add({"collector_endpoint", &options.collector_endpoint,
       "host:port of a Jaeger collector's gRPC port to ask instead; empty: nobody is asked."});
  add({"reload_seconds", &options.reload_seconds, "Seconds between two looks at the file.", 1,
       86400});
  add({"cache_seconds", &options.cache_seconds,
       "Seconds for which a collector's answer is given again.", 0, 86400});
  add({"stale_seconds", &options.stale_seconds,
       "Seconds for which it is given while the collector does not answer.", 0, 86400});
  return block;
}

class Server::Impl {
 public:
  Impl(Options options, otlp::Deps deps)
      : options_(std::move(options)),
        deps_(std::move(deps)),
        requests_(deps_.ledger.Row("receiver sampling", "requests")),
        asked_{&Requests("sampling"), &Requests("sampling-legacy"), &Requests("grpc")},
        baggage_(Requests("baggage")),
        bad_requests_(Errors("4xx", "all")),
        proxy_failures_(Errors("5xx", "collector-proxy")),
        proxy_ok_(Proxied("ok")),
        proxy_failed_(Proxied("err")),
        reload_failures_(deps_.metrics.Get(
            MetricKind::kCounter, "weft_sources_sampling_reload_failures_total",
            "Strategies files that could not be used; the strategies before stay.")) {}

  base::Status Start() {
    if (!options_.strategies_file.empty()) {
      if (base::Status loaded = Load(); !loaded.ok())
        return base::Context("receivers.sampling.strategies_file", loaded);
    }
    auto opened = otlp::OpenListener("sampling", options_, deps_.loop, deps_.metrics, deps_.credit,
                                     [this](net::Request&& request, net::Responder responder) {
                                       Answer(std::move(request), std::move(responder));
                                     });
    if (!opened.ok()) return opened.status();
    listener_ = std::move(*opened);
    if (!options_.collector_endpoint.empty()) {
      net::GrpcChannel::Options channel;
      channel.endpoint = options_.collector_endpoint;
      channel.timeout = std::chrono::milliseconds(2'000);
      channel_ = std::make_unique<net::GrpcChannel>(deps_.loop, std::move(channel));
    }
    if (!options_.strategies_file.empty()) {
      timer_ = deps_.loop.RunEvery(std::chrono::seconds(options_.reload_seconds),
                                   [this] { ReloadIfChanged(); });
    }
    return base::Ok();
  }

  void Stop() {
    deps_.loop.Cancel(std::exchange(timer_, 0));
    if (listener_) listener_->Close();
    channel_ = nullptr;
    for (auto& [service, entry] : std::exchange(services_, {}))
      Settle(std::move(entry.waiting), entry.known ? &entry.strategy : nullptr);
  }

  uint16_t port() const { return listener_ ? listener_->port() : 0; }

  void Answer(net::Request request, net::Responder&& responder);

 private:
  struct Waiter {
    net::Responder responder;
    Form form;
  };
  // What a collector said about one service.
  struct Entry {
    bool known = false, asking = false;
    SamplingStrategy strategy;
    uint64_t asked_ns = 0;
    std::vector<Waiter> waiting;
  };

  base::Metric& Requests(const char* type) {
    return deps_.metrics.Get(MetricKind::kCounter, "jaeger_agent_http_server_requests_total",
                             "Questions for sampling strategies and baggage restrictions.",
                             {{"type", type}});
  }
  base::Metric& Errors(const char* status, const char* source) {
    return deps_.metrics.Get(MetricKind::kCounter, "jaeger_agent_http_server_errors_total",
                             "Questions that could not be answered.",
                             {{"status", status}, {"source", source}});
  }
  base::Metric& Proxied(const char* result) {
    return deps_.metrics.Get(MetricKind::kCounter, "jaeger_agent_collector_proxy_total",
                             "Questions passed on to the collector.",
                             {{"result", result}, {"endpoint", "sampling"}});
  }

  void Ask(const std::string& service, Waiter&& waiter);
  void OnReply(const std::string& service, net::GrpcReply&& reply);
  // `strategy` null: nobody knows.
  void Settle(std::vector<Waiter>&& waiting, const SamplingStrategy* strategy);
  Entry* EntryOf(const std::string& service);
  void Send(Waiter&& waiter, const SamplingStrategy& strategy) {
    requests_.In(1);
    requests_.Out(1);
    waiter.responder.Send(Strategy(waiter.form, strategy));
  }
  void Refuse(Waiter&& waiter, std::string_view reason, int http_status, int grpc_status,
              std::string_view text) {
    requests_.In(1);
    requests_.Lose(Loss::kRejected, reason, 1);
    waiter.responder.Send(Failure(waiter.form, http_status, grpc_status, text));
  }
  base::Status Load();
  void ReloadIfChanged();

  const Options options_;
  const otlp::Deps deps_;
  base::LedgerRow& requests_;
  base::Metric* const asked_[3];  // by form
  base::Metric& baggage_;
  base::Metric& bad_requests_;
  base::Metric& proxy_failures_;
  base::Metric& proxy_ok_;
  base::Metric& proxy_failed_;
  base::Metric& reload_failures_;
  jaeger::SamplingStrategies strategies_;
  struct stat seen_ = {};  // of the file, when it was read
  std::map<std::string, Entry, std::less<>> services_;
  uint64_t timer_ = 0;
  std::unique_ptr<net::Listener> listener_;
  std::unique_ptr<net::GrpcChannel> channel_;  // null: nobody is asked
};

void Server::Impl::Answer(net::Request request, net::Responder&& responder) {
  std::string service;
  if (request.is_grpc) {
    Waiter waiter{std::move(responder), Form::kGrpc};
    if (request.path != kMethod)
      return Refuse(std::move(waiter), "unknown_method", 404, net::kGrpcUnimplemented,
                    "unknown method");
    if (!jaeger::ReadSamplingParameters(request.body.view(), &service))
      return Refuse(std::move(waiter), "malformed", 400, net::kGrpcInvalidArgument,
                    "not encoded SamplingStrategyParameters");
    return Ask(service, std::move(waiter));
  }
  Waiter waiter{std::move(responder), request.path == "/" ? Form::kLegacyJson : Form::kJson};
  if (request.path.ends_with("/baggageRestrictions")) {
    // An empty list would forbid all baggage. The agent cannot answer this either.
    baggage_.Add(1);
    return Refuse(std::move(waiter), "baggage", 501, net::kGrpcUnimplemented,
                  "baggage restrictions are not implemented");
  }
  if (request.path != "/" && request.path != "/sampling" && request.path != "/api/sampling")
    return Refuse(std::move(waiter), "unknown_path", 404, net::kGrpcUnimplemented,
                  "404 page not found");
  if (request.method != "GET" && request.method != "HEAD")
    return Refuse(std::move(waiter), "method", 405, net::kGrpcUnimplemented,
                  "405 method not allowed, supported: [GET]");
  if (!TheService(request.query, &service)) {
    bad_requests_.Add(1);
    return Refuse(std::move(waiter), "no_service", 400, net::kGrpcInvalidArgument,
                  "'service' parameter must be provided once");
  }
  Ask(service, std::move(waiter));
}

void Server::Impl::Ask(const std::string& service, Waiter&& waiter) {
  asked_[static_cast<size_t>(waiter.form)]->Add(1);
  if (service.size() > kMaxNameBytes)
    return Refuse(std::move(waiter), "long_name", 400, net::kGrpcInvalidArgument,
                  "the service's name is too long");
  if (channel_ == nullptr) return Send(std::move(waiter), strategies_.For(service));
  Entry* const found = EntryOf(service);
  if (found == nullptr)
    return Refuse(std::move(waiter), "many_services", 503, net::kGrpcUnavailable,
                  "the collector is asked about too many services");
  Entry& entry = *found;
  const uint64_t now_ns = deps_.clock.MonotonicNs();
  const auto fresh_ns = static_cast<uint64_t>(options_.cache_seconds) * kSecondNs;
  if (entry.known && !entry.asking && now_ns - entry.asked_ns < fresh_ns)
    return Send(std::move(waiter), entry.strategy);
  entry.waiting.push_back(std::move(waiter));
  if (std::exchange(entry.asking, true)) return;
  base::ByteBuffer bytes;
  jaeger::AppendSamplingParameters(service, &bytes);
  base::SharedBytes owner = base::Share(std::move(bytes));
  base::Gathered payload;
  payload.Add(owner->view());
  payload.owners.push_back(std::move(owner));
  channel_->Call(kMethod, std::move(payload), "",
                 [this, service](net::GrpcReply&& reply) { OnReply(service, std::move(reply)); });
}

void Server::Impl::OnReply(const std::string& service, net::GrpcReply&& reply) {
  Entry& entry = services_.find(service)->second;  // whoever asks is not forgotten
  entry.asking = false;
  SamplingStrategy strategy;
  if (reply.status == 0 && jaeger::ReadSamplingProto(reply.body.view(), &strategy)) {
    proxy_ok_.Add(1);
    entry.strategy = std::move(strategy);
    entry.known = true;
    entry.asked_ns = deps_.clock.MonotonicNs();
  } else {
    proxy_failed_.Add(1);
    const auto stale_ns = static_cast<uint64_t>(options_.stale_seconds) * kSecondNs;
    if (entry.known && deps_.clock.MonotonicNs() - entry.asked_ns >= stale_ns) entry.known = false;
  }
  std::vector<Waiter> waiting = std::exchange(entry.waiting, {});
  const bool known = entry.known;
  strategy = entry.strategy;
  if (!known) services_.erase(service);
  Settle(std::move(waiting), known ? &strategy : nullptr);
}

// An answer may bring in the next question of its connection before Send returns: no entry may be
// relied on here.
void Server::Impl::Settle(std::vector<Waiter>&& waiting, const SamplingStrategy* strategy) {
  for (Waiter& waiter : waiting) {
    if (strategy != nullptr) {
      Send(std::move(waiter), *strategy);
      continue;
    }
    proxy_failures_.Add(1);
    Refuse(std::move(waiter), "collector", 500, net::kGrpcUnavailable,
           "the collector does not answer");
  }
}

// A new service takes the place of one that nobody waits for; null when there is none.
Server::Impl::Entry* Server::Impl::EntryOf(const std::string& service) {
  const auto found = services_.find(service);
  if (found != services_.end()) return &found->second;
  if (services_.size() >= kMaxServices) {
    const auto idle = std::find_if(services_.begin(), services_.end(),
                                   [](const auto& entry) { return !entry.second.asking; });
    if (idle == services_.end()) return nullptr;
    services_.erase(idle);
  }
  return &services_[service];
}

base::Status Server::Impl::Load() {
  struct stat now = {};
  if (stat(options_.strategies_file.c_str(), &now) != 0)
    return base::Error(options_.strategies_file + ": " + std::strerror(errno));
  seen_ = now;
  if (static_cast<uint64_t>(now.st_size) > kMaxFileBytes)
    return base::Error(options_.strategies_file + ": larger than 4 MiB");
  std::ifstream file(options_.strategies_file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.good() && text.empty())
    return base::Error(options_.strategies_file + ": cannot be read");
  std::string error;
  if (!jaeger::SamplingStrategies::Parse(text, &strategies_, &error))
    return base::Error(options_.strategies_file + ": " + error);
  return base::Ok();
}

void Server::Impl::ReloadIfChanged() {
  struct stat now = {};
  if (stat(options_.strategies_file.c_str(), &now) != 0) return;
  if (now.st_ino == seen_.st_ino && now.st_size == seen_.st_size &&
      now.st_mtim.tv_sec == seen_.st_mtim.tv_sec && now.st_mtim.tv_nsec == seen_.st_mtim.tv_nsec) {
    return;
  }
  const base::Status loaded = Load();
  if (loaded.ok()) {
    spdlog::info("sampling: {} was read again", options_.strategies_file);
    return;
  }
  reload_failures_.Add(1);
  spdlog::warn("sampling: {}; the strategies before stay", std::string(loaded.message()));
}

Server::Server(Options options, otlp::Deps deps)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(deps))) {}

Server::~Server() { impl_->Stop(); }

base::Status Server::Start() { return impl_->Start(); }
void Server::Stop(std::chrono::steady_clock::time_point) { impl_->Stop(); }
uint16_t Server::port() const { return impl_->port(); }
net::Service Server::service() {
  return [this](net::Request&& request, net::Responder responder) {
    impl_->Answer(std::move(request), std::move(responder));
  };
}

}  // namespace weft::sources::sampling
