// Which requests are calls by which a program exports telemetry. They make no spans, to weft or
// past it: otherwise every export would cause another one. Path and content type decide together,
// since Jaeger's query API uses the paths of its collector.
#pragma once

#include <string_view>

#include "protocols/http1/head.h"

namespace weft::normalize {

// `path` is the request's path without query.
bool IsTelemetryExport(const protocols::http1::Head& head, std::string_view path);

}  // namespace weft::normalize
