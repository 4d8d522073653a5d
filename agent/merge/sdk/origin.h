// Origin: does the resource of an SDK's span name the process that the kernel saw? Asked when a
// batch was brought by somebody else, such as a collector on this node that forwards what others
// send it. Private to this room.
#pragma once

#include <cstdint>

#include "model/otlp_batch.h"
#include "model/process.h"

namespace weft::merge {

enum class Origin : uint8_t { kUnknown, kSame, kOther };

// The first of container.id, k8s.pod.uid, process.pid (of processes outside of containers, where
// pids mean the same to both) that both sides know decides; equal service names are a sign for it,
// different ones no sign against it. Cost: one pass over the resource's attributes.
Origin OriginOf(const model::OtlpBatch& batch, uint32_t span, const model::Process& process);

}  // namespace weft::merge
