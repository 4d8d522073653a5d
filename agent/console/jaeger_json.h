// One trace as Jaeger's query service writes it for its UI, translated from OTLP by the same rules
// as Jaeger's own translator: kind, status, scope and trace state become tags, the parent a
// CHILD_OF reference, links FOLLOWS_FROM, events logs, and equal resources one process ("p1", "p2",
// …).
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "console/json.h"

namespace weft::console {

// Appends the trace object of one encoded TracesData. False when the bytes do not decode (nothing
// is appended).
bool AppendJaegerTrace(base::ByteView trace, JsonWriter* json);

// One line of a list of traces:
// {"traceID","rootService","rootName","startTime","duration","spans","errors",
// "services":[{"name","spans"}],"origins":{"kernel","merged","sdk"}}; times in µs. False as above.
bool AppendTraceSummary(base::ByteView trace, JsonWriter* json);

// "client", "server", …; empty for an unspecified kind.
std::string_view KindName(int otlp_kind);

}  // namespace weft::console
