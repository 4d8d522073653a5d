// What the two client channels share. Internal to this room.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/http/tls_session.h"
#include "net/http_client.h"

namespace weft::net {

// Replaces the header, or adds it; an empty value takes it away.
inline void SetHeaderIn(std::string_view name, std::string_view value,
                        std::vector<std::pair<std::string, std::string>>* headers) {
  std::erase_if(*headers, [&](const auto& header) { return header.first == name; });
  if (!value.empty()) headers->emplace_back(name, value);
}

// A session for one connection to `endpoint` ("host:port"), with the files as they are now.
inline base::Result<std::unique_ptr<TlsSession>> MakeClientTls(TlsCredentials& credentials,
                                                               std::string_view endpoint) {
  auto context = credentials.Current(std::chrono::steady_clock::now());
  if (!context.ok()) return context.status();
  auto parts = SplitHostPort(endpoint);
  if (!parts.ok()) return parts.status();
  const TlsFiles& files = credentials.files();
  return std::make_unique<TlsSession>(*context, TlsSide::kClient,
                                      files.server_name.empty() ? parts->first : files.server_name,
                                      !files.insecure_skip_verify);
}

}  // namespace weft::net
