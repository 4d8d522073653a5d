// Parser: turns one direction's bytes of one connection into messages. Pure: no I/O, clock, thread
// or global. Views in the output point into the input and are valid until the next Feed.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace weft::model {

// What was consumed, and whether the output is valid.
enum class ParseState : uint8_t {
  kDone,      // everything consumed; the messages appended are valid
  kNeedMore,  // everything consumed (a partial head is kept inside, bounded); the messages appended
              // are valid
  kBad,       // this cannot be the protocol; nothing further is consumed until Resync
  kEndOfProtocol,  // the connection left the protocol for good (Upgrade, CONNECT): stop feeding
};

}  // namespace weft::model
