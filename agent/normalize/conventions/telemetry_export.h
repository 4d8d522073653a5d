// Which requests are calls by which a program exports telemetry. They make no spans, to weft or
// past it: otherwise every export would cause another one. Path and content type decide together,
// since Jaeger's query API uses the paths of its collector.
#pragma once

#include <cstdint>
#include <string_view>

namespace weft::normalize {

// `path` is the request's path without query.
bool IsTelemetryExport(std::string_view method, std::string_view content_type,
                       std::string_view path);
// The same of a request whose path cannot be read (HTTP/2 that was joined in the middle): only the
// port is left to tell. `method` may be empty too.
bool IsProbableTelemetryExport(std::string_view method, uint16_t server_port);

}  // namespace weft::normalize
