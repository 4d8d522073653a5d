#include "console/console.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include "base/credit.h"
#include "console/admin.h"
#include "console/query.h"
#include "net/event_loop.h"
#include "net/listener.h"

namespace weft::console {
namespace {

constexpr size_t kMaxConnections = 32;      // per port
constexpr uint64_t kMaxBodyBytes = 4096;    // nothing here reads a body
constexpr uint64_t kCreditBytes = 1 << 20;  // its own: a busy page takes nothing from the data path
constexpr int kNice = 5;  // answers may wait for the data path, never the other way round

// No exception leaves the room: a failed answer is a 500, and the console lives on.
template <typename Api>
net::Service Serve(Api& api, base::Metric& requests) {
  return [&api, &requests](net::Request&& request, net::Responder responder) {
    requests.Add(1);
    net::Response response;
    try {
      response = api.Answer(request);
    } catch (const std::exception&) {
      response = net::Response{};
      response.status = 500;
    }
    responder.Send(std::move(response));
  };
}

}  // namespace

base::ConfigBlock Describe(Options& options) {
  return {"console",
          {{.key = "admin.endpoint",
            .value = &options.admin_endpoint,
            .doc = "host:port of health, metrics, the ledger and the status"},
           {.key = "query.endpoint",
            .value = &options.query_endpoint,
            .doc = "host:port of the page and of Jaeger's query API; both show what spans hold and "
                   "ask for no login"}}};
}

struct Console::State {
  State(Options o, Deps d)
      : options(std::move(o)),
        deps(std::move(d)),
        tail(deps.clock, deps.metrics),
        credit(kCreditBytes),
        admin(deps, tail),
        query(deps) {
    deps.metrics
        .Get(base::MetricKind::kGauge, "weft_build_info", "Always 1; the label tells the version.",
             {{"version", deps.version}})
        .Set(1);
  }

  base::Result<std::unique_ptr<net::Listener>> Open(const char* name, const std::string& endpoint,
                                                    net::Service service) {
    net::ListenerOptions listener;
    listener.endpoint = endpoint;
    listener.name = name;
    listener.metrics = &deps.metrics;
    listener.max_connections = kMaxConnections;
    listener.max_body_bytes = kMaxBodyBytes;
    listener.idle_timeout = std::chrono::seconds(60);
    return net::Listener::Open(*loop, listener, credit, std::move(service));
  }
  base::Metric& Requests(const char* port) {
    return deps.metrics.Get(base::MetricKind::kCounter, "weft_console_requests_total",
                            "Requests to the console's ports.", {{"port", port}});
  }

  const Options options;
  const Deps deps;
  TailBuffer tail;
  base::ByteCredit credit;
  AdminApi admin;
  QueryApi query;
  std::unique_ptr<net::EventLoop> loop;
  std::unique_ptr<net::Listener> admin_listener, query_listener;
  std::thread thread;
};

Console::Console(Options options, Deps deps)
    : state_(std::make_unique<State>(std::move(options), std::move(deps))) {}

Console::~Console() { Stop(); }

base::Status Console::Start() {
  State& s = *state_;
  if (s.loop) return base::Error("the console runs already");
  s.loop = std::make_unique<net::EventLoop>();
  auto admin =
      s.Open("console_admin", s.options.admin_endpoint, Serve(s.admin, s.Requests("admin")));
  if (!admin.ok()) {
    s.loop.reset();
    return base::Context("console.admin.endpoint " + s.options.admin_endpoint, admin.status());
  }
  s.admin_listener = std::move(*admin);
  auto query =
      s.Open("console_query", s.options.query_endpoint, Serve(s.query, s.Requests("query")));
  if (!query.ok()) {
    s.admin_listener.reset();
    s.loop.reset();
    return base::Context("console.query.endpoint " + s.options.query_endpoint, query.status());
  }
  s.query_listener = std::move(*query);
  s.thread = std::thread([&s] {
    prctl(PR_SET_NAME, "weft-console");
    setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kNice);
    s.loop->RunEvery(std::chrono::seconds(1), [&s] { s.tail.Expire(); });
    s.loop->Run();
  });
  return base::Ok();
}

void Console::Stop() {
  State& s = *state_;
  if (!s.loop) return;
  s.loop->Post([&s] {
    s.admin_listener->Close();
    s.query_listener->Close();
    s.loop->Stop();
  });
  s.thread.join();
  s.admin_listener.reset();
  s.query_listener.reset();
  s.loop.reset();
}

TailBuffer& Console::tail() { return state_->tail; }
uint16_t Console::admin_port() const {
  return state_->admin_listener ? state_->admin_listener->port() : 0;
}
uint16_t Console::query_port() const {
  return state_->query_listener ? state_->query_listener->port() : 0;
}

}  // namespace weft::console
