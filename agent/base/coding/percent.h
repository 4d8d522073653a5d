// Percent-encoding (RFC 3986): URLs, gRPC messages and OTEL_RESOURCE_ATTRIBUTES say bytes as %XX.
#pragma once

#include <string>
#include <string_view>

namespace weft::base {

// Leaves a bad or cut-off escape as it is. `plus_is_space`: as in a query of an HTML form.
std::string PercentDecode(std::string_view text, bool plus_is_space = false);

// Printable ASCII stays, except "%"; the rest becomes %XX (what grpc-message wants).
std::string PercentEncode(std::string_view text);

}  // namespace weft::base
