#include "contract/parser/parser_contract.h"
#include "protocols/http2/connection.h"

namespace weft::contract {
namespace {

using protocols::http2::Connection;
using protocols::http2::Event;
using protocols::http2::Head;
using protocols::http2::Side;
using protocols::http2::Start;

std::string Frame(uint8_t type, uint8_t flags, uint8_t stream, std::string_view payload) {
  std::string out;
  for (int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  out += std::string(3, '\0') + static_cast<char>(stream);
  return out.append(payload);
}

// One side of a connection that is met in the middle, at a frame.
template <Side kSide>
class Http2 {
 public:
  Http2() {
    const std::string settings = Frame(4, 0, 0, "");
    connection_.Resync(kSide, base::AsBytes(settings), settings.size(), 0);
  }
  model::ParseState Feed(base::ByteView bytes) {
    model::ParseState state = connection_.Feed(kSide, bytes, &out_);
    Record();
    return state;
  }
  model::ParseState Gap(uint64_t n) {
    model::ParseState state = connection_.Gap(kSide, n, &out_);
    Record();
    return state;
  }
  bool Resync(base::ByteView next, uint64_t offset) {
    return connection_.Resync(kSide, next, next.size(), offset);
  }
  uint64_t offset() const { return connection_.offset(kSide); }

  static std::vector<std::string> Messages() {
    // What can come again and again comes first.
    std::vector<std::string> messages = {Frame(7, 0, 0, std::string(8, '\0') + "bye")};
    if (kSide == Side::kClient) {
      // GET / with an authority that is inserted into a table of 64 bytes; a POST with a body,
      // padding and priority.
      messages.push_back(Frame(1, 5, 1,
                               "\x3f\x21\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab"
                               "\x90\xf4\xff"));
      messages.push_back(Frame(1, 0x28, 3, std::string("\2\0\0\0\0\1\x83\x86\0\0", 10)) +
                         Frame(9, 4, 3, "\x84\xbe") + Frame(0, 1, 3, "hello"));
    } else {
      messages.push_back(Frame(1, 4, 1,
                               "\x3f\x21\x48\x03"
                               "103") +
                         Frame(1, 4, 1, "\x88") + Frame(0, 8, 1, std::string("\2ab\0\0", 5)) +
                         Frame(1, 5, 1,
                               std::string("\0\x0bgrpc-status\1"
                                           "0",
                                           15)));
      messages.push_back(Frame(1, 5, 3, "\x88"));
      messages.push_back(Frame(3, 0, 5, std::string(4, '\1')) + Frame(7, 0, 0, std::string(8, 1)));
    }
    return messages;
  }
  // A block, growth in steps of two, and the tables.
  static size_t MemoryLimit() { return 4 * protocols::http2::kMaxBlockBytes; }
  static std::string EndlessMessage() {
    std::string message = Frame(1, 0, 9, std::string(16000, '\x82'));
    while (message.size() <= 2 * MemoryLimit())
      message += Frame(9, 0, 9, std::string(4000, '\x82'));
    return message;
  }

  std::string events;
  bool is_recording = true;

 private:
  void Record() {
    for (const Event& event : out_.events) {
      if (!is_recording) break;
      for (uint64_t number :
           {uint64_t{static_cast<uint8_t>(event.kind)}, uint64_t{event.stream},
            uint64_t{event.value}, uint64_t{event.end_stream}, event.offset, event.end}) {
        events += std::to_string(number) + " ";
      }
      if (event.head != protocols::http2::kNoHead) {
        const Head& head = out_.heads[event.head];
        events += std::string(head.method) + " " + std::string(head.path) + " " +
                  std::string(head.authority) + " " + std::to_string(head.status) + " " +
                  std::string(head.grpc_status) + " " + std::to_string(head.unknown_fields);
      }
      events += "\n";
    }
    out_.clear();
  }

  Connection connection_{Start::kJoined};
  protocols::http2::Output out_;
};

using Http2Client = Http2<Side::kClient>;
using Http2Server = Http2<Side::kServer>;

}  // namespace

INSTANTIATE_TYPED_TEST_SUITE_P(Http2Client, ParserContract, Http2Client);
INSTANTIATE_TYPED_TEST_SUITE_P(Http2Server, ParserContract, Http2Server);

}  // namespace weft::contract
