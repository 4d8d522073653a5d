// BearerTransport: puts "authorization: Bearer <token>" on the calls of another Transport, with the
// token of a file. The file is looked at now and then and whenever the peer refuses the token: a
// token that was rotated on disk is used without a restart. Its content never reaches a log.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "exporters/collector/transport.h"

namespace weft::exporters::collector {

// The first line of the file without the space around it; empty when there is none, when it is
// longer than 16 KiB or when that is no regular file.
std::string ReadToken(const std::string& path);

// Threads: the data thread. `clock` outlives it. Fails: a file that cannot be read leaves the last
// token in use.
std::unique_ptr<Transport> WithBearerToken(std::unique_ptr<Transport> inner, std::string path,
                                           const base::Clock& clock);

}  // namespace weft::exporters::collector
