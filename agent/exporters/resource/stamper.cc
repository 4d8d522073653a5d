#include "exporters/resource/stamper.h"

#include <set>
#include <string_view>
#include <utility>

#include "base/coding/utf8.h"

namespace weft::exporters::resource {

using model::PushResult;
using protocols::otlp::ResourceStamp;

base::ConfigBlock Describe(Options& o) {
  return {"resource",
          {{.key = "attributes",
            .value = &o.attributes,
            .doc = "list of \"key=value\" added to the resource of everything that leaves, where "
                   "the sender has not set that key"}}};
}

base::Status Check(const Options& options) {
  if (options.attributes.size() > ResourceStamp::kMostAttributes)
    return base::Error("resource.attributes: more than " +
                       std::to_string(ResourceStamp::kMostAttributes));
  std::set<std::string_view> keys;
  for (const std::string& entry : options.attributes) {
    const size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0 || !base::IsUtf8(entry))
      return base::Error("resource.attributes: \"" + entry + "\" is not \"key=value\"");
    if (!keys.insert(std::string_view(entry).substr(0, equals)).second)
      return base::Error("resource.attributes: \"" + entry.substr(0, equals) + "\" twice");
  }
  return base::Ok();
}

Stamper::Stamper(const Options& options, Deps deps)
    : deps_(deps),
      skipped_(deps.metrics.Get(base::MetricKind::kCounter, "weft_exporter_resource_skipped_total",
                                "resources left as they were because the attributes would more "
                                "than double their request")) {
  for (const std::string& entry : options.attributes) {
    const size_t equals = entry.find('=');
    stamp_.Add(entry.substr(0, equals), entry.substr(equals + 1));
  }
}

PushResult Stamper::Push(model::OtlpBatch&& batch) {
  const bool is_trace = batch.signal == model::Signal::kTraces;
  const uint64_t count = batch.live_count();
  PushResult result;
  if (batch.bytes == nullptr || batch.signal == model::Signal::kProfiles)
    result = deps_.out.Push(std::move(batch));
  else
    result = is_trace ? PushTraces(std::move(batch)) : PushOther(std::move(batch));
  if (result == PushResult::kTaken) {
    deps_.ledger.In(count);
    deps_.ledger.Out(count);
  }
  return result;
}

PushResult Stamper::PushTraces(model::OtlpBatch&& batch) {
  before_ = batch.resources;
  const size_t extra_before = batch.extra.size();
  const bool edited_before = batch.edited;
  const uint64_t skipped = stamp_.Edit(&batch);
  const PushResult result = deps_.out.Push(std::move(batch));
  if (result == PushResult::kBusy) {
    batch.resources.swap(before_);
    batch.extra.resize(extra_before);
    batch.edited = edited_before;
  } else if (skipped != 0) {
    skipped_.Add(skipped);
  }
  return result;
}

PushResult Stamper::PushOther(model::OtlpBatch&& batch) {
  base::ByteBuffer stamped(batch.size_bytes() + batch.size_bytes() / 8);
  const uint64_t skipped = stamp_.Copy(batch.bytes->view(), &stamped);
  // Nothing was missing, or the bytes cannot be read: they stay as they are.
  if (stamped.size() <= batch.size_bytes()) return deps_.out.Push(std::move(batch));
  const base::SharedBytes bytes = std::exchange(batch.bytes, base::Share(std::move(stamped)));
  const base::SharedPacked packed = std::exchange(batch.packed, nullptr);
  const PushResult result = deps_.out.Push(std::move(batch));
  if (result == PushResult::kBusy) {
    batch.bytes = bytes;
    batch.packed = packed;
  } else if (skipped != 0) {
    skipped_.Add(skipped);
  }
  return result;
}

}  // namespace weft::exporters::resource
