#include "sources/jaeger_udp/port.h"

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "net/udp.h"

namespace weft::sources::jaeger_udp {
namespace {

constexpr int kReceiveBufferBytes = 8 << 20;

model::Endpoint EndpointOf(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    uint8_t raw[4];
    std::memcpy(raw, &v4.sin_addr, sizeof raw);
    return model::Endpoint::V4(raw, ntohs(v4.sin_port));
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    uint8_t raw[16];
    std::memcpy(raw, &v6.sin6_addr, sizeof raw);
    return model::Endpoint::V6(raw, ntohs(v6.sin6_port));
  }
  return {};
}

}  // namespace

struct Bunch::Wire {
  std::array<mmsghdr, kDatagrams> messages;
  std::array<iovec, kDatagrams> pieces;
  std::array<sockaddr_storage, kDatagrams> addresses;
  std::unique_ptr<uint8_t[]> bytes{
      new uint8_t[kDatagrams * kBytes]};  // not zeroed: pages stay untouched
};

Bunch::Bunch() : wire_(std::make_unique<Wire>()) {
  for (size_t i = 0; i < kDatagrams; ++i) {
    wire_->pieces[i] = {wire_->bytes.get() + i * kBytes, kBytes};
    std::memset(&wire_->messages[i], 0, sizeof(mmsghdr));
    msghdr& head = wire_->messages[i].msg_hdr;
    head.msg_iov = &wire_->pieces[i];
    head.msg_iovlen = 1;
    head.msg_name = &wire_->addresses[i];
  }
}

Bunch::~Bunch() = default;

size_t Bunch::Receive(int fd) {
  for (mmsghdr& message : wire_->messages) message.msg_hdr.msg_namelen = sizeof(sockaddr_storage);
  const int n = recvmmsg(fd, wire_->messages.data(), kDatagrams, MSG_DONTWAIT, nullptr);
  for (int i = 0; i < n; ++i) {
    const mmsghdr& message = wire_->messages[i];
    datagrams_[i] = {{wire_->bytes.get() + i * kBytes, message.msg_len},
                     EndpointOf(wire_->addresses[i]),
                     (message.msg_hdr.msg_flags & MSG_TRUNC) != 0};
  }
  return n > 0 ? static_cast<size_t>(n) : 0;
}

base::Status Port::Open(const std::string& endpoint) {
  base::Result<int> fd = net::BindUdp(endpoint, kReceiveBufferBytes, &number_);
  if (!fd.ok()) return fd.status();
  fd_ = *fd;
  kernel_drops_ = 0;
  int granted = 0;
  socklen_t size = sizeof granted;
  getsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &granted, &size);
  buffer_bytes_ = static_cast<size_t>(granted);
  return base::Ok();
}

void Port::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  number_ = 0;
}

uint32_t Port::NewKernelDrops() {
  uint32_t numbers[SK_MEMINFO_VARS] = {};
  socklen_t size = sizeof numbers;
  if (getsockopt(fd_, SOL_SOCKET, SO_MEMINFO, numbers, &size) != 0) return 0;
  const uint32_t fresh = numbers[SK_MEMINFO_DROPS] - kernel_drops_;  // the kernel's counter wraps
  kernel_drops_ = numbers[SK_MEMINFO_DROPS];
  return fresh;
}

}  // namespace weft::sources::jaeger_udp
