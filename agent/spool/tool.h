// What `weft spool ls|verify|dump` do: look at a spool's folder without changing anything in it,
// also while an agent is using it.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

#include "spool/files.h"

namespace weft::spool {

// All return what the program should: 0, or 1 for a folder that cannot be read (verify: or damage).

// One line per segment: number, bytes, records, items, undelivered items, age of its first record.
int ListSpool(const std::string& directory, std::ostream& out, std::ostream& errors,
              FileLayer& files = PosixFiles());
// Every checksum; one line per damaged place, and a sum.
int VerifySpool(const std::string& directory, std::ostream& out, std::ostream& errors,
                FileLayer& files = PosixFiles());
struct DumpOptions {
  bool delivered = false;  // also records that were delivered
  bool raw = false;        // the requests' bytes one after the other, instead of JSON
};
// The records, oldest first: traces as one OTLP/JSON request a line, what is not traces as a line
// of its facts.
int DumpSpool(const std::string& directory, DumpOptions options, std::ostream& out,
              std::ostream& errors, FileLayer& files = PosixFiles());

}  // namespace weft::spool
