// Gather: the only place that composes the bytes of a request from a batch. Runs of untouched spans
// are passed on as they stand in the sender's buffer; around them go envelopes with new lengths.
// Joining batches needs nothing at all: the concatenation of valid requests is their union.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "model/otlp_batch.h"

namespace weft::protocols::otlp {

// The request without its dropped spans and with the appended bytes. An unedited batch is one
// piece: its own bytes. Envelopes that have lost their last span are left out; so the result may be
// empty. Owns: the result keeps the batch's bytes alive; it needs nothing else of `batch`. Cost:
// one small buffer for the envelopes and for pieces too short to be worth a slice.
base::Gathered Gather(const model::OtlpBatch& batch);

// The same as several requests, each of at most `max_bytes`, where the heads of envelopes that are
// cut are repeated. A single span that does not fit with its envelopes goes alone, over the limit;
// so does a scope whose envelopes alone take more than half of it, because repeating them would
// multiply the bytes.
std::vector<base::Gathered> GatherSplit(const model::OtlpBatch& batch, uint64_t max_bytes);

// The live spans i of `batch` with part[i] == which, in their envelopes; the sender, but neither
// the receipt nor the dropped spans. `part` has an entry for every span. The bytes are shared: this
// is how a batch is divided among destinations.
model::OtlpBatch Select(const model::OtlpBatch& batch, const std::vector<uint32_t>& part,
                        uint32_t which);

// Where each top-level field of an encoded request ends. Requests of all signals but profiles
// (whose parts share a dictionary) may be cut there. Empty when `request` is no message.
std::vector<size_t> EntryEnds(base::ByteView request);

// The content of the last length-delimited field of that number in a message; empty when there is
// none or `message` is no message.
base::ByteView FieldBytes(base::ByteView message, uint32_t field);

// All pieces copied into one buffer.
base::ByteBuffer Flatten(const base::Gathered& gathered);

}  // namespace weft::protocols::otlp
