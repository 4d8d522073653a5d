// The shapes of answer that both ports share, and the checks that come before any route: the
// method, and for loopback listeners the Host header, so that a page of a stranger that rebinds its
// name to 127.0.0.1 reads nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "net/listener.h"

namespace weft::console {

net::Response TextAnswer(int status, std::string body);
net::Response JsonAnswer(int status, std::string body);
// Jaeger's error shape: {"data":null,…,"errors":[{"code":404,"msg":"…"}]}.
net::Response ApiError(int status, std::string_view message);

// 405 for anything but GET and HEAD, 403 for a foreign Host on loopback, else nothing.
std::optional<net::Response> RefuseEarly(const net::Request& request);
// True for "localhost", names below it, and IP literals, with or without a port; also for no Host
// at all.
bool IsLocalHost(std::string_view host);

}  // namespace weft::console
