// Stories about HTTP/2 connections: streams, gRPC, resets, what is unknown on a connection that was
// joined in the middle, and bounds.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "normalize/conversation.h"
#include "normalize/http2_pairing.h"
#include "normalize/http2_speaker.h"

namespace weft::normalize {
namespace {

using model::Role;
using model::WireProtocol;

// A connection that has been opened: preface and SETTINGS of both sides.
class Talk : public Conversation {
 public:
  explicit Talk(Agent& agent, Role end = Role::kServer, bool joined = false,
                model::ConnectionId id = 1)
      : Conversation(agent, end, joined, id) {
    protocol = WireProtocol::kHttp2;
  }
  Talk& Greet() {
    Client(std::string(kPreface) + Speaker::Settings());
    Server(Speaker::Settings() + Speaker::SettingsAck());
    Client(Speaker::SettingsAck());
    return *this;
  }
  Speaker client, server;
};

std::string Parent(int n) {
  char text[64];
  std::snprintf(text, sizeof text, "00-%032x-%016x-01", n + 1, n + 1);
  return text;
}

TEST(Http2, OneStreamIsOneExchange) {
  Agent agent;
  Talk talk(agent);
  talk.Greet();
  const uint64_t start = agent.clock.ToUnixNs(talk.now_ns());
  talk.thread = 33;
  const std::string request = talk.client.Headers(1, Get("/a?q=secret", {{"user-agent", "u/1"}}));
  talk.Client(request);
  EXPECT_EQ(agent.Opened(), "GET /a -");
  talk.Client(Speaker::Data(1, "body", true));
  const std::string response = talk.server.Headers(1, kStatusOk);
  talk.Server(response);
  EXPECT_EQ(agent.Finished(), "");
  talk.Server(Speaker::Data(1, "x")).Server(Speaker::Data(1, "yz", true));
  ASSERT_EQ(agent.Finished(), "GET /a 200");
  const model::Span& span = agent.spans.finished[0];
  EXPECT_EQ(span.exchange_id, agent.spans.opened[0].exchange_id);
  EXPECT_EQ(span.request_first_ns - start, 1 * kMillisecond);
  EXPECT_EQ(span.request_last_ns - start, 2 * kMillisecond);
  EXPECT_EQ(span.response_first_ns - start, 3 * kMillisecond);
  EXPECT_EQ(span.response_last_ns - start, 5 * kMillisecond);
  EXPECT_EQ(span.request_bytes, request.size() + 9 + 4);
  EXPECT_EQ(span.response_bytes, response.size() + 9 + 1 + 9 + 2);
  EXPECT_EQ(span.thread, 33u);
  EXPECT_EQ(span.process->key.pid, 7u);
  EXPECT_EQ(span.role, Role::kServer);
  EXPECT_EQ(span.stream_id, 1u);
  EXPECT_EQ(span.client.port, 4711);
  EXPECT_EQ(span.name, "GET");
  EXPECT_EQ(Text(span, "http.request.method"), "GET");
  EXPECT_EQ(Text(span, "url.path"), "/a");
  EXPECT_EQ(Text(span, "url.query"), "q=REDACTED");
  EXPECT_EQ(Text(span, "url.scheme"), "http");
  EXPECT_EQ(Text(span, "server.address"), "shop.test");
  EXPECT_EQ(Text(span, "user_agent.original"), "u/1");
  EXPECT_EQ(Text(span, "network.protocol.version"), "2");
  EXPECT_EQ(Text(span, "http.response.status_code"), "200");
  EXPECT_EQ(Text(span, "rpc.system.name"), "(none)");
}

TEST(Http2, HundredStreamsInFlightAreHundredExchangesWithTheirOwnContexts) {
  Agent agent;
  Talk server(agent, Role::kServer, false, 1), client(agent, Role::kClient, false, 2);
  server.Greet(), client.Greet();
  constexpr int kStreams = 100;
  std::string requests, responses;
  for (int i = 0; i < kStreams; ++i) {
    requests +=
        server.client.Headers(static_cast<uint32_t>(2 * i + 1),
                              Get("/" + std::to_string(i), {{"traceparent", Parent(i)}}), true);
  }
  for (int i = kStreams - 1; i >= 0; --i) {
    responses += server.server.Headers(static_cast<uint32_t>(2 * i + 1), kStatusOk);
  }
  // One call at one end, two calls at the other: in the middle of a frame.
  client.Client(requests);
  server.Client(requests.substr(0, 1000)).Client(requests.substr(1000));
  EXPECT_EQ(agent.spans.opened.size(), 2u * kStreams);
  server.Server(responses), client.Server(responses);
  std::string ends;
  for (int i = 0; i < kStreams; ++i) {
    ends += Speaker::Data(static_cast<uint32_t>((i * 37 % kStreams) * 2 + 1), "", true);
  }
  server.Server(ends), client.Server(ends);
  ASSERT_EQ(agent.spans.finished.size(), 2u * kStreams);
  std::set<std::tuple<uint32_t, uint32_t>> keys[2];
  for (const model::Span& span : agent.spans.finished) {
    const int i = static_cast<int>(span.stream_id / 2);
    EXPECT_EQ(span.target, "/" + std::to_string(i));
    ASSERT_TRUE(span.context);
    EXPECT_EQ("00-" + span.context->trace_id.Hex() + "-" + span.context->span_id.Hex() + "-01",
              Parent(i));
    keys[static_cast<size_t>(span.role)].insert({span.request_sequence, span.stream_id});
  }
  EXPECT_EQ(keys[0].size(), 1u * kStreams);
  EXPECT_EQ(keys[0], keys[1]);
}

TEST(Http2, CallEndsAtItsTrailersAndNotAtTheFirstResponse) {  // T60
  Agent agent;
  Talk talk(agent);
  talk.Greet();
  const uint64_t start = agent.clock.ToUnixNs(talk.now_ns());
  talk.Client(talk.client.Headers(1, Call("/shop.Cart/Watch")) +
              Speaker::Data(1, Speaker::Message(5), true));
  talk.Server(talk.server.Headers(1, kCallAccepted) + Speaker::Data(1, Speaker::Message(3)));
  talk.Wait(500 * kMillisecond);
  talk.Server(Speaker::Data(1, Speaker::Message(4) + Speaker::Message(0)));
  EXPECT_EQ(agent.Finished(), "");
  talk.Server(talk.server.Headers(1, Trailers(0), true));
  ASSERT_EQ(agent.spans.finished.size(), 1u);
  const model::Span& span = agent.spans.finished[0];
  EXPECT_EQ(span.name, "shop.Cart/Watch");
  EXPECT_EQ(Text(span, "rpc.system.name"), "grpc");
  EXPECT_EQ(Text(span, "rpc.method"), "shop.Cart/Watch");
  EXPECT_EQ(Text(span, "rpc.response.status_code"), "OK");
  EXPECT_EQ(Text(span, "server.address"), "shop.test");
  EXPECT_EQ(Text(span, "server.port"), "8080");
  EXPECT_EQ(Text(span, "network.peer.port"), "4711");
  EXPECT_EQ(Text(span, "http.request.method"), "(none)");
  EXPECT_EQ(Text(span, "error.type"), "(none)");
  EXPECT_FALSE(span.is_error);
  EXPECT_EQ(span.request_messages, 1u);
  EXPECT_EQ(span.response_messages, 3u);
  EXPECT_EQ(span.response_first_ns - start, 2 * kMillisecond);
  EXPECT_EQ(span.response_last_ns - start, 504 * kMillisecond);
}

TEST(Http2, TrailersOnlyResponseIsTheWholeAnswer) {  // T57
  for (const auto& [status, text, at_server, at_client] :
       {std::tuple{5, "NOT_FOUND", false, true}, std::tuple{13, "INTERNAL", true, true},
        std::tuple{99, "UNKNOWN", true, true}, std::tuple{0, "OK", false, false}}) {
    for (Role end : {Role::kServer, Role::kClient}) {
      Agent agent;
      Talk talk(agent, end);
      talk.Greet();
      Fields fields = kCallAccepted;
      fields.push_back({"grpc-status", std::to_string(status)});
      talk.Client(talk.client.Headers(1, Call("/shop.Cart/Get")) +
                  Speaker::Data(1, Speaker::Message(1), true));
      talk.Server(talk.server.Headers(1, fields, true));
      ASSERT_EQ(agent.spans.finished.size(), 1u);
      const model::Span& span = agent.spans.finished[0];
      const bool is_error = end == Role::kServer ? at_server : at_client;
      EXPECT_EQ(Text(span, "rpc.response.status_code"), text);
      EXPECT_EQ(span.is_error, is_error) << text;
      EXPECT_EQ(Text(span, "error.type"), is_error ? text : "(none)");
    }
  }
}

TEST(Http2, ResetEndsTheExchangeAndSaysWhoIsToBlame) {  // T55
  constexpr uint32_t kRefused = 7, kCancel = 8;
  struct Case {
    Role end;
    bool by_client;
    uint32_t code;
    const char *http, *grpc;  // error.type; "" = no error
  };
  for (const Case& c : {Case{Role::kServer, true, kCancel, "", ""},
                        Case{Role::kClient, true, kCancel, "CANCEL", "CANCELLED"},
                        Case{Role::kClient, false, kRefused, "REFUSED_STREAM", "UNAVAILABLE"},
                        Case{Role::kServer, false, 2, "INTERNAL_ERROR", "INTERNAL"}}) {
    Agent agent;
    Talk talk(agent, c.end);
    talk.Greet();
    talk.Client(talk.client.Headers(1, Get("/a"), true) +
                talk.client.Headers(3, Call("/shop.Cart/Get")));
    const std::string resets = Speaker::Reset(1, c.code) + Speaker::Reset(3, c.code);
    c.by_client ? talk.Client(resets) : talk.Server(resets);
    ASSERT_EQ(agent.spans.finished.size(), 2u);
    for (const model::Span& span : agent.spans.finished) {
      const std::string expected = span.stream_id == 1 ? c.http : c.grpc;
      EXPECT_EQ(span.is_error, !expected.empty());
      EXPECT_EQ(Text(span, "error.type"), expected.empty() ? "(none)" : expected);
      EXPECT_GT(span.cut_ns, span.request_last_ns);
    }
    // Nothing comes of what is over.
    talk.Server(talk.server.Headers(1, kStatusOk, true));
    agent.Tick(), agent.Tick();
    EXPECT_EQ(agent.spans.finished.size(), 2u);
  }
}

TEST(Http2, ResetBehindTheEndIsNothing) {
  Agent agent;
  Talk talk(agent);
  talk.Greet();
  talk.Client(talk.client.Headers(1, Get("/a")));
  talk.Server(talk.server.Headers(1, kStatusOk, true) + Speaker::Reset(1, 0));
  ASSERT_EQ(agent.Finished(), "GET /a 200");
  EXPECT_FALSE(agent.spans.finished[0].is_error);
  EXPECT_EQ(agent.spans.finished[0].cut_ns, 0u);
}

TEST(Http2, GoAwayEndsWhatTheServerWillNotAnswer) {  // T55
  Agent agent;
  Talk talk(agent, Role::kClient);
  talk.Greet();
  talk.Client(talk.client.Headers(1, Get("/a"), true) + talk.client.Headers(3, Get("/b"), true) +
              talk.client.Headers(5, Call("/shop.Cart/Get"), true));
  talk.Server(Speaker::GoAway(1, 0));
  ASSERT_EQ(agent.spans.finished.size(), 2u);
  for (const model::Span& span : agent.spans.finished) {
    EXPECT_TRUE(span.is_error);
    EXPECT_EQ(Text(span, "error.type"), span.stream_id == 3 ? "REFUSED_STREAM" : "UNAVAILABLE");
  }
  talk.Server(talk.server.Headers(1, kStatusOk, true));
  EXPECT_EQ(agent.spans.finished.back().status_code, 200);
}

TEST(Http2, ServerKilledInMidRequestLeavesErrors) {
  for (Role end : {Role::kServer, Role::kClient}) {
    Agent agent;
    Talk talk(agent, end);
    talk.Greet();
    talk.Client(talk.client.Headers(1, Get("/a"), true) +
                talk.client.Headers(3, Call("/shop.Cart/Get"), true));
    talk.Server(talk.server.Headers(1, kStatusOk) + Speaker::Data(1, "part"));
    talk.Closes();
    ASSERT_EQ(agent.spans.finished.size(), 2u);
    for (const model::Span& span : agent.spans.finished) {
      EXPECT_TRUE(span.is_error);
      const bool is_client_call = span.stream_id == 3 && end == Role::kClient;
      EXPECT_EQ(Text(span, "error.type"), is_client_call ? "UNAVAILABLE" : "connection_closed");
      EXPECT_GT(span.cut_ns, std::max(span.request_last_ns, span.response_last_ns));
    }
  }
}

TEST(Http2, ClientThatClosesItsHalfStillGetsItsAnswer) {
  Agent agent;
  Talk talk(agent);
  talk.Greet();
  talk.Client(talk.client.Headers(1, Get("/a"), true)).ClientEnds();
  talk.Server(talk.server.Headers(1, kStatusOk, true));
  EXPECT_EQ(agent.Finished(), "GET /a 200");
}

TEST(Http2, InterimResponsesAndServerPushAreNoExchanges) {  // T57, T61
  Agent agent;
  Talk talk(agent);
  talk.Greet();
  talk.Client(talk.client.Headers(1, Get("/a")));
  talk.Server(talk.server.Headers(1, {{":status", "103"}}));
  talk.Server(Frame(5, 4, 1, Number(2) + talk.server.Block(Get("/style.css"))));
  talk.Server(talk.server.Headers(2, kStatusOk, true) + talk.server.Headers(1, kStatusOk, true));
  EXPECT_EQ(agent.Finished(), "GET /a 200");
  agent.Tick();
  EXPECT_EQ(agent.Metric("weft_normalize_orphan_responses_total"), 0);
}

TEST(Http2, EveryCutOfTheBytesGivesTheSameSpans) {  // T47, T52
  Speaker client, server;
  const std::string request =
      std::string(kPreface) + Speaker::Settings() +
      client.Headers(1, Call("/shop.Cart/Get", {{"traceparent", Parent(1)}})) +
      Speaker::Data(1, Speaker::Message(5), true);
  const std::string response = Speaker::Settings() + server.Headers(1, kCallAccepted) +
                               Speaker::Data(1, Speaker::Message(5)) +
                               server.Headers(1, Trailers(0), true);
  for (size_t cut = 1; cut < request.size(); cut += 7) {
    Agent agent;
    Talk talk(agent);
    talk.Client(request.substr(0, cut)).Client(request.substr(cut));
    for (char c : response) talk.Server({&c, 1});
    ASSERT_EQ(agent.spans.finished.size(), 1u) << cut;
    const model::Span& span = agent.spans.finished[0];
    EXPECT_EQ(span.name, "shop.Cart/Get");
    EXPECT_TRUE(span.context);
    EXPECT_EQ(Text(span, "rpc.response.status_code"), "OK");
    EXPECT_EQ(span.request_sequence, 0xffff'fff0u + static_cast<uint32_t>(kPreface.size() + 9));
  }
}

TEST(Http2, BodyThatIsNotCopiedIsSkipped) {
  Agent agent;
  Talk talk(agent);
  talk.Greet();
  const std::string head = talk.client.Headers(1, Get("/a"));
  const std::string data = Speaker::Data(1, std::string(10'000, 'x'), true);
  talk.ClientCut(head + data.substr(0, 40), head.size() + data.size());
  talk.Server(talk.server.Headers(1, kStatusOk));
  const std::string answer = Speaker::Data(1, std::string(5'000, 'y'), true);
  talk.ServerCut(answer.substr(0, 9), answer.size());
  ASSERT_EQ(agent.Finished(), "GET /a 200");
  EXPECT_EQ(agent.spans.finished[0].request_bytes, head.size() + data.size());
}

TEST(Http2, SettingsOfTheServerMayComeBeforeThePreface) {  // T61
  Agent agent;
  Talk talk(agent);
  talk.Hold();
  talk.Server(Speaker::Settings());
  talk.Client(std::string(kPreface) + Speaker::Settings() +
              talk.client.Headers(1, Get("/a"), true));
  talk.Server(talk.server.Headers(1, kStatusOk, true));
  agent.Push(talk.Take());
  agent.Tick(), agent.Tick();
  EXPECT_EQ(agent.Finished(), "GET /a 200");
}

TEST(Http2, ResponseThatIsDrainedBeforeItsRequestIsJoinedWithIt) {
  Agent agent;
  Talk talk(agent);
  talk.Greet();
  talk.Hold();
  talk.Client(talk.client.Headers(1, Get("/a"), true));
  talk.Server(talk.server.Headers(1, kStatusOk, true));
  auto calls = talk.Take();
  std::swap(calls[0], calls[1]);
  agent.Push(std::move(calls));
  EXPECT_EQ(agent.Finished(), "GET /a 200");
}

TEST(Http2, RequestThatComesSomeDrainsAfterItsResponseIsJoinedWithIt) {
  Agent agent;
  Talk talk(agent, Role::kClient);
  talk.Greet();
  talk.Server(talk.server.Headers(1, kStatusOk, true));
  for (int i = 0; i < 5; ++i) agent.Tick();
  talk.Client(talk.client.Headers(1, Get("/a"), true));
  EXPECT_EQ(agent.Finished(), "GET /a 200");
}

TEST(Http2, ResponseWithoutARequestIsCountedAndForgotten) {
  Agent agent;
  Talk talk(agent);
  talk.Greet();
  talk.Server(talk.server.Headers(7, kStatusOk, true));
  agent.Tick();
  talk.Wait(2'000 * kMillisecond);
  agent.Tick();
  EXPECT_EQ(agent.Metric("weft_normalize_orphan_responses_total"), 1);
  EXPECT_EQ(agent.Finished(), "");
}

// POST, an unknown entry, https, two unknown entries: what a client with a warm table sends.
std::string WarmRequest(uint32_t stream) { return Frame(1, 4, stream, "\x83\xc5\x87\xbe\xbf"); }

// T48: the header table is full of what weft never saw.
TEST(Http2, JoinedConnectionReportsOnlyWhatIsCertain) {
  for (Role end : {Role::kClient, Role::kServer}) {
    for (bool server_first : {false, true}) {
      Agent agent;
      Talk talk(agent, end, true);
      if (server_first) talk.Server(talk.server.Headers(1, kStatusOk));
      talk.Client(WarmRequest(3) + Speaker::Data(3, Speaker::Message(1), true));
      talk.Server(talk.server.Headers(3, kCallAccepted) + Speaker::Data(3, Speaker::Message(1)));
      talk.Server(talk.server.Headers(3, Trailers(0), true));
      talk.Client(talk.client.Headers(5, Get("/new")));
      talk.Server(talk.server.Headers(5, kStatusOk, true));
      ASSERT_EQ(agent.spans.finished.size(), 2u) << server_first;
      const model::Span& call = agent.spans.finished[0];
      EXPECT_EQ(call.role, end);
      EXPECT_EQ(call.target, "");
      EXPECT_EQ(call.name, "grpc");  // its status said that
      EXPECT_EQ(Text(call, "rpc.method"), "(none)");
      EXPECT_EQ(Text(call, "rpc.response.status_code"), "OK");
      EXPECT_EQ(Text(call, "url.full"), "(none)");
      const model::Span& get = agent.spans.finished[1];
      EXPECT_EQ(get.target, "/new");
      EXPECT_EQ(get.name, "GET");
    }
  }
}

TEST(Http2, JoinedConnectionWithUnknownFieldsIsNamedByWhatIsKnown) {
  for (bool has_method : {false, true}) {
    Agent agent;
    Talk talk(agent, Role::kServer, true);
    talk.Client(has_method ? Frame(1, 5, 3, "\x82\xc5\x86\xbe")
                           : Frame(1, 5, 3, "\xc5\x86\xc6\xbe"));
    talk.Server(talk.server.Headers(3, {{":status", "404"}}, true));
    ASSERT_EQ(agent.spans.finished.size(), 1u);
    const model::Span& span = agent.spans.finished[0];
    EXPECT_EQ(span.name, has_method ? "GET" : "HTTP");
    EXPECT_EQ(span.role, Role::kServer);
    EXPECT_EQ(Text(span, "http.request.method"), has_method ? "GET" : "(none)");
    EXPECT_EQ(Text(span, "url.path"), "(none)");
    EXPECT_EQ(Text(span, "http.response.status_code"), "404");
  }
}

TEST(Http2, UnreadableRequestToACollectorsPortIsTakenForAnExport) {
  Agent agent;
  Talk talk(agent, Role::kClient, true);
  talk.SetServerPort(4317);
  talk.Client(WarmRequest(3));
  EXPECT_EQ(agent.Opened(), "");
  EXPECT_EQ(agent.Metric("weft_normalize_telemetry_exports_total"), 1);
}

TEST(Http2, LostBytesOfTheServerLeaveNoWrongStatus) {
  Agent agent;
  Talk talk(agent);
  talk.Greet();
  talk.Client(talk.client.Headers(1, Get("/a"), true));
  talk.ServerLost(40);
  talk.Client(talk.client.Headers(3, Get("/b"), true));
  agent.Tick(), agent.Tick();
  talk.Server(talk.server.Headers(3, kStatusOk, true));
  agent.Tick(), agent.Tick();
  talk.Closes();
  ASSERT_EQ(agent.spans.finished.size(), 2u);
  EXPECT_EQ(agent.Finished(), "GET /b 200; GET /a -");
  EXPECT_FALSE(agent.spans.finished[1].is_error);
}

// The server cannot be read, and its answer to what is asked now is among what nobody reads.
TEST(Http2, RequestWhoseAnswerGoesUnreadIsNoError) {
  for (const bool joined : {false, true}) {
    for (const bool closes : {false, true}) {
      Agent agent;
      Talk talk(agent, Role::kClient, joined);
      if (!joined) {
        talk.Greet().ServerLost(40);
        talk.Server("no frame");
        agent.Tick(), agent.Tick();
      }
      talk.Client(talk.client.Headers(3, Call("/shop.Cart/Get"), true));
      // A frame that reaches beyond its call, twice: nothing that is certainly one.
      const std::string answer = talk.server.Headers(3, kCallAccepted) +
                                 Speaker::Data(3, std::string(20'000, 'x')) +
                                 talk.server.Headers(3, Trailers(0), true);
      talk.Server(answer.substr(0, 16'384)).Server(answer.substr(16'384));
      agent.Tick();
      EXPECT_EQ(agent.Finished(), "");
      if (closes) {
        talk.Closes();
      } else {
        talk.Wait(40'000 * kMillisecond);
        agent.Tick();
      }
      ASSERT_EQ(agent.Finished(), "POST /shop.Cart/Get -") << joined << closes;
      EXPECT_FALSE(agent.spans.finished[0].is_error);
    }
  }
}

TEST(Http2, ResetAmongLostBytesOfTheClientMakesNoError) {
  Agent agent;
  Talk talk(agent);
  talk.Greet();
  talk.Client(talk.client.Headers(1, Get("/a"), true)).ClientLost(13);
  talk.Client(talk.client.Headers(3, Get("/b"), true));
  agent.Tick(), agent.Tick();
  talk.Server(talk.server.Headers(3, kStatusOk, true));
  talk.Closes();
  ASSERT_EQ(agent.Finished(), "GET /b 200; GET /a -");
  EXPECT_FALSE(agent.spans.finished[1].is_error);
}

TEST(Http2, StreamThatIsHeardOfAfterALossIsNotDoubtful) {
  Agent agent;
  Talk talk(agent);
  talk.Greet();
  talk.Client(talk.client.Headers(1, Get("/a"), true)).ServerLost(40);
  talk.Server(talk.server.Headers(1, kStatusOk));
  agent.Tick(), agent.Tick();
  talk.Wait(40'000 * kMillisecond);
  agent.Tick();
  EXPECT_EQ(agent.Finished(), "");
  talk.Closes();
  ASSERT_EQ(agent.Finished(), "GET /a 200");
  EXPECT_TRUE(agent.spans.finished[0].is_error);
}

TEST(Http2, UpgradedConnectionNeedsNoWatch) {
  Agent agent;
  const Options options;
  const Deps deps{agent.clock, agent.ledger, agent.metrics, agent.spans, {}};
  Shared shared(options, deps);
  const model::Connection identity;
  Http2Pairing pairing(shared, identity, {protocols::http2::Start::kUpgraded});
  pairing.Adopt(Upgrade{0, 0, model::Span{}});
  EXPECT_FALSE(pairing.needs_watch());
}

TEST(Http2, UpgradeFromHttp1AnswersTheRequestAsStreamOne) {  // T61
  for (Role end : {Role::kServer, Role::kClient}) {
    Agent agent;
    Talk talk(agent, end);
    talk.protocol = WireProtocol::kHttp1;
    talk.Client(
        "GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n");
    talk.Server("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" +
                Speaker::Settings());
    EXPECT_EQ(agent.Finished(), "");
    talk.Client(std::string(kPreface) + Speaker::Settings());
    talk.Server(talk.server.Headers(1, kStatusOk) + Speaker::Data(1, "hello", true));
    ASSERT_EQ(agent.Finished(), "GET /up 200");
    talk.Client(talk.client.Headers(3, Get("/next"), true));
    talk.Server(talk.server.Headers(3, {{":status", "404"}}, true));
    EXPECT_EQ(agent.Finished(), "GET /up 200; GET /next 404");
  }
}

TEST(Http2, PrefaceIsRecognisedWhateverTheKernelTookItFor) {
  Agent agent;
  Talk talk(agent);
  talk.protocol = WireProtocol::kHttp1;
  talk.Client(std::string(kPreface) + Speaker::Settings() +
              talk.client.Headers(1, Get("/a"), true));
  talk.Server(Speaker::Settings() + talk.server.Headers(1, kStatusOk, true));
  EXPECT_EQ(agent.Finished(), "GET /a 200");
}

TEST(Http2, PrefaceFollowedByAnotherProtocolGivesNothing) {
  Agent agent;
  Talk talk(agent);
  talk.Client(std::string(kPreface) + std::string("\0\1\0\1\0\0\0\1\0\0\0\0yamux", 17));
  for (int i = 0; i < 20; ++i) talk.Client(std::string(200, static_cast<char>(i)));
  talk.Server(std::string("\0\1\0\2\0\0\0\1\0\0\0\0", 12));
  EXPECT_EQ(agent.Opened(), "");
}

TEST(Http2, ExportsOfTelemetryMakeNoSpans) {
  for (const char* path : {"/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                           "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
                           "/jaeger.api_v2.CollectorService/PostSpans"}) {
    Agent agent;
    Talk talk(agent);
    talk.Greet();
    talk.Client(talk.client.Headers(1, Call(path)) + Speaker::Data(1, Speaker::Message(9), true));
    talk.Server(talk.server.Headers(1, kCallAccepted) + talk.server.Headers(1, Trailers(0), true));
    EXPECT_EQ(agent.Opened(), "") << path;
    EXPECT_EQ(agent.Metric("weft_normalize_telemetry_exports_total"), 1);
  }
  Agent agent;
  Talk talk(agent);
  talk.Greet();
  Fields otlp = {{":method", "POST"},
                 {":path", "/v1/traces"},
                 {":scheme", "http"},
                 {":authority", "c"},
                 {"content-type", "application/x-protobuf"}};
  talk.Client(talk.client.Headers(1, otlp));
  EXPECT_EQ(agent.Opened(), "");
}

TEST(Http2, PlaintextOfTlsIsHttpsAndItsKeyIsTheStream) {
  Agent agent;
  Talk talk(agent, Role::kClient);
  talk.is_tls = true;
  talk.Greet();
  talk.Client(talk.client.Headers(1, Get("/a"), true));
  talk.Server(talk.server.Headers(1, kStatusOk, true));
  ASSERT_EQ(agent.Finished(), "GET /a 200");
  const model::Span& span = agent.spans.finished[0];
  EXPECT_TRUE(span.is_tls);
  EXPECT_EQ(span.request_sequence, 0u);
  EXPECT_EQ(span.stream_id, 1u);
  EXPECT_EQ(Text(span, "url.full"), "https://shop.test:8080/a");
}

TEST(Http2, StreamsAreBoundedOverAllConnections) {
  Options options;
  options.max_streams = 16;
  Agent agent(options);
  Talk one(agent, Role::kServer, false, 1), two(agent, Role::kServer, false, 2);
  one.Greet(), two.Greet();
  for (uint32_t i = 0; i < 16; ++i) {
    Talk& talk = i % 2 == 0 ? one : two;
    talk.Client(talk.client.Headers(2 * i + 1, Get("/" + std::to_string(i)), true));
  }
  EXPECT_EQ(agent.Finished(), "");
  one.Client(one.client.Headers(101, Get("/more"), true));
  EXPECT_EQ(agent.Finished(), "GET /0 -");
  EXPECT_EQ(agent.Metric("weft_normalize_streams_evicted_total"), 1);
  one.Server(one.server.Headers(101, kStatusOk, true));
  EXPECT_EQ(agent.Finished(), "GET /0 -; GET /more 200");
}

TEST(Http2, HeaderTablesAreBoundedOverAllConnections) {
  Options options;
  options.http2_table_bytes = 1;  // every other connection is too much
  Agent agent(options);
  Talk one(agent, Role::kServer, false, 1), two(agent, Role::kServer, false, 2);
  one.Greet();
  one.Client(one.client.Headers(1, Get("/a"), true));
  two.Greet();
  EXPECT_GT(agent.Metric("weft_normalize_header_tables_evicted_total"), 0);
}

TEST(Http2, SecretsOfHeadersNeverEnter) {  // F58
  Agent agent;
  Talk talk(agent);
  talk.Greet();
  talk.Client(talk.client.Headers(
      1, Get("/a?token=canary", {{"authorization", "canary"}, {"cookie", "canary"}}), true));
  talk.Server(talk.server.Headers(1, {{":status", "200"}, {"set-cookie", "canary"}}, true));
  ASSERT_EQ(agent.Finished(), "GET /a 200");
  const model::Span& span = agent.spans.finished[0];
  for (size_t i = 0; i < span.attributes.size(); ++i) {
    const auto value = span.attributes.value(i);
    if (const auto* text = std::get_if<std::string_view>(&value)) {
      EXPECT_EQ(text->find("canary"), std::string_view::npos) << *text;
    }
  }
}

// Losses and races at random: the books balance, and what has a status has the right one.
TEST(Http2, RandomLossesNeverGiveAWrongAnswer) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    Agent agent;
    Talk talk(agent, seed % 2 == 0 ? Role::kServer : Role::kClient, seed % 3 == 0);
    talk.Hold();
    if (seed % 3 != 0) talk.Greet();
    std::vector<uint32_t> open;
    uint32_t next = 1;
    for (int i = 0; i < 60; ++i) {
      if (open.empty() || random() % 2 == 0) {
        talk.Client(talk.client.Headers(next, Get("/" + std::to_string(next)), true));
        open.push_back(next);
        next += 2;
      } else {
        const size_t pick = random() % open.size();
        const uint32_t stream = open[pick];
        open.erase(open.begin() + static_cast<ptrdiff_t>(pick));
        talk.Server(talk.server.Headers(stream, {{":status", std::to_string(200 + stream)}}, true));
      }
    }
    auto calls = talk.Take();
    std::erase_if(calls, [&](const model::Segment&) { return random() % 20 == 0; });
    for (size_t i = 1; i < calls.size(); ++i) {
      if (random() % 4 == 0) std::swap(calls[i - 1], calls[i]);
    }
    for (auto& call : calls) {
      agent.Push({std::move(call)});
    }
    for (int i = 0; i < 4; ++i) agent.Tick();
    for (const model::Span& span : agent.spans.finished) EXPECT_FALSE(span.is_error) << seed;
    talk.Closes();
    for (const model::Span& span : agent.spans.finished) {
      const bool is_right = span.status_code == 0 || span.status_code == 200 + span.stream_id;
      EXPECT_TRUE(is_right) << seed << ": " << span.status_code << " on " << span.stream_id;
      if (!span.target.empty()) {
        EXPECT_EQ(span.target, "/" + std::to_string(span.stream_id)) << seed;
      }
    }
  }
}

}  // namespace
}  // namespace weft::normalize
