#include "sources/ebpf/tls/families.h"

namespace weft::sources::ebpf::tls {

// SSL_peek is left out: what it shows is read again. SSL_connect and SSL_accept go through
// SSL_do_handshake.
Family OpenSsl() {
  return {"openssl",
          "SSL_write",
          {
              {.symbol = "SSL_read",
               .arguments = 3,
               .enter = Program::kEnterRead,
               .leave = Program::kLeave,
               .wrapper = "SSL_read_ex",
               .strangers = {"SSL_peek", "SSL_peek_ex"}},
              {.symbol = "SSL_read_ex",
               .arguments = 4,
               .enter = Program::kEnterReadEx,
               .leave = Program::kLeaveEx},
              {.symbol = "SSL_write",
               .arguments = 3,
               .enter = Program::kEnterWrite,
               .leave = Program::kLeave,
               .wrapper = "SSL_write_ex"},
              {.symbol = "SSL_write_ex",
               .arguments = 4,
               .enter = Program::kEnterWriteEx,
               .leave = Program::kLeaveEx},
              {.symbol = "SSL_do_handshake",
               .arguments = 1,
               .enter = Program::kEnterHandshake,
               .leave = Program::kLeave},
              {.symbol = "SSL_free", .arguments = 1, .enter = Program::kForget},
          }};
}

}  // namespace weft::sources::ebpf::tls
