#include "exporters/sampling/sampler.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "exporters/sampling/threshold.h"
#include "protocols/otlp/gather.h"
#include "protocols/otlp/view.h"
#include "protocols/otlp/write.h"

namespace weft::exporters::sampling {
namespace {

namespace otlp = protocols::otlp;
using model::PushResult;

constexpr size_t kMostServices = 10'000;
constexpr uint64_t kNsPerSecond = 1'000'000'000;

// The fields before and after the scopes, made into a request that the decoder reads.
std::string ServiceName(const model::OtlpBatch& batch, const model::ResourceGroup& group) {
  base::ByteBuffer request;
  otlp::Writer writer(request);
  const size_t begin = writer.Begin(otlp::field::kResourceSpans);
  writer.Raw(batch.at(group.head));
  writer.Raw(batch.at(group.tail));
  writer.End(begin);
  std::vector<otlp::ResourceSpansView> resources;
  if (!otlp::Decode(request.view(), &resources) || resources.empty()) return "unknown_service";
  return resources[0].ServiceName();
}

bool ReadEntry(std::string_view entry, std::string* name, double* probability) {
  const size_t equals = entry.rfind('=');
  if (equals == std::string_view::npos || equals == 0) return false;
  *name = entry.substr(0, equals);
  const char* end = entry.data() + entry.size();
  auto [stop, error] = std::from_chars(entry.data() + equals + 1, end, *probability);
  return error == std::errc() && stop == end && *probability >= 0 && *probability <= 1;
}

}  // namespace

base::ConfigBlock Describe(Options& o) {
  return {"sampling",
          {{.key = "enabled", .value = &o.enabled, .doc = "keep only a part of the traces"},
           {.key = "probability",
            .value = &o.probability,
            .doc = "of a trace to be kept, 0 to 1",
            .min = 0,
            .max = 1},
           {.key = "services",
            .value = &o.services,
            .doc = "list of \"name=probability\", instead of the general one"},
           {.key = "spans_per_second",
            .value = &o.spans_per_second,
            .doc = "of one service; 0 = no limit",
            .min = 0},
           {.key = "respect_parent",
            .value = &o.respect_parent,
            .doc = "spans whose tracestate has a sampling threshold are not sampled again"}}};
}

base::Status Check(const Options& options) {
  for (const std::string& entry : options.services) {
    std::string name;
    double probability = 0;
    if (!ReadEntry(entry, &name, &probability))
      return base::Error("sampling.services: \"" + entry +
                         "\" is not \"name=number between 0 and 1\"");
  }
  return base::Ok();
}

Sampler::Sampler(Options options, Deps deps)
    : options_(std::move(options)),
      deps_(deps),
      dropped_(deps.metrics.Get(base::MetricKind::kCounter,
                                "weft_exporter_sampling_dropped_spans_total",
                                "spans of traces that were not sampled")),
      limited_(deps.metrics.Get(base::MetricKind::kCounter,
                                "weft_exporter_sampling_limited_spans_total",
                                "spans of services over their rate")),
      default_threshold_(ThresholdOf(options_.probability)) {
  for (const std::string& entry : options_.services) {
    std::string name;
    double probability = 0;
    if (ReadEntry(entry, &name, &probability)) thresholds_[name] = ThresholdOf(probability);
  }
}

Sampler::Service& Sampler::Find(const std::string& name, Decision* decision) {
  // Names come from outside: a flood of them forgets the rates, not the probabilities.
  if (services_.size() >= kMostServices && !services_.contains(name)) services_.clear();
  auto [at, fresh] = services_.try_emplace(name);
  if (fresh) {
    auto own = thresholds_.find(name);
    at->second.threshold = own == thresholds_.end() ? default_threshold_ : own->second;
  }
  NewSecond(&at->second);
  decision->services.emplace_back(name, at->second);
  return at->second;
}

void Sampler::NewSecond(Service* service) {
  const uint64_t second = deps_.clock.MonotonicNs() / kNsPerSecond;
  if (second == service->second) return;
  const auto limit = static_cast<double>(options_.spans_per_second);
  // After a quiet second the last count says nothing about this one.
  const bool fresh = second == service->second + 1;
  const auto seen = static_cast<double>(fresh ? service->seen : 0);
  service->limit_threshold = seen > limit && limit > 0 ? ThresholdOf(limit / seen) : 0;
  service->second = second;
  service->seen = service->kept = 0;
}

void Sampler::Decide(model::OtlpBatch* batch, uint32_t i, Service* service, Decision* decision) {
  model::SpanRef& span = batch->spans[i];
  const std::string_view text =
      base::AsText(otlp::FieldBytes(batch->at(span.body), otlp::field::kTraceState));
  const TraceState state = ReadTraceState(text);
  const uint64_t randomness = state.randomness.value_or(Randomness(span.trace_id));
  const uint64_t before = state.threshold.value_or(0);
  const bool decided = options_.respect_parent && state.threshold.has_value();
  const uint64_t wanted = std::max(before, decided ? uint64_t{0} : service->threshold);
  const uint64_t limit = static_cast<uint64_t>(options_.spans_per_second);
  if (randomness < wanted) {
    ++decision->sampled_out;
    decision->dropped.push_back(i);
    span.dropped = true;
    return;
  }
  ++service->seen;
  const uint64_t applied = std::max(wanted, limit > 0 ? service->limit_threshold : 0);
  if (limit > 0 && (randomness < applied || service->kept >= 2 * limit)) {
    ++decision->over_limit;
    decision->dropped.push_back(i);
    span.dropped = true;
    return;
  }
  ++service->kept;
  if (applied == before) return;
  std::string append = span.append == 0 ? "" : batch->appends[span.append - 1];
  base::ByteBuffer field;
  otlp::Writer(field).Text(otlp::field::kTraceState, WithThreshold(text, applied));
  append.append(base::AsText(field.view()));
  decision->appended.emplace_back(i, span.append);
  batch->appends.push_back(std::move(append));
  span.append = static_cast<uint32_t>(batch->appends.size());
}

PushResult Sampler::Push(model::OtlpBatch&& batch) {
  if (!options_.enabled || batch.signal != model::Signal::kTraces || batch.bytes == nullptr)
    return deps_.out.Push(std::move(batch));
  Decision decision;
  const bool edited = batch.edited;
  const size_t appends = batch.appends.size();
  uint64_t live = 0;
  for (const model::ResourceGroup& resource : batch.resources) {
    Service& service = Find(ServiceName(batch, resource), &decision);
    for (uint32_t s = resource.first_scope; s < resource.first_scope + resource.scope_count; ++s) {
      const model::ScopeGroup& scope = batch.scopes[s];
      for (uint32_t i = scope.first_span; i < scope.first_span + scope.span_count; ++i) {
        if (batch.spans[i].dropped) continue;
        ++live;
        Decide(&batch, i, &service, &decision);
      }
    }
  }
  batch.edited = edited || !decision.dropped.empty() || !decision.appended.empty();
  if (deps_.out.Push(std::move(batch)) == PushResult::kBusy) {
    Undo(&batch, decision, edited, appends);
    return PushResult::kBusy;
  }
  const uint64_t lost = decision.sampled_out + decision.over_limit;
  deps_.ledger.In(live);
  deps_.ledger.Out(live - lost);
  if (decision.sampled_out > 0)
    deps_.ledger.Lose(base::Loss::kShed, "not_sampled", decision.sampled_out);
  if (decision.over_limit > 0)
    deps_.ledger.Lose(base::Loss::kShed, "rate_limit", decision.over_limit);
  dropped_.Add(decision.sampled_out);
  limited_.Add(decision.over_limit);
  return PushResult::kTaken;
}

void Sampler::Undo(model::OtlpBatch* batch, const Decision& decision, bool edited, size_t appends) {
  for (uint32_t i : decision.dropped) batch->spans[i].dropped = false;
  for (auto [i, append] : decision.appended) batch->spans[i].append = append;
  batch->appends.resize(appends);
  batch->edited = edited;
  // The first of several entries of one name is the oldest.
  for (size_t i = decision.services.size(); i-- > 0;)
    services_[decision.services[i].first] = decision.services[i].second;
}

}  // namespace weft::exporters::sampling
