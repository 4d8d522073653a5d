#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "compare/result.h"

namespace weft::bench {
namespace {

Spread SpreadOf(const std::vector<const RunResult*>& runs, double RunResult::*figure) {
  std::vector<double> values;
  for (const RunResult* run : runs)
    if (run->wrong.empty()) values.push_back(run->*figure);
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {median, values.front(), values.back()};
}

Row RowOf(size_t receiver, size_t load, const std::vector<const RunResult*>& runs) {
  Row row;
  row.receiver = receiver, row.load = load;
  row.runs = static_cast<uint32_t>(runs.size());
  double sent = 0, requests = 0, spans = 0;
  for (const RunResult* run : runs) {
    row.valid += run->valid();
    row.lost += run->lost, row.duplicated += run->duplicated, row.refused += run->refused;
    sent += run->spans_sent, requests += run->requests, spans += run->spans_sent;
    if (!run->wrong.empty()) row.wrong = run->wrong;
  }
  row.lost_share = sent > 0 ? row.lost / sent : 0;
  row.spans_per_cpu_second = SpreadOf(runs, &RunResult::spans_per_cpu_second);
  row.spans_per_second = SpreadOf(runs, &RunResult::spans_per_second);
  row.ack_p50_us = SpreadOf(runs, &RunResult::ack_p50_us);
  row.ack_p99_us = SpreadOf(runs, &RunResult::ack_p99_us);
  row.peak_rss_mib = SpreadOf(runs, &RunResult::peak_rss_mib);
  const double share = spans > 0 ? requests / spans : 0;
  const Spread& s = row.spans_per_cpu_second;
  row.requests_per_cpu_second = {s.median * share, s.least * share, s.most * share};
  return row;
}

// 1234567.8 → "1,234,568".
std::string Grouped(double value) {
  char digits[40];
  std::snprintf(digits, sizeof digits, "%.0f", value);
  std::string out;
  const size_t size = std::strlen(digits);
  for (size_t i = 0; i < size; ++i) {
    if (i > 0 && (size - i) % 3 == 0 && digits[i - 1] != '-') out += ',';
    out += digits[i];
  }
  return out;
}

std::string Fixed(double value, int digits) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string Milliseconds(double us) { return us > 0 ? Fixed(us / 1000, us < 10'000 ? 2 : 1) : "-"; }

// The columns as wide as their longest cell; the first two flush left. Counts characters, not
// bytes.
std::string Aligned(const std::vector<std::vector<std::string>>& lines) {
  auto width = [](const std::string& text) {
    return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
      return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    }));
  };
  std::vector<size_t> widths;
  for (const auto& line : lines) {
    widths.resize(std::max(widths.size(), line.size()));
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width(line[i]));
  }
  std::string out;
  for (const auto& line : lines) {
    std::string text;
    for (size_t i = 0; i < line.size(); ++i) {
      const std::string pad(widths[i] - width(line[i]), ' ');
      text += (i == 0 ? "" : "  ") + (i < 2 ? line[i] + pad : pad + line[i]);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  }
  return out;
}

std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    char escaped[8];
    std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned char>(c));
    if (static_cast<unsigned char>(c) < 0x20)
      out += escaped;
    else
      out += (c == '"' || c == '\\') ? std::string{'\\', c} : std::string{c};
  }
  return out + "\"";
}

std::string Figure(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.10g", value);
  return text;
}

std::string SpreadJson(const Spread& s) {
  return "{\"median\": " + Figure(s.median) + ", \"min\": " + Figure(s.least) +
         ", \"max\": " + Figure(s.most) + "}";
}

std::string RowJson(const Comparison& comparison, const Row& row) {
  return "{\"load\": " + Quoted(comparison.loads[row.load].name) +
         ", \"receiver\": " + Quoted(comparison.receivers[row.receiver].name) +
         ", \"runs\": " + Figure(row.runs) + ", \"valid\": " + Figure(row.valid) +
         ", \"spans_per_cpu_second\": " + SpreadJson(row.spans_per_cpu_second) +
         ", \"requests_per_cpu_second\": " + SpreadJson(row.requests_per_cpu_second) +
         ", \"ratio_to_first\": " + Figure(row.ratio) +
         ", \"spans_per_second\": " + SpreadJson(row.spans_per_second) +
         ", \"ack_p50_us\": " + SpreadJson(row.ack_p50_us) +
         ", \"ack_p99_us\": " + SpreadJson(row.ack_p99_us) +
         ", \"peak_rss_mib\": " + SpreadJson(row.peak_rss_mib) + ", \"lost\": " + Figure(row.lost) +
         ", \"lost_share\": " + Figure(row.lost_share) +
         ", \"duplicated\": " + Figure(row.duplicated) + ", \"refused\": " + Figure(row.refused) +
         (row.wrong.empty() ? "" : ", \"wrong\": " + Quoted(row.wrong)) + "}";
}

