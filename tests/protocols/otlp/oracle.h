// Random requests made with protobuf itself, and what the tests ask of both sides.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "model/otlp_batch.h"
#include "oracle/trace.pb.h"

namespace weft::protocols::otlp {

// Messages of every shape; the same seed gives the same message. All ids are valid.
oracle::Request RandomRequest(uint32_t seed);
oracle::Span RandomSpan(std::mt19937& random);
void RandomValue(std::mt19937& random, int depth, oracle::AnyValue* value);

base::SharedBytes ToShared(std::string_view bytes);
// Parsed without the recursion limit of 100; the test fails if protobuf cannot read it.
oracle::Request Parse(std::string_view bytes);
std::string FlattenText(const base::Gathered& gathered);
// Index, expecting kDone.
model::OtlpBatch IndexOf(std::string_view bytes);
// Leaves out envelopes without spans, as Gather does.
void DropEmptyEnvelopes(oracle::Request* request);
// A small valid request: one span.
oracle::Request OneSpan();

}  // namespace weft::protocols::otlp
