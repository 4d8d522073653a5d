// The settings of the collector exporter: the block exporters.collector.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/config_view.h"

namespace weft::exporters::collector {

struct Options {
  std::string endpoint = "";                // host:port; empty = off, unless `endpoints` has some
  std::vector<std::string> endpoints = {};  // further ones; dns://host:port = all its addresses
  std::string protocol = "grpc";            // grpc, http
  std::string load_balancing = "round_robin";  // round_robin, trace_id
  std::string compression = "none";            // none, gzip, zstd
  int64_t max_batch_bytes = 2 << 20;
  int64_t flush_milliseconds = 200;
  int64_t queue_bytes = 64 << 20;  // over all destinations
  int64_t timeout_seconds = 10;
  int64_t max_in_flight = 8;               // requests to one destination
  int64_t max_in_flight_bytes = 16 << 20;  // to one destination
  int64_t reassign_seconds = 15;           // trace_id: a dead destination's traces go elsewhere
  int64_t resolve_seconds = 30;            // dns://: names are asked for again
  bool retry_exhausted = true;             // RESOURCE_EXHAUSTED without a promise of recovery
  std::vector<std::string> headers = {};   // "name: value"
  std::string quarantine_path = "";        // gets what a peer has refused for good; empty = none
  std::string bearer_token_file = "";      // "authorization: Bearer …", read again on change
  std::string traces_path = "/v1/traces";  // of OTLP/HTTP, behind the endpoint's own path
  std::string metrics_path = "/v1/metrics";
  std::string logs_path = "/v1/logs";
  std::string profiles_path = "/v1development/profiles";
  bool tls = false;  // also without https:// in the endpoint
  std::string tls_ca_file = "", tls_cert_file = "", tls_key_file = "", tls_server_name = "";
  bool tls_insecure_skip_verify = false;

  bool enabled() const { return !endpoint.empty() || !endpoints.empty(); }
};

// Points into `options`.
base::ConfigBlock Describe(Options& options);

}  // namespace weft::exporters::collector
