#include "protocols/otlp/entry_points.h"

#include <vector>

#include "model/otlp_batch.h"
#include "protocols/otlp/gather.h"
#include "protocols/otlp/index.h"
#include "protocols/otlp/json_read.h"
#include "protocols/otlp/json_write.h"
#include "protocols/otlp/resource_stamp.h"
#include "protocols/otlp/view.h"
#include "protocols/otlp/wire.h"

namespace weft::protocols::otlp {
namespace {

base::SharedBytes ExactCopy(base::ByteView bytes) {
  base::ByteBuffer copy(bytes.size());
  copy.Append(bytes);
  return base::Share(std::move(copy));
}

}  // namespace

std::string TryIndex(base::ByteView bytes) {
  model::OtlpBatch batch;
  if (Index(ExactCopy(bytes), &batch).status != IndexStatus::kDone) return "";
  std::vector<ResourceSpansView> views;
  if (!Decode(batch.bytes->view(), &views)) return "Decode refuses what Index accepts";
  std::string json;
  AppendJson(batch.bytes->view(), &json);

  size_t spans = batch.spans.size();
  batch.edited = true;
  base::Gathered same = Gather(batch);
  model::OtlpBatch again;
  IndexReport report = Index(base::Share(Flatten(same)), &again);
  if (report.status != IndexStatus::kDone) return "Index refuses what Gather made";
  if (again.spans.size() != spans) return "Gather lost spans";
  if (report.bad_utf8 != 0) return "the repair of strings did not last";

  ResourceStamp stamp;
  stamp.Add("service.name", "s");
  stamp.Add("k8s.node.name", "node-7");
  base::ByteBuffer stamped;
  stamp.Copy(bytes, &stamped);
  if (Index(base::Share(std::move(stamped)), &again).status != IndexStatus::kDone ||
      again.spans.size() != spans)
    return "stamping broke the request";
  stamp.Edit(&batch);
  if (Index(base::Share(Flatten(Gather(batch))), &again).status != IndexStatus::kDone ||
      again.spans.size() != spans)
    return "stamping broke the batch";

  for (size_t i = 0; i < spans; i += 2) batch.spans[i].dropped = true;
  batch.appends.emplace_back("\x2a\x01x", 3);
  for (size_t i = 1; i < spans; i += 3) batch.spans[i].append = 1;
  size_t split_spans = 0;
  for (const base::Gathered& part : GatherSplit(batch, 300)) {
    if (Index(base::Share(Flatten(part)), &again).status != IndexStatus::kDone) {
      return "Index refuses what GatherSplit made";
    }
    split_spans += again.spans.size();
  }
  return split_spans == spans / 2 ? "" : "GatherSplit lost spans";
}

std::string TryJson(base::ByteView bytes) {
  base::SharedBytes in = ExactCopy(bytes);
  base::ByteBuffer proto;
  std::string error;
  if (!JsonToProto(in->view(), &proto, &error)) {
    return error.empty() ? "refused without a reason" : proto.empty() ? "" : "output of a failure";
  }
  base::SharedBytes request = base::Share(std::move(proto));
  model::OtlpBatch batch;
  IndexReport report = Index(request, &batch);
  if (report.status != IndexStatus::kDone) return "Index refuses what JsonToProto made";
  if (report.bad_utf8 != 0) return "JsonToProto wrote invalid UTF-8";
  std::string json;
  AppendJson(request->view(), &json);
  base::ByteBuffer back;
  if (!JsonToProto(base::AsBytes(json), &back, &error)) return "own JSON refused: " + error;
  return "";
}

std::string TrySignalsJson(base::ByteView bytes) {
  base::SharedBytes in = ExactCopy(bytes);
  for (model::Signal signal : {model::Signal::kMetrics, model::Signal::kLogs}) {
    base::ByteBuffer proto;
    std::string error;
    if (!JsonToProto(in->view(), &proto, &error, signal)) {
      if (error.empty()) return "refused without a reason";
      if (!proto.empty()) return "output of a failure";
      continue;
    }
    if (proto.size() > JsonWorkBytes(bytes.size(), signal)) return "more output than allowed for";
    // Down to what is counted: metrics and log records.
    auto items = [](const Field& f) {
      return f.tag != BytesTag(2) || ForEachField(f.view(), [](const Field&) { return true; });
    };
    const bool is_proto = ForEachField(
        proto.view(), [&](const Field& resource) { return ForEachField(resource.view(), items); });
    if (!is_proto) return "what JsonToProto made is no protobuf";
  }
  return "";
}

}  // namespace weft::protocols::otlp
