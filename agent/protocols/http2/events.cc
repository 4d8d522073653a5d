#include "protocols/http2/events.h"

#include <algorithm>
#include <cstring>

namespace weft::protocols::http2 {

void Output::clear() {
  events.clear();
  heads.clear();
  // What an unusual burst took is given back.
  constexpr size_t kKeptChunks = 4;
  if (chunks_.size() > kKeptChunks) chunks_.resize(kKeptChunks);
  chunk_ = used_ = total_ = 0;
}

std::string_view Output::Keep(std::string_view text) {
  if (text.empty()) return {"", 0};
  if (text.size() > kMaxTextBytes - total_) return {};
  while (chunk_ < chunks_.size() && text.size() > chunks_[chunk_].size - used_) {
    ++chunk_;
    used_ = 0;
  }
  if (chunk_ == chunks_.size()) {
    const size_t size = std::max(text.size(), kChunkBytes);
    chunks_.push_back({std::make_unique_for_overwrite<char[]>(size), size});
  }
  char* to = chunks_[chunk_].bytes.get() + used_;
  std::memcpy(to, text.data(), text.size());
  used_ += text.size();
  total_ += text.size();
  return {to, text.size()};
}

}  // namespace weft::protocols::http2
