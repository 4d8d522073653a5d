// What runs gave, and what is said about them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compare/config.h"

namespace weft::bench {

// One load through one receiver.
struct RunResult {
  size_t receiver = 0, load = 0;  // indexes in the Comparison
  uint32_t repeat = 0;
  std::string wrong;         // why there is no result; then the figures are zero
  double spans_sent = 0;     // acknowledged; over UDP: sent
  double spans_arrived = 0;  // distinct ones
  double lost = 0, duplicated = 0, damaged = 0, errors = 0, refused = 0;
  double cpu_seconds = 0, spans_per_cpu_second = 0, spans_per_second = 0;
  double ack_p50_us = 0, ack_p99_us = 0, peak_rss_mib = 0;
  double requests = 0;  // acknowledged; over UDP: sent
  bool valid() const {
    return wrong.empty() && lost == 0 && duplicated == 0 && damaged == 0 && errors == 0;
  }
};

struct Spread {
  double median = 0, least = 0, most = 0;
};

// All runs of one load through one receiver.
struct Row {
  size_t receiver = 0, load = 0;
  uint32_t runs = 0, valid = 0;
  Spread spans_per_cpu_second, requests_per_cpu_second, ack_p50_us, ack_p99_us, peak_rss_mib,
      spans_per_second;
  double lost = 0, duplicated = 0, refused = 0;  // over all runs
  double lost_share = 0;                         // of what was sent
  double ratio =
      0;  // of the medians of spans per CPU-second, to the load's first receiver; 0: no result
  std::string wrong;  // of the last run without a result
};

// In the order of the file: by load, then by receiver.
std::vector<Row> Rows(const Comparison& comparison, const std::vector<RunResult>& runs);
std::string TableText(const Comparison& comparison, const std::vector<Row>& rows);
std::string Json(const Comparison& comparison, const std::vector<Row>& rows,
                 const std::vector<RunResult>& runs);
// Bars of spans per CPU-second with their spread, one group a load.
std::string PlotSvg(const Comparison& comparison, const std::vector<Row>& rows);

}  // namespace weft::bench
