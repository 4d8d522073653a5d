// Intake: the last steps of every answered receiver, whatever its clients speak. OTLP bytes are
// indexed, stamped with their sender, given a Receipt that takes over the request's credit, pushed,
// and booked. Server (server.h) passes it to sources/zipkin, jaeger_http and jaeger_grpc, so
// that they count and answer alike.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/credit.h"
#include "base/inflate.h"
#include "base/ledger.h"
#include "base/metrics.h"
#include "model/lookup.h"
#include "model/otlp_batch.h"
#include "model/receipt.h"
#include "model/sink.h"
#include "net/listener.h"

namespace weft::net {
class EventLoop;
}

namespace weft::sources::otlp {

// All of them must outlive the receiver.
struct Deps {
  net::EventLoop& loop;
  base::ByteCredit& credit;
  const base::Clock& clock;
  base::Ledger& ledger;
  base::MetricRegistry& metrics;
  model::PeerLookup* peers = nullptr;      // null: no sender is known
  std::function<void()> before_push = {};  // called before each Push; may be empty
  // How far a batch must have come before its client is answered.
  model::ReceiptLevel acknowledge = model::ReceiptLevel::kTaken;
  // Bodies that came in this compression keep it beside them: whoever sends them on in it may spare
  // the work.
  base::Compression pass_on = base::Compression::kNone;
};

// Accepted and refused items under the Collector's names, so that existing dashboards work.
struct TransportMetrics {
  // `what`: "spans", "metric_points", "log_records" or "profile_samples".
  TransportMetrics(base::MetricRegistry& metrics, std::string_view receiver,
                   std::string_view transport, std::string_view what = "spans");
  base::Metric& accepted;
  base::Metric& refused;
};

enum class Verdict : uint8_t { kTaken, kMalformed, kTooManySpans, kBusy, kRejectedLater };

// What became of a request, and thereby what its client is to be told.
struct Outcome {
  Verdict verdict = Verdict::kTaken;
  uint64_t rejected = 0;                        // of its spans, with kTaken
  std::string reason;                           // with kMalformed and kTooManySpans
  std::chrono::milliseconds retry_after{1000};  // with kBusy
  // Not null: the answer waits until this has reached the level asked for.
  model::ReceiptRef pending;
};

// Threads: the loop's. Cost: for a request of one span one allocation for its bytes' owner, one for
// its Receipt.
class Intake {
 public:
  // `name` is what the ledger and the metrics call the receiver.
  Intake(std::string name, const Deps& deps, model::Sink<model::OtlpBatch>& next);

  // `bytes` is an ExportTraceServiceRequest made of (or being) the body of `request`, whose peer
  // and charge are used. `unreadable`: spans that were there but could not be written down.
  Outcome Take(net::Request& request, base::ByteBuffer&& bytes, uint64_t unreadable,
               TransportMetrics& transport);
  // Another signal: opaque bytes, made of (or being) the body, with `items` data points or records,
  // booked in `row`.
  Outcome TakeOpaque(net::Request& request, base::ByteBuffer&& bytes, model::Signal signal,
                     uint64_t items, base::LedgerRow& row, TransportMetrics& transport);
  // A request that was refused before there were OTLP bytes.
  Outcome Reject(std::string_view ledger_reason, std::string text);
  // A request for which there is no room now. Its client is asked to wait as long as there has been
  // none, within kShortestRetry and kLongestRetry and up to twice that: a queue that is full for a
  // moment must not run empty before anybody comes back, a collector that is away must not be
  // hammered at, and those who were refused together must not come together.
  Outcome Shed(std::string_view reason);

  static constexpr std::chrono::milliseconds kShortestRetry{100}, kLongestRetry{2000};

  // From now on every request is answered "come again".
  void Stop() { stopped_ = true; }
  void Start() { stopped_ = false; }

 private:
  // The charge becomes that of `bytes`; false when there is no credit for it.
  static bool Recharge(net::Request& request, uint64_t bytes);
  // The compressed form of the body, if it is to travel with it; else its credit goes back.
  base::SharedPacked TakePacked(net::Request& request, bool is_body) const;
  // Fills sender and receipt, pushes. False when the sink is busy.
  bool Push(net::Request& request, model::OtlpBatch&& batch, Outcome* outcome);
  model::ProcessRef Sender(const net::Request& request);
  std::chrono::milliseconds RetryAfter();

  const std::string name_;
  const Deps deps_;
  model::Sink<model::OtlpBatch>& next_;
  base::LedgerRow& requests_;
  base::LedgerRow& spans_;
  base::Metric& repaired_;
  bool stopped_ = false;
  uint64_t refusing_since_ns_ = 0;  // 0: the last request was taken
  uint32_t refusals_ = 0;
  // The last peer asked for: a client's connection usually sends several requests in a row.
  model::Endpoint peer_;
  model::ProcessRef peer_process_;
  uint64_t peer_until_ns_ = 0;
};

// Sends answer(outcome), now or when the pending receipt is settled. `answer` may outlive its
// receiver: it must not point to it.
template <typename Answer>
void Reply(Outcome&& outcome, model::ReceiptLevel level, net::Responder&& responder,
           Answer answer) {
  if (outcome.pending == nullptr) return responder.Send(answer(outcome));
  const model::ReceiptRef receipt = std::move(outcome.pending);
  auto later = std::make_shared<net::Responder>(std::move(responder));
  receipt->When(level, [later, answer, outcome = std::move(outcome),
                        raw = std::weak_ptr(receipt)](bool reached) mutable {
    const model::ReceiptRef settled = raw.lock();
    if (!reached) {
      outcome.verdict = settled != nullptr && settled->failure() == model::ReceiptFailure::kRejected
                            ? Verdict::kRejectedLater
                            : Verdict::kBusy;
    }
    later->Send(answer(outcome));
  });
}

}  // namespace weft::sources::otlp
