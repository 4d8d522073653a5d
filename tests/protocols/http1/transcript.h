// Test kit: runs a MessageParser and writes down what it said, one line per event, so that tests
// compare text.
#pragma once

#include <string>
#include <string_view>

#include "protocols/http1/message_parser.h"

namespace weft::protocols::http1 {

class Transcript {
 public:
  explicit Transcript(MessageKind kind, uint64_t offset = 0) : parser(kind, offset) {}

  // Events of this call are appended to `text`.
  Transcript& Feed(std::string_view bytes) {
    state = parser.Feed(base::AsBytes(bytes), &out_);
    return Write();
  }
  // Each call gets its own exact allocation, so that a sanitizer sees reads past the view.
  Transcript& FeedInPieces(std::string_view bytes, size_t piece) {
    for (size_t i = 0; i < bytes.size(); i += piece) {
      std::string own(bytes.substr(i, piece));
      own.shrink_to_fit();
      Feed(own);
    }
    return *this;
  }
  Transcript& Gap(uint64_t n, GapCause cause = GapCause::kTruncated) {
    state = parser.Gap(n, cause, &out_);
    return Write();
  }
  Transcript& End() {
    parser.End(&out_);
    return Write();
  }

  MessageParser parser;
  model::ParseState state = model::ParseState::kDone;
  std::string text;

 private:
  static std::string_view BodyName(BodyKind body) {
    constexpr std::string_view kNames[] = {"none", "length", "chunked", "until-close", "unknown"};
    return kNames[static_cast<int>(body)];
  }
  Transcript& Write() {
    for (const Event& event : out_.events) {
      if (event.kind == EventKind::kEnd) {
        text += "end@" + std::to_string(event.offset) + "\n";
        continue;
      }
      const Head& head = out_.heads[event.head];
      if (head.status != 0) {
        text += std::to_string(head.status);
      } else {
        text.append(head.method).append(" ").append(head.target);
      }
      text.append(" ").append(BodyName(head.body));
      if (head.is_truncated) text += " truncated";
      if (head.has_both_lengths) text += " both-lengths";
      text += " @" + std::to_string(event.offset) + "\n";
    }
    out_.clear();
    return *this;
  }
  Output out_;
};

inline std::string Requests(std::string_view bytes) {
  Transcript t(MessageKind::kRequest);
  return t.Feed(bytes).text;
}
inline std::string Responses(std::string_view bytes) {
  Transcript t(MessageKind::kResponse);
  return t.Feed(bytes).text;
}

}  // namespace weft::protocols::http1
