// Origin: does the resource of an SDK's span name the process that the kernel saw? Asked when a
// batch was brought by somebody else, such as a collector on this node that forwards what others
// send it. Private to this room.
#pragma once

#include <cstdint>
#include <string_view>

#include "model/otlp_batch.h"
#include "model/process.h"

namespace weft::merge {

enum class Origin : uint8_t { kUnknown, kSame, kOther };

// What a resource says of the process that it stands for. Views of the batch's bytes.
struct ResourceFacts {
  std::string_view container, pod, service;
  uint64_t pid = 0;
};

// The first of container.id, k8s.pod.uid, process.pid (of processes outside of containers, where
// pids mean the same to both) that both sides know decides; equal service names are a sign for it,
// different ones no sign against it.
Origin OriginOf(const ResourceFacts& facts, const model::Process& process);

// The resources of one batch. Spans that are asked for mostly come in order, and a resource may be
// long: it is read once for all of its spans.
class Resources {
 public:
  // Before the first FactsOf of a batch.
  void Begin() { last_ = nullptr; }
  // Of the resource of that span.
  const ResourceFacts& FactsOf(const model::OtlpBatch& batch, uint32_t span);

 private:
  const model::ResourceGroup* last_ = nullptr;
  ResourceFacts facts_;
};

}  // namespace weft::merge
