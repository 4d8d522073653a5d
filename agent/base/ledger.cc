#include "base/ledger.h"

#include <cstdio>
#include <thread>

#include "base/coding/json_text.h"

namespace weft::base {
namespace {

constexpr int kMostReads = 16;

void AppendRowJson(const LedgerRow& row, const LedgerRow::Counts& counts, std::string* out) {
  out->append("{\"stage\":");
  AppendJsonText(row.stage(), out);
  out->append(",\"unit\":");
  AppendJsonText(row.unit(), out);
  out->append(",\"in\":").append(std::to_string(counts.in));
  out->append(",\"out\":").append(std::to_string(counts.out));
  out->append(",\"held\":").append(std::to_string(counts.held));
  out->append(",\"lost\":[");
  bool first = true;
  for (const LedgerRow::LostCount& lost : counts.lost) {
    out->append(first ? "{\"verb\":" : ",{\"verb\":");
    first = false;
    AppendJsonText(LossName(lost.verb), out);
    out->append(",\"reason\":");
    AppendJsonText(lost.reason, out);
    out->append(",\"count\":").append(std::to_string(lost.count)).append("}");
  }
  out->append("]}");
}

}  // namespace

std::string_view LossName(Loss loss) {
  switch (loss) {
    case Loss::kShed:
      return "shed";
    case Loss::kRejected:
      return "rejected";
    case Loss::kEvicted:
      return "evicted";
  }
  return "";
}

void LedgerRow::Lose(Loss verb, std::string_view reason, uint64_t n) {
  if (n == 0) return;
  std::lock_guard lock(mutex_);
  for (Lost& lost : lost_) {
    if (lost.verb == verb && lost.reason == reason) {
      lost.count.fetch_add(n, std::memory_order_relaxed);
      return;
    }
  }
  Lost& lost = lost_.emplace_back();
  lost.verb = verb;
  lost.reason = reason;
  lost.count.store(n, std::memory_order_relaxed);
}

std::vector<LedgerRow::LostCount> LedgerRow::lost() const {
  std::lock_guard lock(mutex_);
  std::vector<LostCount> out;
  out.reserve(lost_.size());
  for (const Lost& lost : lost_) {
    out.push_back({lost.verb, lost.reason, lost.count.load(std::memory_order_relaxed)});
  }
  return out;
}

uint64_t LedgerRow::lost_total() const {
  std::lock_guard lock(mutex_);
  uint64_t sum = 0;
  for (const Lost& lost : lost_) sum += lost.count.load(std::memory_order_relaxed);
  return sum;
}

uint64_t LedgerRow::Counts::lost_total() const {
  uint64_t sum = 0;
  for (const LostCount& count : lost) sum += count.count;
  return sum;
}

LedgerRow::Counts LedgerRow::Settled() const {
  return ReadUntilBalanced([this] { return Counts{in(), out(), held(), lost()}; });
}

LedgerRow::Counts ReadUntilBalanced(const std::function<LedgerRow::Counts()>& read) {
  LedgerRow::Counts counts = read();
  for (int reads = 1; reads < kMostReads && !counts.Balanced(); ++reads) {
    std::this_thread::yield();
    counts = read();
  }
  return counts;
}

LedgerRow& Ledger::Row(std::string stage, std::string unit) {
  std::lock_guard lock(mutex_);
  return rows_.emplace_back(std::move(stage), std::move(unit));
}

std::vector<const LedgerRow*> Ledger::rows() const {
  std::lock_guard lock(mutex_);
  std::vector<const LedgerRow*> out;
  out.reserve(rows_.size());
  for (const LedgerRow& row : rows_) out.push_back(&row);
  return out;
}

bool Ledger::Balanced() const {
  for (const LedgerRow* row : rows()) {
    if (!row->Balanced()) return false;
  }
  return true;
}

std::string Ledger::Text() const {
  std::string out;
  char line[256];
  std::snprintf(line, sizeof line, "%-28s %-8s %14s %14s %12s %12s\n", "stage", "unit", "in", "out",
                "lost", "held");
  out.append(line);
  for (const LedgerRow* row : rows()) {
    const LedgerRow::Counts counts = row->Settled();
    std::snprintf(line, sizeof line, "%-28s %-8s %14llu %14llu %12llu %12lld%s\n",
                  row->stage().c_str(), row->unit().c_str(),
                  static_cast<unsigned long long>(counts.in),
                  static_cast<unsigned long long>(counts.out),
                  static_cast<unsigned long long>(counts.lost_total()),
                  static_cast<long long>(counts.held), counts.Balanced() ? "" : "  UNBALANCED");
    out.append(line);
    for (const LedgerRow::LostCount& lost : counts.lost) {
      std::snprintf(line, sizeof line, "  %s %s: %llu\n", LossName(lost.verb).data(),
                    lost.reason.c_str(), static_cast<unsigned long long>(lost.count));
      out.append(line);
    }
  }
  return out;
}

std::string Ledger::Json() const {
  std::string list;
  bool balanced = true;
  for (const LedgerRow* row : rows()) {
    if (!list.empty()) list.push_back(',');
    const LedgerRow::Counts counts = row->Settled();
    balanced = balanced && counts.Balanced();
    AppendRowJson(*row, counts, &list);
  }
  return std::string("{\"balanced\":") + (balanced ? "true" : "false") + ",\"rows\":[" + list +
         "]}";
}

}  // namespace weft::base
