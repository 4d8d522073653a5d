#include "protocols/http1/message_parser.h"

#include <algorithm>
#include <cstring>

namespace weft::protocols::http1 {
namespace {

// A split head of usual size keeps its buffer; the memory of a huge one is given back.
constexpr size_t kKeptBufferBytes = 2 * 1024;
// "0\r\n\r\n": the end of a chunked body as every server writes it.
constexpr uint64_t kLastChunkBytes = 5;

// What follows the head of such a response is no HTTP.
bool EntersTunnel(const Head& head, RequestClass request) {
  return head.status == 101 ||
         (request == RequestClass::kConnect && head.status >= 200 && head.status < 300);
}

std::string_view Text(const char* p, const char* end) { return {p, static_cast<size_t>(end - p)}; }

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void Shrink(base::ByteBuffer* buffer) {
  if (buffer->capacity() <= kKeptBufferBytes) return;
  base::ByteBuffer empty;
  *buffer = std::move(empty);
}

}  // namespace

model::ParseState MessageParser::State() const {
  if (phase_ == Phase::kLost) return model::ParseState::kBad;
  if (phase_ == Phase::kTunnel) return model::ParseState::kEndOfProtocol;
  return at_boundary() ? model::ParseState::kDone : model::ParseState::kNeedMore;
}

void MessageParser::Fail(Trouble trouble) {
  phase_ = Phase::kLost;
  trouble_ = trouble;
  in_head_ = false;
  partial_.clear();
  Shrink(&partial_);
}

model::ParseState MessageParser::Feed(base::ByteView bytes, Output* out) {
  Shrink(&parsed_);
  const char* p = reinterpret_cast<const char*>(bytes.data());
  const char* const end = p + bytes.size();
  while (p != end) {
    switch (phase_) {
      case Phase::kHead:
        p = FeedHead(p, end, out);
        break;
      case Phase::kLength:
      case Phase::kUntilClose:
      case Phase::kChunkData:
        p = FeedBody(p, end, out);
        break;
      case Phase::kChunkSize:
        p = FeedChunkSize(p, end);
        break;
      case Phase::kChunkEnd:
        p = FeedChunkEnd(p);
        break;
      case Phase::kTrailer:
        p = FeedTrailer(p, end, out);
        break;
      case Phase::kLost:
      case Phase::kTunnel:
        offset_ += static_cast<uint64_t>(end - p);
        return State();
    }
  }
  return State();
}

const char* MessageParser::FindEmptyLine(const char* p, const char* end) {
  while (p != end) {
    if (line_state_ == LineState::kInside) {
      auto* newline = static_cast<const char*>(std::memchr(p, '\n', static_cast<size_t>(end - p)));
      if (newline == nullptr) return nullptr;
      p = newline + 1;
      line_state_ = LineState::kAtStart;
    } else if (*p == '\n') {
      return p + 1;
    } else {
      bool is_cr = *p == '\r' && line_state_ == LineState::kAtStart;
      line_state_ = is_cr ? LineState::kAfterCr : LineState::kInside;
      ++p;
    }
  }
  return nullptr;
}

const char* MessageParser::FeedHead(const char* p, const char* end, Output* out) {
  if (!in_head_) {
    // Empty lines in front of a start line are to be ignored (RFC 9112, 2.2).
    while (p != end && (*p == '\r' || *p == '\n')) ++p, ++offset_;
    if (p == end) return p;
    head_offset_ = offset_;
    HeadLines lines;
    if (ScanHead(Text(p, end), &lines)) {
      start_line_size_ = lines.lines[0].end + 1;
      offset_ += lines.size;
      EmitHead({p, lines.size}, false, &lines, out);
      return p + lines.size;
    }
    in_head_ = true;
    start_line_good_ = false;
    start_line_size_ = 0;
    line_state_ = LineState::kInside;
  }
  if (start_line_size_ == 0) {
    auto* newline = static_cast<const char*>(std::memchr(p, '\n', static_cast<size_t>(end - p)));
    if (newline != nullptr)
      start_line_size_ = static_cast<uint32_t>(partial_.size() + (newline - p) + 1);
  }
  const char* stop = FindEmptyLine(p, end);
  const size_t n = static_cast<size_t>((stop == nullptr ? end : stop) - p);
  if (partial_.size() + n > kMaxHeadBytes) {
    Fail(Trouble::kTooLarge);
    return p;
  }
  offset_ += n;
  if (stop != nullptr && partial_.empty()) {
    EmitHead(Text(p, stop), false, nullptr, out);
    return stop;
  }
  partial_.Append(std::string_view(p, n));
  if (stop != nullptr) {
    std::swap(parsed_, partial_);
    partial_.clear();
    EmitHead(base::AsText(parsed_.view()), false, nullptr, out);
    return stop;
  }
  if (!CheckStart(base::AsText(partial_.view()))) Fail(Trouble::kGarbage);
  return end;
}

// Refuses garbage before it fills the buffer.
bool MessageParser::CheckStart(std::string_view head) {
  if (start_line_good_) return true;
  if (start_line_size_ == 0) return IsPlausiblePrefix(kind_, head);
  std::string_view line = head.substr(0, start_line_size_ - 1);
  Head ignored;
  start_line_good_ =
      (kind_ == MessageKind::kRequest ? ParseRequestLine(line, &ignored)
                                      : ParseStatusLine(line, &ignored)) == StartLine::kGood;
  return start_line_good_ || line == "PRI * HTTP/2.0\r";
}

bool MessageParser::ParseHead(std::string_view bytes, const HeadLines* lines, Head* head,
                              Framing* framing) {
  const std::string_view line = bytes.substr(0, start_line_size_ - 1);
  const StartLine start =
      kind_ == MessageKind::kRequest ? ParseRequestLine(line, head) : ParseStatusLine(line, head);
  bool is_good = start == StartLine::kGood;
  if (is_good && lines != nullptr) {
    is_good = ParseFields(bytes, *lines, head, framing);
  } else if (is_good) {
    std::string_view fields = bytes.substr(start_line_size_);
    if (!head->is_truncated) {  // without the empty line
      fields.remove_suffix(fields.size() >= 2 && fields[fields.size() - 2] == '\r' ? 2 : 1);
    }
    is_good = ParseFields(fields, head->is_truncated, head, framing);
  }
  if (!is_good) Fail(start == StartLine::kHttp2 ? Trouble::kHttp2 : Trouble::kGarbage);
  return is_good;
}

void MessageParser::EmitHead(std::string_view bytes, bool is_cut, const HeadLines* lines,
                             Output* out) {
  Head& head = out->heads.emplace_back();
  Framing framing;
  head.is_truncated = is_cut;
  if (!ParseHead(bytes, lines, &head, &framing)) return out->heads.pop_back();
  in_head_ = false;
  RequestClass request = RequestClass::kOther;
  bool is_interim = head.status >= 100 && head.status < 200 && head.status != 101;
  if (kind_ == MessageKind::kResponse && !is_interim) request = PopExpected();
  ChooseBody(framing, request, &head);
  out->events.push_back(
      {EventKind::kHead, static_cast<uint32_t>(out->heads.size() - 1), head_offset_});
  EnterBody(head, request, out);
}

void MessageParser::ChooseBody(const Framing& framing, RequestClass request, Head* head) const {
  const bool is_response = kind_ == MessageKind::kResponse;
  head->has_both_lengths = framing.has_encoding && framing.has_length;
  head->content_length = 0;
  if (head->is_truncated && !(is_response && EntersTunnel(*head, request))) {
    head->body = BodyKind::kUnknown;
  } else if (is_response && (head->status < 200 || head->status == 204 || head->status == 304 ||
                             request == RequestClass::kHead)) {
    head->body = BodyKind::kNone;
  } else if (is_response && request == RequestClass::kConnect && head->status < 300) {
    head->body = BodyKind::kNone;
  } else if (framing.is_ambiguous) {
    head->body = BodyKind::kUnknown;
  } else if (framing.is_chunked) {
    head->body = BodyKind::kChunked;
  } else if (framing.has_encoding) {
    head->body = is_response ? BodyKind::kUntilClose : BodyKind::kUnknown;
  } else if (framing.is_length_bad) {
    head->body = BodyKind::kUnknown;
  } else if (framing.has_length) {
    head->body = framing.length == 0 ? BodyKind::kNone : BodyKind::kLength;
    head->content_length = framing.length;
  } else {
    head->body = is_response ? BodyKind::kUntilClose : BodyKind::kNone;
  }
}

void MessageParser::EnterBody(const Head& head, RequestClass request, Output* out) {
  switch (head.body) {
    case BodyKind::kNone:
      EndMessage(out);
      if (EntersTunnel(head, request)) phase_ = Phase::kTunnel;
      return;
    case BodyKind::kLength:
      length_ = left_ = head.content_length;
      phase_ = Phase::kLength;
      return;
    case BodyKind::kChunked:
      phase_ = Phase::kChunkSize;
      line_bytes_ = 0, chunk_digits_ = 0, left_ = 0, in_chunk_extension_ = false;
      is_first_chunk_ = true;
      return;
    case BodyKind::kUntilClose:
      phase_ = Phase::kUntilClose;
      return;
    case BodyKind::kUnknown:
      return Fail(head.is_truncated ? Trouble::kGap : Trouble::kBadLength);
  }
}

void MessageParser::EndMessage(Output* out) {
  phase_ = Phase::kHead;
  in_head_ = false;
  trouble_ = Trouble::kNone;
  out->events.push_back({EventKind::kEnd, 0, offset_});
}

const char* MessageParser::FeedBody(const char* p, const char* end, Output* out) {
  uint64_t n = static_cast<uint64_t>(end - p);
  if (phase_ == Phase::kUntilClose) {
    offset_ += n;
    return end;
  }
  n = std::min(n, left_);
  left_ -= n;
  offset_ += n;
  if (left_ == 0 && phase_ == Phase::kLength) {
    EndMessage(out);
  } else if (left_ == 0) {
    phase_ = Phase::kChunkEnd;
    chunk_cr_seen_ = false;
  }
  return p + n;
}

const char* MessageParser::FeedChunkSize(const char* p, const char* end) {
  const char* const start = p;
  for (; p != end && *p != '\n' && !in_chunk_extension_; ++p) {
    int digit = HexDigit(*p);
    if (digit < 0) {
      if (chunk_digits_ == 0 || (*p != ';' && *p != ' ' && *p != '\t' && *p != '\r'))
        return Fail(Trouble::kBadChunk), start;
      in_chunk_extension_ = true;
      break;
    }
    if (left_ > static_cast<uint64_t>(INT64_MAX) >> 4) return Fail(Trouble::kBadChunk), start;
    left_ = left_ << 4 | static_cast<uint64_t>(digit);
    chunk_digits_ = 1;
  }
  auto* newline = static_cast<const char*>(std::memchr(p, '\n', static_cast<size_t>(end - p)));
  p = newline == nullptr ? end : newline + 1;
  if (static_cast<size_t>(p - start) > kMaxChunkLineBytes - line_bytes_)
    return Fail(Trouble::kBadChunk), start;
  line_bytes_ += static_cast<uint32_t>(p - start);
  offset_ += static_cast<uint64_t>(p - start);
  if (newline != nullptr) EndChunkLine();
  return p;
}

void MessageParser::EndChunkLine() {
  if (chunk_digits_ == 0) return Fail(Trouble::kBadChunk);
  line_bytes_ = 0;
  is_first_chunk_ = false;
  if (left_ != 0) {
    phase_ = Phase::kChunkData;
    return;
  }
  phase_ = Phase::kTrailer;
  line_state_ = LineState::kAtStart;
}

const char* MessageParser::FeedChunkEnd(const char* p) {
  if (*p == '\r' && !chunk_cr_seen_) {
    chunk_cr_seen_ = true;
  } else if (*p == '\n') {
    phase_ = Phase::kChunkSize;
    line_bytes_ = 0, chunk_digits_ = 0, left_ = 0, in_chunk_extension_ = false;
  } else {
    Fail(Trouble::kBadChunk);
    return p;
  }
  ++offset_;
  return p + 1;
}

const char* MessageParser::FeedTrailer(const char* p, const char* end, Output* out) {
  const char* stop = FindEmptyLine(p, end);
  const size_t n = static_cast<size_t>((stop == nullptr ? end : stop) - p);
  if (n > kMaxHeadBytes - line_bytes_) {
    Fail(Trouble::kTooLarge);
    return p;
  }
  line_bytes_ += static_cast<uint32_t>(n);
  offset_ += n;
  if (stop != nullptr) EndMessage(out);
  return p + n;
}

// The head is longer than the capture limit: what there is of it, if its start line or (T39) its
// target was reached.
void MessageParser::EmitCutHead(Output* out) {
  std::swap(parsed_, partial_);
  partial_.clear();
  const std::string_view bytes = base::AsText(parsed_.view());
  if (start_line_size_ != 0) return EmitHead(bytes, true, nullptr, out);
  Head head;
  if (kind_ != MessageKind::kRequest || !ParseCutRequestLine(bytes, &head)) return;
  head.is_truncated = true;
  head.body = BodyKind::kUnknown;
  out->events.push_back({EventKind::kHead, static_cast<uint32_t>(out->heads.size()), head_offset_});
  out->heads.push_back(head);
}

model::ParseState MessageParser::Gap(uint64_t n, GapCause cause, Output* out) {
  if (n == 0) return State();
  const uint64_t after = offset_ + n;
  switch (phase_) {
    case Phase::kHead:
      if (in_head_ && cause == GapCause::kTruncated) EmitCutHead(out);
      if (phase_ != Phase::kTunnel) Fail(Trouble::kGap);
      break;
    case Phase::kLength: {
      uint64_t skipped = std::min(n, left_);
      left_ -= skipped;
      offset_ += skipped;
      if (left_ == 0) EndMessage(out);
      if (n > skipped) Fail(Trouble::kGap);
      break;
    }
    case Phase::kChunkSize:
    case Phase::kChunkData:
    case Phase::kChunkEnd:
    case Phase::kTrailer:
      GapInChunked(n, cause, out);
      break;
    case Phase::kUntilClose:
    case Phase::kLost:
    case Phase::kTunnel:
      break;
  }
  offset_ = after;
  return State();
}

// A gap that stays inside a chunk and the line end behind it is skipped exactly. One that covers
// the last chunk too is recognised by its size, when it is the tail of one call: a sender does not
// end its call in the middle of a size line.
void MessageParser::GapInChunked(uint64_t n, GapCause cause, Output* out) {
  if (phase_ == Phase::kChunkData) {
    uint64_t skipped = std::min(n, left_);
    left_ -= skipped;
    n -= skipped;
    offset_ += skipped;
    if (left_ == 0) {
      phase_ = Phase::kChunkEnd;
      chunk_cr_seen_ = false;
    }
  }
  for (; phase_ == Phase::kChunkEnd && n > 0; --n) FeedChunkEnd(chunk_cr_seen_ ? "\n" : "\r");
  if (n == 0) return;
  bool is_size_line = phase_ == Phase::kChunkSize && line_bytes_ == 0;
  bool is_last = is_size_line ? n == kLastChunkBytes : phase_ == Phase::kTrailer && n == 2;
  if (!is_last || cause != GapCause::kTruncated) return Fail(Trouble::kGap);
  offset_ += n;
  EndMessage(out);
}

void MessageParser::End(Output* out) {
  if (phase_ == Phase::kUntilClose || phase_ == Phase::kTrailer) EndMessage(out);
}

bool MessageParser::Resync(base::ByteView next, uint64_t offset) {
  if (!IsPlausibleBoundary(kind_, base::AsText(next))) return false;
  phase_ = Phase::kHead;
  trouble_ = Trouble::kNone;
  in_head_ = false;
  partial_.clear();
  offset_ = offset;
  return true;
}

bool MessageParser::ExpectResponseTo(RequestClass request) {
  if (expected_count_ == kMaxExpected) return false;
  size_t i = (expected_front_ + expected_count_++) % kMaxExpected;
  uint64_t& word = expected_[i / 32];
  word &= ~(uint64_t{3} << (i % 32 * 2));
  word |= uint64_t{static_cast<uint8_t>(request)} << (i % 32 * 2);
  return true;
}

RequestClass MessageParser::PopExpected() {
  if (expected_count_ == 0) return RequestClass::kOther;
  size_t i = expected_front_;
  expected_front_ = static_cast<uint16_t>((i + 1) % kMaxExpected);
  --expected_count_;
  return static_cast<RequestClass>(expected_[i / 32] >> (i % 32 * 2) & 3);
}

}  // namespace weft::protocols::http1
