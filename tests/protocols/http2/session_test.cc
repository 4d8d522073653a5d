// Conversations of two nghttp2 sessions: their callbacks are the independent truth of what was
// said.
#include <map>
#include <random>

#include "protocols/http2/wire.h"

namespace weft::protocols::http2 {
namespace {

using namespace testing;  // NOLINT: Reader
constexpr Side kC = Side::kClient, kS = Side::kServer;

struct Said {
  Side side;
  std::string bytes;
};

nghttp2_nv Nv(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

// A client that sends `streams` requests at once, and a server that answers each with an
// informational head, a final one, a body and trailers, in an order that chance decides.
class Conversation {
 public:
  Conversation(unsigned seed, int streams) : random_(seed) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, OnFrame);
    nghttp2_session_callbacks_set_select_padding_callback(callbacks, Pad);
    nghttp2_session_client_new(&client_, callbacks, this);
    nghttp2_session_server_new(&server_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry client_settings[] = {
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, static_cast<uint32_t>(random_() % 8192)}};
    const nghttp2_settings_entry server_settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000},
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, static_cast<uint32_t>(random_() % 8192)}};
    nghttp2_submit_settings(client_, NGHTTP2_FLAG_NONE, client_settings, 1);
    nghttp2_submit_settings(server_, NGHTTP2_FLAG_NONE, server_settings, 2);
    for (int i = 0; i < streams; ++i) Request(i);
    Run();
  }
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;
  ~Conversation() {
    nghttp2_session_del(client_);
    nghttp2_session_del(server_);
  }

  std::vector<Said> said;
  std::map<uint32_t, std::string> path, status;  // by stream
  std::map<uint32_t, uint64_t> sent[2], resets;

 private:
  struct Body {
    uint64_t left;
    bool has_trailers;
    Conversation* conversation;
    bool is_server;
  };

  static ssize_t Pad(nghttp2_session*, const nghttp2_frame* frame, size_t max, void* self) {
    auto& random = static_cast<Conversation*>(self)->random_;
    if (random() % 4 != 0) return static_cast<ssize_t>(frame->hd.length);
    return static_cast<ssize_t>(std::min(max, frame->hd.length + random() % 50));
  }

  static ssize_t Read(nghttp2_session* session, int32_t stream, uint8_t* to, size_t max,
                      uint32_t* data_flags, nghttp2_data_source* source, void*) {
    auto* body = static_cast<Body*>(source->ptr);
    auto& self = *body->conversation;
    const size_t n = std::min<uint64_t>({max, body->left, 1 + self.random_() % 9000});
    for (size_t i = 0; i < n; ++i) to[i] = static_cast<uint8_t>(self.random_());
    body->left -= n;
    self.sent[body->is_server][static_cast<uint32_t>(stream)] += n;
    if (body->left == 0) {
      *data_flags |= NGHTTP2_DATA_FLAG_EOF;
      if (body->has_trailers) {
        *data_flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        nghttp2_nv trailer = Nv("grpc-status", "0");
        nghttp2_submit_trailer(session, stream, &trailer, 1);
      }
    }
    return static_cast<ssize_t>(n);
  }

  static int OnFrame(nghttp2_session* session, const nghttp2_frame* frame, void* data) {
    auto& self = *static_cast<Conversation*>(data);
    if (session == self.server_ && frame->hd.type == NGHTTP2_HEADERS &&
        frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      self.Answer(frame->hd.stream_id);
    }
    return 0;
  }

  void Request(int number) {
    const std::string path_text = "/item/" + std::to_string(number);
    const bool has_body = random_() % 2 != 0;
    const std::string trace = "00-" + std::to_string(random_());
    const std::string filler(random_() % 3 ? 3 : 20'000, 'f');
    const nghttp2_nv fields[] = {Nv(":method", has_body ? "POST" : "GET"),
                                 Nv(":scheme", "http"),
                                 Nv(":path", path_text),
                                 Nv(":authority", "shop"),
                                 Nv("traceparent", trace),
                                 Nv("x-filler", filler)};
    nghttp2_data_provider provider = MakeBody(random_() % 20'000, false, false);
    const int32_t id = nghttp2_submit_request(client_, nullptr, fields, 6,
                                              has_body ? &provider : nullptr, nullptr);
    ASSERT_GT(id, 0);
    path[static_cast<uint32_t>(id)] = path_text;
  }

  void Answer(int32_t id) {
    if (random_() % 10 == 0) {
      const uint32_t code = random_() % 10;
      nghttp2_submit_rst_stream(server_, NGHTTP2_FLAG_NONE, id, code);
      resets[static_cast<uint32_t>(id)] = code;
      return;
    }
    if (random_() % 3 == 0) {
      nghttp2_nv early = Nv(":status", "103");
      nghttp2_submit_headers(server_, NGHTTP2_FLAG_NONE, id, nullptr, &early, 1, nullptr);
    }
    const std::string text = std::to_string(400 + random_() % 200);  // may have a body
    const nghttp2_nv fields[] = {Nv(":status", text), Nv("content-type", "text/plain")};
    nghttp2_data_provider provider = MakeBody(random_() % 40'000, random_() % 2 != 0, true);
    nghttp2_submit_response(server_, id, fields, 2, &provider);
    status[static_cast<uint32_t>(id)] = text;
  }

  nghttp2_data_provider MakeBody(uint64_t size, bool has_trailers, bool is_server) {
    bodies_.push_back(std::make_unique<Body>(Body{size, has_trailers, this, is_server}));
    nghttp2_data_provider provider;
    provider.source.ptr = bodies_.back().get();
    provider.read_callback = Read;
    return provider;
  }

  void Run() {
    for (bool moved = true; moved;) {
      moved = false;
      for (Side side : {kC, kS}) {
        nghttp2_session* from = side == kC ? client_ : server_;
        nghttp2_session* to = side == kC ? server_ : client_;
        for (int i = 0; i < 1 + static_cast<int>(random_() % 5); ++i) {
          const uint8_t* bytes = nullptr;
          const ssize_t n = nghttp2_session_mem_send(from, &bytes);
          if (n <= 0) break;
          if (random_() % 10 == 0) nghttp2_submit_ping(from, NGHTTP2_FLAG_NONE, nullptr);
          said.push_back({side, {reinterpret_cast<const char*>(bytes), static_cast<size_t>(n)}});
          ASSERT_EQ(nghttp2_session_mem_recv(to, bytes, static_cast<size_t>(n)), n);
          moved = true;
        }
      }
    }
  }

  std::mt19937 random_;
  nghttp2_session* client_ = nullptr;
  nghttp2_session* server_ = nullptr;
  std::vector<std::unique_ptr<Body>> bodies_;
};

std::string InPieces(const Conversation& conversation, size_t piece) {
  Reader reader;
  for (const Said& part : conversation.said) {
    for (size_t at = 0; at < part.bytes.size(); at += piece) {
      reader.Feed(part.side, std::string_view(part.bytes).substr(at, piece));
    }
  }
  return reader.All();
}

TEST(Http2Sessions, AHundredStreamsAtOnceAreToldExactly) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    Conversation truth(seed, 100);
    Connection connection(Start::kPreface);
    Output out;
    std::map<uint32_t, std::string> path, status;
    std::map<uint32_t, uint64_t> sent[2], resets;
    std::map<uint32_t, int> ends;
    for (const Said& part : truth.said) {
      ASSERT_EQ(
          connection.Feed(part.side, base::AsBytes(part.bytes), &out) == model::ParseState::kBad,
          false);
      for (const Event& event : out.events) {
        const bool is_server = event.side == kS;
        if (event.kind == EventKind::kRequest) path[event.stream] = out.heads[event.head].path;
        if (event.kind == EventKind::kResponse)
          status[event.stream] = std::to_string(out.heads[event.head].status);
        if (event.kind == EventKind::kData) sent[is_server][event.stream] += event.value;
        if (event.kind == EventKind::kReset && is_server) resets[event.stream] = event.value;
        if (is_server && event.end_stream) ++ends[event.stream];
      }
      out.clear();
    }
    EXPECT_EQ(path, truth.path);
    EXPECT_EQ(status, truth.status);
    EXPECT_EQ(resets, truth.resets);
    for (const auto& [id, bytes] : truth.sent[1]) EXPECT_EQ(sent[1][id], bytes) << id;
    for (const auto& [id, bytes] : truth.sent[0]) {
      if (!truth.resets.contains(id)) {
        EXPECT_EQ(sent[0][id], bytes) << id;
      }
    }
    EXPECT_EQ(ends.size(), 100u);
    for (const auto& [id, count] : ends) EXPECT_EQ(count, 1) << id;
    EXPECT_EQ(connection.open_streams(), 0u);
  }
}

