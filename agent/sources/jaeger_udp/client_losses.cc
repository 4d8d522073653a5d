#include "sources/jaeger_udp/client_losses.h"

namespace weft::sources::jaeger_udp {
namespace {

constexpr uint64_t kMinuteNs = 60'000'000'000;
constexpr uint64_t kForgetNs = 60 * kMinuteNs, kSweepNs = 15 * kMinuteNs;

constexpr char kDropped[] = "jaeger_agent_client_stats_spans_dropped_total";
constexpr char kDroppedHelp[] = "Spans that Jaeger clients report to have lost themselves.";

base::Metric& Dropped(base::MetricRegistry& metrics, const char* cause) {
  return metrics.Get(base::MetricKind::kCounter, kDropped, kDroppedHelp, {{"cause", cause}});
}

// The totals of a sound client never fall, and one batch does not report a loss of millions.
uint64_t Difference(int64_t now, int64_t before) {
  constexpr int64_t kImplausible = int64_t{1} << 40;
  return now > before && before >= 0 && now - before < kImplausible
             ? static_cast<uint64_t>(now - before)
             : 0;
}

}  // namespace

ClientLosses::ClientLosses(base::MetricRegistry& metrics)
    : connected_(metrics.Get(base::MetricKind::kGauge,
                             "jaeger_agent_client_stats_connected_clients",
                             "Jaeger clients that have sent statistics within the last hour.")),
      received_(metrics.Get(base::MetricKind::kCounter,
                            "jaeger_agent_client_stats_batches_received_total",
                            "Batches with client statistics that arrived.")),
      sent_(metrics.Get(base::MetricKind::kCounter, "jaeger_agent_client_stats_batches_sent_total",
                        "Batches that those clients say they have sent.")),
      full_queue_(Dropped(metrics, "full-queue")),
      too_large_(Dropped(metrics, "too-large")),
      send_failed_(Dropped(metrics, "send-failure")) {}

void ClientLosses::Note(const protocols::jaeger::ClientStats& stats, uint64_t now_ns) {
  if (!stats.present || stats.client_uuid.empty() || stats.client_uuid.size() > kMaxUuidBytes)
    return;
  if (now_ns >= next_sweep_ns_) Forget(now_ns);
  key_.assign(stats.client_uuid);
  const auto found = clients_.find(key_);
  if (found == clients_.end()) {
    if (clients_.size() >= kMaxClients) return;
    clients_[key_] = {stats.sequence, stats.full_queue, stats.too_large, stats.send_failed, now_ns};
    connected_.Set(static_cast<int64_t>(clients_.size()));
    received_.Add(1);
    return;
  }
  Client& client = found->second;
  client.seen_ns = now_ns;
  received_.Add(1);
  if (stats.sequence <= client.sequence) return;
  sent_.Add(Difference(stats.sequence, client.sequence));
  full_queue_.Add(Difference(stats.full_queue, client.full_queue));
  too_large_.Add(Difference(stats.too_large, client.too_large));
  send_failed_.Add(Difference(stats.send_failed, client.send_failed));
  client = {stats.sequence, stats.full_queue, stats.too_large, stats.send_failed, now_ns};
}

void ClientLosses::Forget(uint64_t now_ns) {
  next_sweep_ns_ = now_ns + kSweepNs;
  std::erase_if(clients_,
                [&](const auto& entry) { return entry.second.seen_ns + kForgetNs < now_ns; });
  connected_.Set(static_cast<int64_t>(clients_.size()));
}

}  // namespace weft::sources::jaeger_udp