std::string RunJson(const Comparison& comparison, const RunResult& run) {
  return "{\"load\": " + Quoted(comparison.loads[run.load].name) +
         ", \"receiver\": " + Quoted(comparison.receivers[run.receiver].name) +
         ", \"repeat\": " + Figure(run.repeat) + ", \"spans_sent\": " + Figure(run.spans_sent) +
         ", \"spans_arrived\": " + Figure(run.spans_arrived) + ", \"lost\": " + Figure(run.lost) +
         ", \"duplicated\": " + Figure(run.duplicated) + ", \"damaged\": " + Figure(run.damaged) +
         ", \"errors\": " + Figure(run.errors) + ", \"refused\": " + Figure(run.refused) +
         ", \"cpu_seconds\": " + Figure(run.cpu_seconds) +
         ", \"spans_per_cpu_second\": " + Figure(run.spans_per_cpu_second) +
         ", \"ack_p50_us\": " + Figure(run.ack_p50_us) +
         ", \"ack_p99_us\": " + Figure(run.ack_p99_us) +
         ", \"peak_rss_mib\": " + Figure(run.peak_rss_mib) +
         (run.wrong.empty() ? "" : ", \"wrong\": " + Quoted(run.wrong)) + "}";
}

}  // namespace

std::vector<Row> Rows(const Comparison& comparison, const std::vector<RunResult>& runs) {
  std::vector<Row> rows;
  for (size_t load = 0; load < comparison.loads.size(); ++load) {
    double first = -1;
    for (size_t receiver = 0; receiver < comparison.receivers.size(); ++receiver) {
      std::vector<const RunResult*> mine;
      for (const RunResult& run : runs)
        if (run.load == load && run.receiver == receiver) mine.push_back(&run);
      if (mine.empty()) continue;
      Row row = RowOf(receiver, load, mine);
      const double median = row.spans_per_cpu_second.median;
      if (first < 0) first = median;
      row.ratio = first > 0 ? median / first : 0;
      rows.push_back(row);
    }
  }
  return rows;
}

std::string TableText(const Comparison& comparison, const std::vector<Row>& rows) {
  std::vector<std::vector<std::string>> lines = {{"load", "receiver", "spans/CPU-s", "[min – max]",
                                                  "ratio", "spans/s", "ack p50 ms", "p99 ms",
                                                  "RSS MiB", "lost", "dupl.", "refused", "valid"}};
  size_t last = comparison.loads.size();
  for (const Row& row : rows) {
    const Spread& s = row.spans_per_cpu_second;
    const std::string lost =
        row.lost == 0 ? "0" : Grouped(row.lost) + " (" + Fixed(100 * row.lost_share, 2) + " %)";
    lines.push_back({row.load == last ? "" : comparison.loads[row.load].name,
                     comparison.receivers[row.receiver].name, Grouped(s.median),
                     "[" + Grouped(s.least) + " – " + Grouped(s.most) + "]",
                     row.ratio > 0 ? Fixed(row.ratio, 2) : "-",
                     Grouped(row.spans_per_second.median), Milliseconds(row.ack_p50_us.median),
                     Milliseconds(row.ack_p99_us.median), Fixed(row.peak_rss_mib.median, 1), lost,
                     Grouped(row.duplicated), Grouped(row.refused),
                     std::to_string(row.valid) + "/" + std::to_string(row.runs)});
    last = row.load;
  }
  std::string out = Aligned(lines);
  for (const Row& row : rows)
    if (!row.wrong.empty())
      out += comparison.loads[row.load].name + ", " + comparison.receivers[row.receiver].name +
             ": " + row.wrong + "\n";
  return out;
}

std::string Json(const Comparison& comparison, const std::vector<Row>& rows,
                 const std::vector<RunResult>& runs) {
  std::string out = "{\n \"repeats\": " + Figure(comparison.repeats) + ",\n \"rows\": [";
  for (size_t i = 0; i < rows.size(); ++i)
    out += (i == 0 ? "\n  " : ",\n  ") + RowJson(comparison, rows[i]);
  out += "\n ],\n \"runs\": [";
  for (size_t i = 0; i < runs.size(); ++i)
    out += (i == 0 ? "\n  " : ",\n  ") + RunJson(comparison, runs[i]);
  return out + "\n ]\n}\n";
}

}  // namespace weft::bench