TEST(Http2Sessions, AnySplitGivesTheSameEvents) {  // T47, T52
  Conversation conversation(7, 20);
  const std::string whole = InPieces(conversation, SIZE_MAX / 2);
  ASSERT_FALSE(whole.empty());
  for (size_t piece : {1, 2, 3, 7, 9, 10, 100, 1000, 16393}) {
    ASSERT_EQ(InPieces(conversation, piece), whole) << piece;
  }
}

TEST(Http2Sessions, PayloadsOfDataNeedNotBeCaptured) {  // as the kernel side does it
  for (unsigned seed = 0; seed < 10; ++seed) {
    Conversation conversation(seed, 30);
    Reader reader;
    std::mt19937 random(seed);
    for (const Said& part : conversation.said) {
      // Every call carries whole frames here: skip what belongs to DATA.
      std::string_view bytes = part.bytes;
      if (bytes.starts_with(kClientPreface)) {
        reader.Feed(part.side, bytes.substr(0, kPrefaceBytes));
        bytes.remove_prefix(kPrefaceBytes);
      }
      while (!bytes.empty()) {
        const FrameHeader frame = ReadFrameHeader(reinterpret_cast<const uint8_t*>(bytes.data()));
        const bool is_data = frame.type == FrameType::kData;
        // The pad length is payload too; without it the length is an upper bound.
        const size_t kept =
            kFrameHeaderBytes + (is_data ? frame.Has(flags::kPadded) : frame.length);
        reader.Feed(part.side, bytes.substr(0, kept));
        const size_t rest = kFrameHeaderBytes + frame.length - kept;
        const size_t first = rest == 0 ? 0 : random() % rest;
        if (first > 0) reader.Gap(part.side, first);
        if (rest > first) reader.Gap(part.side, rest - first);
        bytes.remove_prefix(kept + rest);
      }
    }
    EXPECT_EQ(reader.All(), InPieces(conversation, SIZE_MAX / 2));
  }
}

