#include "net/http_client.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <cctype>
#include <charconv>

namespace weft::net {
namespace {
namespace beast = boost::beast;
namespace http = beast::http;
namespace asio = boost::asio;
using ErrorCode = beast::error_code;

constexpr uint64_t kMaxReplyBytes = 64 << 20;

// One GET. Beast's deadlines only work on asynchronous calls, so they run on a loop of their own.
struct Get {
  asio::io_context context;
  asio::ip::tcp::resolver resolver{context};
  beast::tcp_stream stream{context};
  beast::flat_buffer buffer;
  http::request<http::empty_body> request;
  http::response_parser<http::string_body> parser;
  ErrorCode error = asio::error::timed_out;
  std::string step = "resolve";

  // Waits for one step; false when it failed.
  bool Step(const char* name) {
    step = name;
    error = asio::error::timed_out;
    context.restart();
    context.run();
    return !error;
  }
};

}  // namespace

std::string HttpReply::Header(std::string_view lower_name) const {
  for (const auto& [name, value] : headers)
    if (name == lower_name) return value;
  return {};
}

base::Result<HttpReply> HttpGet(const std::string& endpoint, const std::string& target,
                                std::chrono::milliseconds timeout) {
  auto parts = SplitHostPort(endpoint);
  if (!parts.ok()) return parts.status();
  std::string host = parts->first.empty() ? "localhost" : parts->first;
  Get get;
  auto deadline = std::chrono::steady_clock::now() + timeout;
  auto failed = [&] { return base::Error(get.step + " " + endpoint + ": " + get.error.message()); };
  auto found = get.resolver.resolve(host, std::to_string(parts->second), get.error);
  if (get.error) return failed();
  get.stream.expires_at(deadline);
  get.stream.async_connect(found, [&](ErrorCode e, const auto&) { get.error = e; });
  if (!get.Step("connect")) return failed();
  get.request = {http::verb::get, target, 11};
  get.request.set(http::field::host, endpoint);
  get.request.set(http::field::connection, "close");
  http::async_write(get.stream, get.request, [&](ErrorCode e, size_t) { get.error = e; });
  if (!get.Step("send to")) return failed();
  get.parser.body_limit(kMaxReplyBytes);
  http::async_read(get.stream, get.buffer, get.parser, [&](ErrorCode e, size_t) { get.error = e; });
  if (!get.Step("read from")) return failed();
  HttpReply reply;
  auto& message = get.parser.get();
  reply.status = static_cast<int>(message.result_int());
  auto type = message[http::field::content_type];
  reply.content_type.assign(type.data(), type.size());
  for (const auto& field : message) {
    std::string name(field.name_string());
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    reply.headers.emplace_back(std::move(name), std::string(field.value()));
  }
  reply.body = std::move(message.body());
  return reply;
}

base::Result<std::pair<std::string, uint16_t>> SplitHostPort(std::string_view endpoint) {
  auto bad = [whole = std::string(endpoint)] {
    return base::Error("endpoint \"" + whole + "\" is not host:port");
  };
  for (std::string_view scheme : {"http://", "grpc://", "https://", "grpcs://"}) {
    if (endpoint.starts_with(scheme)) endpoint.remove_prefix(scheme.size());
  }
  endpoint = endpoint.substr(0, endpoint.find('/'));
  size_t colon = endpoint.rfind(':');
  if (colon == std::string_view::npos) return bad();
  std::string_view host = endpoint.substr(0, colon), digits = endpoint.substr(colon + 1);
  if (host.starts_with('[')) {
    if (!host.ends_with(']') || host.size() < 3) return bad();
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad();  // an IPv6 address without brackets is ambiguous
  }
  uint16_t port = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) return bad();
  return std::pair(std::string(host), port);
}

}  // namespace weft::net
