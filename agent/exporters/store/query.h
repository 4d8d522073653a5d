// The part of a query that has to look into the spans of a trace.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "exporters/store/trace_table.h"
#include "model/lookup.h"

namespace weft::exporters::store {

// Whether one span of the trace has the filter's service, operation and tags.
bool HasMatchingSpan(const TraceSnapshot& trace, const model::TraceQuery::Filter& filter);

// The parts, one behind the other: an encoded request.
base::ByteBuffer Join(const TraceSnapshot& trace);

// Adds the calls from one service to another to `calls`.
void CountCalls(const TraceSnapshot& trace,
                std::map<std::pair<std::string, std::string>, uint64_t>* calls);

}  // namespace weft::exporters::store
