// The metrics of this process as Prometheus text (exposition format 0.0.4). The only file that
// knows prometheus-cpp.
#pragma once

#include <string>

#include "base/clock.h"
#include "base/ledger.h"
#include "base/metrics.h"

namespace weft::console {

inline constexpr char kPrometheusType[] = "text/plain; version=0.0.4; charset=utf-8";

// The registry's snapshot, the ledger as weft_ledger_*, and the process: process_* as every
// exporter names them and otelcol_process_* for dashboards made for the OpenTelemetry Collector.
std::string PrometheusText(const base::MetricRegistry& registry, const base::Ledger& ledger,
                           double uptime_seconds);

}  // namespace weft::console