TEST(Http2Sessions, JoinedAtAnyCallNothingWrongIsTold) {  // T47, T48
  size_t requests = 0, responses = 0;
  for (unsigned seed = 0; seed < 30; ++seed) {
    Conversation truth(seed, 60);
    Connection connection(Start::kJoined);
    Output out;
    for (size_t i = (seed * 7) % truth.said.size(); i < truth.said.size(); ++i) {
      const Said& part = truth.said[i];
      const base::ByteView bytes = base::AsBytes(part.bytes);
      if (connection.is_lost(part.side)) {
        connection.Resync(part.side, bytes, bytes.size(), connection.offset(part.side));
      }
      connection.Feed(part.side, bytes, &out);
      for (const Event& event : out.events) {
        if (event.head == kNoHead) continue;
        const Head& head = out.heads[event.head];
        if (event.kind == EventKind::kRequest) {
          ++requests;
          if (head.path.data() != nullptr) {
            EXPECT_EQ(head.path, truth.path[event.stream]);
          }
        }
        if (event.kind == EventKind::kResponse && head.status != 0) {
          ++responses;
          EXPECT_EQ(std::to_string(head.status), truth.status[event.stream]);
        }
      }
      out.clear();
    }
  }
  EXPECT_GT(requests, 500u);
  EXPECT_GT(responses, 500u);
}

}  // namespace
}  // namespace weft::protocols::http2
