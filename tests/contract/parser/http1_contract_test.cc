#include "contract/parser/parser_contract.h"
#include "protocols/http1/message_parser.h"

namespace weft::contract {
namespace {

using protocols::http1::EventKind;
using protocols::http1::GapCause;
using protocols::http1::Head;
using protocols::http1::MessageKind;
using protocols::http1::MessageParser;

template <MessageKind kKind>
class Http1 {
 public:
  model::ParseState Feed(base::ByteView bytes) {
    model::ParseState state = parser_.Feed(bytes, &out_);
    Record();
    return state;
  }
  model::ParseState Gap(uint64_t n) {
    model::ParseState state = parser_.Gap(n, GapCause::kTruncated, &out_);
    Record();
    return state;
  }
  bool Resync(base::ByteView next, uint64_t offset) { return parser_.Resync(next, offset); }
  uint64_t offset() const { return parser_.offset(); }

  static std::vector<std::string> Messages() {
    if (kKind == MessageKind::kRequest) {
      return {"GET /a?b=c HTTP/1.1\r\nHost: x\r\nTraceparent: 00-1\r\n\r\n",
              "POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello world",
              "PUT /c HTTP/1.0\nTransfer-Encoding: chunked\n\n5;e=1\r\nhello\r\n0\r\nT: 1\r\n\r\n"};
    }
    return {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 500\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"};
  }
  // Two heads, and growth in steps of two.
  static size_t MemoryLimit() { return 4 * protocols::http1::kMaxHeadBytes; }
  static std::string EndlessMessage() {
    std::string message = Messages()[0].substr(0, Messages()[0].find('\n') + 1);
    while (message.size() <= 2 * MemoryLimit()) message += "X-Field: value\r\n";
    return message;
  }

  std::string events;
  bool is_recording = true;

 private:
  void Record() {
    for (const protocols::http1::Event& event : out_.events) {
      if (!is_recording) break;
      events += std::to_string(event.offset);
      if (event.kind == EventKind::kEnd) {
        events += " end\n";
        continue;
      }
      const Head& head = out_.heads[event.head];
      events += " " + std::string(head.method) + " " + std::string(head.target) + " " +
                std::to_string(head.status) + " " + std::string(head.host) + " " +
                std::string(head.traceparent) + "\n";
    }
    out_.clear();
  }

  MessageParser parser_{kKind};
  protocols::http1::Output out_;
};

using Http1Requests = Http1<MessageKind::kRequest>;
using Http1Responses = Http1<MessageKind::kResponse>;

}  // namespace

INSTANTIATE_TYPED_TEST_SUITE_P(Http1Requests, ParserContract, Http1Requests);
INSTANTIATE_TYPED_TEST_SUITE_P(Http1Responses, ParserContract, Http1Responses);

}  // namespace weft::contract
