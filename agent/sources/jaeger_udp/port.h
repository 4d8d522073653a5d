// Private to sources/jaeger_udp: one UDP port, read in bunches of datagrams, with the kernel's
// count of what it dropped.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "model/endpoint.h"

namespace weft::sources::jaeger_udp {

struct Datagram {
  base::ByteView bytes;
  model::Endpoint sender;
  bool cut = false;  // longer than the buffer; the rest is gone
};

// Room for one bunch; shared by the ports. Memory is touched only as far as datagrams reach.
class Bunch {
 public:
  static constexpr size_t kDatagrams = 64;
  static constexpr size_t kBytes = 65'507;  // the largest UDP payload over IPv4

  Bunch();
  ~Bunch();
  // Reads what is there, without waiting, at most kDatagrams. Returns how many.
  size_t Receive(int fd);
  const Datagram& operator[](size_t i) const { return datagrams_[i]; }

 private:
  struct Wire;  // what recvmmsg wants
  std::unique_ptr<Wire> wire_;
  std::array<Datagram, kDatagrams> datagrams_;
};

// Threads: one. Owns: its socket.
class Port {
 public:
  Port() = default;
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  ~Port() { Close(); }

  base::Status Open(const std::string& endpoint);
  void Close();
  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  uint16_t number() const { return number_; }
  // What the kernel has granted; more than was asked for, as it counts its own book-keeping.
  size_t buffer_bytes() const { return buffer_bytes_; }
  // Datagrams that the kernel has dropped since the last call, because its buffer was full.
  uint32_t NewKernelDrops();

 private:
  int fd_ = -1;
  uint16_t number_ = 0;
  size_t buffer_bytes_ = 0;
  uint32_t kernel_drops_ = 0;
};

}  // namespace weft::sources::jaeger_udp
