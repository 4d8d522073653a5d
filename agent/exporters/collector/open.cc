#include "exporters/collector/open.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <string>
#include <utility>

#include "exporters/collector/grpc_transport.h"
#include "exporters/collector/wire/bearer_token.h"
#include "exporters/collector/wire/destinations.h"
#include "exporters/collector/wire/http_transport.h"
#include "net/event_loop.h"
#include "net/http_client.h"

namespace weft::exporters::collector {
namespace {

using Header = std::pair<std::string, std::string>;

class LoopTimers final : public TimerQueue {
 public:
  explicit LoopTimers(net::EventLoop& loop) : loop_(loop) {}
  TimerId RunAfter(std::chrono::nanoseconds delay, std::function<void()> task) override {
    return loop_.RunAfter(delay, std::move(task));
  }
  void Cancel(TimerId id) override { loop_.Cancel(id); }

 private:
  net::EventLoop& loop_;
};

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// "name: value"; what HTTP/2 would not carry is refused here and not by the peer.
base::Result<Header> ReadHeader(std::string_view line) {
  size_t colon = line.find(':');
  std::string name(Trim(line.substr(0, colon)));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  bool printable =
      std::all_of(line.begin(), line.end(), [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
  if (colon == std::string_view::npos || name.empty() || !printable ||
      name.find(' ') != std::string::npos)
    return base::Error("exporters.collector.headers: a header is not \"name: value\"");
  return Header{std::move(name), std::string(Trim(line.substr(colon + 1)))};
}

bool IsSecure(std::string_view endpoint) {
  return endpoint.starts_with("https://") || endpoint.starts_with("grpcs://") ||
         endpoint.starts_with("https+dns://");
}

// "host:port" of an endpoint with a scheme and a path.
base::Result<std::pair<std::string, uint16_t>> AddressOf(std::string_view endpoint) {
  if (size_t scheme = endpoint.find("://"); scheme != std::string_view::npos)
    endpoint.remove_prefix(scheme + 3);
  return net::SplitHostPort(endpoint.substr(0, endpoint.find('/')));
}

// What a proxy that routes by name is to see; empty: the endpoint.
std::string AuthorityOf(const Destination& destination) {
  const auto address = AddressOf(destination.endpoint);
  if (destination.server_name.empty() || !address.ok()) return "";
  const bool bare_ipv6 = destination.server_name.find(':') != std::string::npos;
  return (bare_ipv6 ? "[" + destination.server_name + "]" : destination.server_name) + ":" +
         std::to_string(address->second);
}

// What every destination gets.
struct Recipe {
  net::EventLoop& loop;
  const base::Clock& clock;
  Options options;
  std::vector<Header> headers;

  std::optional<net::TlsFiles> Tls(const Destination& destination) const {
    if (!options.tls && !IsSecure(destination.endpoint)) return std::nullopt;
    net::TlsFiles files;
    files.ca_file = options.tls_ca_file;
    files.cert_file = options.tls_cert_file;
    files.key_file = options.tls_key_file;
    files.server_name =
        options.tls_server_name.empty() ? destination.server_name : options.tls_server_name;
    files.insecure_skip_verify = options.tls_insecure_skip_verify;
    return files;
  }

  template <typename ChannelOptions>
  ChannelOptions Channel(const Destination& destination) const {
    ChannelOptions channel;
    channel.endpoint = destination.endpoint;
    channel.authority = AuthorityOf(destination);
    channel.max_in_flight = static_cast<size_t>(options.max_in_flight);
    channel.timeout = std::chrono::seconds(options.timeout_seconds);
    channel.headers = headers;
    channel.tls = Tls(destination);
    return channel;
  }

  std::unique_ptr<Transport> Make(const Destination& destination) const {
    std::unique_ptr<Transport> transport;
    if (options.protocol == "http") {
      auto channel = Channel<net::HttpChannel::Options>(destination);
      if (channel.endpoint.find("://") == std::string::npos)
        channel.endpoint.insert(0, channel.tls ? "https://" : "http://");
      transport = NewHttpTransport(
          loop, std::move(channel),
          {options.traces_path, options.metrics_path, options.logs_path, options.profiles_path});
    } else {
      transport = NewGrpcTransport(loop, Channel<net::GrpcChannel::Options>(destination));
    }
    if (options.bearer_token_file.empty()) return transport;
    return WithBearerToken(std::move(transport), options.bearer_token_file, clock);
  }
};

base::Status CheckTls(const Options& o, const std::vector<std::string>& endpoints) {
  if (o.tls_cert_file.empty() != o.tls_key_file.empty())
    return base::Error("exporters.collector.tls: cert_file and key_file go together");
  const bool secure = o.tls || std::any_of(endpoints.begin(), endpoints.end(), IsSecure);
  const bool named = !o.tls_ca_file.empty() || !o.tls_cert_file.empty() ||
                     !o.tls_server_name.empty() || o.tls_insecure_skip_verify;
  if (named && !secure)
    return base::Error(
        "exporters.collector.tls: files are named, but neither tls.enabled nor an https:// "
        "endpoint; nothing would be encrypted");
  return base::Ok();
}

// A slip in the scheme must not be taken for plaintext.
bool IsKnownScheme(std::string_view endpoint) {
  const size_t end = endpoint.find("://");
  static constexpr std::string_view kSchemes[] = {"http",  "https", "grpc",
                                                  "grpcs", "dns",   "https+dns"};
  return end == std::string_view::npos || std::find(std::begin(kSchemes), std::end(kSchemes),
                                                    endpoint.substr(0, end)) != std::end(kSchemes);
}

// dns://host:port, perhaps with the scheme of the transport: https+dns://host:port.
base::Status AddEndpoint(const std::string& endpoint, Destinations* destinations) {
  if (!IsKnownScheme(endpoint))
    return base::Error("exporters.collector.endpoint " + endpoint + ": unknown scheme");
  auto address = AddressOf(endpoint);
  if (!address.ok())
    return base::Context("exporters.collector.endpoint " + endpoint, address.status());
  if (endpoint.starts_with("dns://")) {
    destinations->AddName("", address->first, address->second);
  } else if (endpoint.starts_with("https+dns://")) {
    destinations->AddName("https://", address->first, address->second);
  } else {
    destinations->Add({endpoint});
  }
  return base::Ok();
}

}  // namespace

base::Result<std::unique_ptr<Collector>> Open(net::EventLoop& loop, Options options, Deps deps) {
  std::vector<std::string> endpoints = options.endpoints;
  if (!options.endpoint.empty()) endpoints.insert(endpoints.begin(), options.endpoint);
  if (endpoints.empty()) return base::Error("exporters.collector.endpoint is not set");
  if (base::Status s = CheckTls(options, endpoints); !s.ok()) return s;
  auto recipe = std::make_shared<Recipe>(Recipe{loop, deps.clock, options, {}});
  for (const std::string& line : options.headers) {
    auto header = ReadHeader(line);
    if (!header.ok()) return header.status();
    recipe->headers.push_back(*std::move(header));
  }
  auto collector = std::make_unique<Collector>(
      options, std::move(deps),
      [recipe](const Destination& destination) { return recipe->Make(destination); },
      std::make_unique<LoopTimers>(loop));
  auto destinations = std::make_shared<Destinations>(
      loop, std::chrono::seconds(options.resolve_seconds),
      [raw = collector.get()](const std::vector<Destination>& all) { raw->SetDestinations(all); });
  for (const std::string& endpoint : endpoints)
    if (base::Status s = AddEndpoint(endpoint, destinations.get()); !s.ok()) return s;
  destinations->Start();
  collector->Keep(std::move(destinations));
  return collector;
}

}  // namespace weft::exporters::collector
