// What is known of the machine itself.
#pragma once

#include <string>

namespace weft::workload {

// The node's name for host.name; "localhost" when the kernel has none.
std::string HostName();

}  // namespace weft::workload
