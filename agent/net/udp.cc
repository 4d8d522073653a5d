#include "net/udp.h"

#include <sys/socket.h>

#include "net/address.h"

namespace weft::net {

base::Result<int> BindUdp(std::string_view endpoint, int receive_buffer_bytes, uint16_t* port) {
  base::Result<int> fd = BindSocket(endpoint, SOCK_DGRAM, port);
  if (!fd.ok()) return fd;
  if (receive_buffer_bytes > 0) {
    int bytes = receive_buffer_bytes;
    if (setsockopt(*fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0) {
      setsockopt(*fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    }
  }
  int on = 1;
  setsockopt(*fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
  return fd;
}

}  // namespace weft::net
