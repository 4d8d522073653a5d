#include "sources/ebpf/tls/families.h"

namespace weft::sources::ebpf::tls {

// gnutls_record_send is a jump to gnutls_record_send2 since 3.6.3.
Family GnuTls() {
  return {"gnutls",
          "gnutls_record_send",
          {
              {.symbol = "gnutls_record_recv",
               .arguments = 3,
               .enter = Program::kEnterRead,
               .leave = Program::kLeave},
              {.symbol = "gnutls_record_send2",
               .arguments = 3,
               .enter = Program::kEnterWrite,
               .leave = Program::kLeave},
              {.symbol = "gnutls_record_send",
               .arguments = 3,
               .enter = Program::kEnterWrite,
               .leave = Program::kLeave,
               .unless = "gnutls_record_send2"},
              {.symbol = "gnutls_handshake",
               .arguments = 1,
               .enter = Program::kEnterHandshake,
               .leave = Program::kLeave},
              {.symbol = "gnutls_deinit", .arguments = 1, .enter = Program::kForget},
          }};
}

}  // namespace weft::sources::ebpf::tls
