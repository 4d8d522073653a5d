// Private to sources/otlp: metrics, logs and profiles. SDKs send them to the endpoint that takes
// their traces, so they are passed on as they are. What is looked at is the envelope only, down to
// what is counted; inside data points, log records and samples nothing is read.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "model/otlp_batch.h"

namespace weft::sources::otlp {

struct OtherSignal {
  model::Signal signal;
  std::string_view name;  // "metrics"
  std::string_view unit;  // as the Collector's metrics call it: "metric_points"
  std::string_view grpc_path, http_path;
};
inline constexpr std::array<OtherSignal, 3> kOtherSignals{{
    {model::Signal::kMetrics, "metrics", "metric_points",
     "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", "/v1/metrics"},
    {model::Signal::kLogs, "logs", "log_records",
     "/opentelemetry.proto.collector.logs.v1.LogsService/Export", "/v1/logs"},
    {model::Signal::kProfiles, "profiles", "profiles",
     "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
     "/v1development/profiles"},
}};

// Counts the data points, log records or profiles of an encoded Export…ServiceRequest. False when
// its envelope is not protobuf. Cost: one step per envelope, metric and counted item; no
// allocation.
[[nodiscard]] bool CountItems(model::Signal signal, base::ByteView request, uint64_t* items);

}  // namespace weft::sources::otlp
