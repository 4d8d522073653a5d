// JSON strings out: the one place where text from strangers is escaped. What is not UTF-8 becomes
// U+FFFD, so that a hostile span name can never make an answer or a file that nobody can read.
#pragma once

#include <string>
#include <string_view>

namespace weft::base {

// Appends `text` as a JSON string with its quotes, on one line. Control characters, DEL among them,
// are escaped; each byte that is part of no well-formed sequence becomes U+FFFD.
// Threads: any. Cost: whole runs are appended; a copy of the text if it is not UTF-8.
void AppendJsonText(std::string_view text, std::string* out);

}  // namespace weft::base
