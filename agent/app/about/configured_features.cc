#include "app/about/configured_features.h"

#include "app/descriptors.h"

namespace weft::app {
namespace {

std::string Mebibytes(int64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

std::string Joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const auto& part : parts) out += (out.empty() ? "" : ", ") + part;
  return out;
}

Feature Switched(std::string name, bool on, std::string how) {
  return {std::move(name), on, std::move(how), on ? "" : "switched off"};
}

Feature Set(std::string name, bool on, std::string how, std::string key) {
  return {std::move(name), on, std::move(how), on ? "" : key + " is not set"};
}

std::string CollectorText(const exporters::collector::Options& o) {
  std::vector<std::string> all = o.endpoints;
  if (!o.endpoint.empty()) all.insert(all.begin(), o.endpoint);
  std::string text = Joined(all) + (o.protocol == "http" ? ", OTLP/HTTP" : ", OTLP/gRPC");
  if (all.size() > 1) text += ", by " + o.load_balancing;
  return text;
}

void AddReceivers(const Settings& s, std::vector<Feature>* out) {
  out->push_back(Switched("receivers.otlp_grpc", s.otlp_grpc.enabled, s.otlp_grpc.endpoint));
  out->push_back(Switched("receivers.otlp_http", s.otlp_http.enabled, s.otlp_http.endpoint));
  out->push_back(Switched(
      "receivers.jaeger_udp", s.jaeger_udp.enabled,
      s.jaeger_udp.compact_endpoint + " compact, " + s.jaeger_udp.binary_endpoint + " binary"));
  out->push_back(Switched("receivers.jaeger_grpc", s.jaeger_grpc.enabled, s.jaeger_grpc.endpoint));
  out->push_back(Switched("receivers.jaeger_http", s.jaeger_http.enabled, s.jaeger_http.endpoint));
  out->push_back(Switched("receivers.zipkin", s.zipkin.enabled, s.zipkin.endpoint));
  out->push_back(
      Switched("receivers.sampling", s.remote_sampling.enabled, s.remote_sampling.endpoint));
}

void AddExporters(const Settings& s, std::vector<Feature>* out) {
  out->push_back(Set("exporters.collector", s.collector.enabled(), CollectorText(s.collector),
                     "exporters.collector.endpoint"));
  out->push_back(Set("spool", !s.spool.directory.empty(),
                     s.spool.directory + ", acknowledge " + s.spool.acknowledge,
                     "spool.directory"));
  out->push_back(Set("exporters.kafka", s.kafka.enabled(),
                     Joined(s.kafka.brokers) + ", topic " + s.kafka.topic,
                     "exporters.kafka.brokers"));
  out->push_back(Set("exporters.file", !s.file.path.empty(), s.file.path, "exporters.file.path"));
  out->push_back(Switched("exporters.store", s.store.enabled,
                          Mebibytes(s.store.max_bytes) + " of recent traces"));
  if (s.none.enabled) out->push_back({"exporters.none", true, "spans are counted and dropped", ""});
  if (s.resource.enabled()) out->push_back({"resource", true, Joined(s.resource.attributes), ""});
  if (s.sampling.enabled)
    out->push_back({"sampling", true,
                    "probability " + std::to_string(s.sampling.probability).substr(0, 6), ""});
}

}  // namespace

std::vector<Feature> ConfiguredFeatures(const Settings& settings) {
  std::vector<Feature> out;
  AddReceivers(settings, &out);
  AddExporters(settings, &out);
  out.push_back(DescriptorFeature(DescriptorLimit(), settings));
  out.push_back({"console.admin", true, "http://" + settings.console.admin_endpoint, ""});
  out.push_back({"console.query", true, "http://" + settings.console.query_endpoint, ""});
  return out;
}

}  // namespace weft::app
