// Stories about requests and responses that arrive whole and in order.
#include <gtest/gtest.h>

#include "normalize/conversation.h"

namespace weft::normalize {
namespace {

TEST(Pairing, OneExchangeIsOpenedThenFinished) {
  Agent agent;
  Conversation talk(agent);
  talk.Client(kGetA);
  EXPECT_EQ(agent.Opened(), "GET /a -");
  EXPECT_EQ(agent.Finished(), "");
  talk.Server(kOk);
  ASSERT_EQ(agent.Finished(), "GET /a 200");
  EXPECT_EQ(agent.spans.opened[0].exchange_id, agent.spans.finished[0].exchange_id);
}

TEST(Pairing, TimesBytesAndIdentityComeFromTheKernel) {
  Agent agent;
  Conversation talk(agent, model::Role::kServer);
  const uint64_t start = agent.clock.ToUnixNs(talk.now_ns());
  talk.thread = 33;
  talk.Client("POST /up HTTP/1.1\r\nContent-Length: 4\r\n\r\n").Client("ab").Client("cd");
  talk.Server("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").Server("wxyz");
  ASSERT_EQ(agent.Finished(), "POST /up 200");
  const model::Span& span = agent.spans.finished[0];
  EXPECT_EQ(span.request_first_ns - start, 1 * kMillisecond);
  EXPECT_EQ(span.request_last_ns - start, 3 * kMillisecond);
  EXPECT_EQ(span.response_first_ns - start, 4 * kMillisecond);
  EXPECT_EQ(span.response_last_ns - start, 5 * kMillisecond);
  EXPECT_EQ(span.request_bytes, 40u + 4);
  EXPECT_EQ(span.response_bytes, 38u + 4);
  EXPECT_EQ(span.thread, 33u);
  EXPECT_EQ(span.process->key.pid, 7u);
  EXPECT_EQ(span.netns, 42u);
  EXPECT_EQ(span.role, model::Role::kServer);
  EXPECT_EQ(span.client.port, 4711);
  EXPECT_EQ(span.server.port, 8080);
  EXPECT_EQ(span.request_sequence, 0xffff'fff0u);
}

TEST(Pairing, BothEndsOfAConnectionAgree) {
  Agent agent;
  Conversation server(agent, model::Role::kServer, false, 1),
      client(agent, model::Role::kClient, false, 2);
  client.Client(kGetA), server.Client(kGetA), server.Server(kOk), client.Server(kOk);
  client.Client(kGetB), server.Client(kGetB), server.Server(kOk), client.Server(kOk);
  ASSERT_EQ(agent.spans.finished.size(), 4u);
  const model::Span &at_server = agent.spans.finished[2], &at_client = agent.spans.finished[3];
  EXPECT_EQ(at_server.role, model::Role::kServer);
  EXPECT_EQ(at_client.role, model::Role::kClient);
  EXPECT_EQ(at_server.client, at_client.client);
  EXPECT_EQ(at_server.request_sequence, at_client.request_sequence);
  EXPECT_EQ(at_server.request_sequence, static_cast<uint32_t>(0xffff'fff0u + kGetA.size()));
}

TEST(Pairing, HeadSplitAtEveryByteIsOneExchange) {  // T23
  for (size_t split = 1; split < kGetA.size(); ++split) {
    Agent agent;
    Conversation talk(agent);
    const uint64_t start = agent.clock.ToUnixNs(talk.now_ns());
    talk.Client(kGetA.substr(0, split)).Client(kGetA.substr(split)).Server(kOk);
    ASSERT_EQ(agent.Finished(), "GET /a 200") << split;
    EXPECT_EQ(agent.spans.finished[0].request_first_ns - start, 1 * kMillisecond);
    EXPECT_EQ(agent.spans.finished[0].request_last_ns - start, 2 * kMillisecond);
    EXPECT_EQ(agent.spans.finished[0].request_sequence, 0xffff'fff0u);
  }
  Agent agent;
  Conversation talk(agent);
  for (char c : kGetA) talk.Client({&c, 1});
  for (char c : kOk) talk.Server({&c, 1});
  EXPECT_EQ(agent.Finished(), "GET /a 200");
}

TEST(Pairing, PipelinedRequestsAreAnsweredInOrder) {  // T26
  Agent agent;
  Conversation talk(agent);
  talk.Client(std::string(kGetA) + std::string(kGetB))
      .Server(std::string(kOk) + std::string(kMissing));
  EXPECT_EQ(agent.Finished(), "GET /a 200; GET /b 404");
  EXPECT_EQ(agent.spans.finished[1].request_sequence,
            static_cast<uint32_t>(0xffff'fff0u + kGetA.size()));
}

TEST(Pairing, LongPipelineKeepsItsOrder) {  // T26
  Agent agent;
  Conversation talk(agent);
  std::string want;
  for (int i = 0; i < 300; ++i) {
    talk.Client("GET /" + std::to_string(i) + " HTTP/1.1\r\n\r\n");
    if (i >= 100) talk.Server(i % 2 == 0 ? kOk : kMissing);
    if (i >= 100)
      want += (i == 100 ? "GET /" : "; GET /") + std::to_string(i - 100) +
              (i % 2 == 0 ? " 200" : " 404");
  }
  EXPECT_EQ(agent.Finished(), want);
}

TEST(Pairing, ResponseBeforeTheRequestIsComplete) {  // T27
  Agent agent;
  Conversation talk(agent);
  talk.Client("POST /big HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc");
  talk.Server("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(agent.Finished(), "POST /big 413");
  talk.Client(std::string(500, 'x')).ServerEnds().Closes();
  EXPECT_EQ(agent.Finished(), "POST /big 413");
}

TEST(Pairing, RestOfABodyThatWasAnsweredEarlyIsNotTheNextRequest) {  // T27
  Agent agent;
  Conversation talk(agent);
  talk.Client("POST /big HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc").Server(kCreated);
  talk.Client("defghij" + std::string(kGetB)).Server(kOk);
  EXPECT_EQ(agent.Finished(), "POST /big 201; GET /b 200");
}

TEST(Pairing, HeadResponseWithContentLength) {  // T28
  Agent agent;
  Conversation talk(agent);
  talk.Client("HEAD /a HTTP/1.1\r\n\r\n").Server("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
  EXPECT_EQ(agent.Finished(), "HEAD /a 200");
  talk.Client(kGetB).Server(kOk);
  EXPECT_EQ(agent.Finished(), "HEAD /a 200; GET /b 200");
}

TEST(Pairing, NoContentWithContentLength) {  // T29
  Agent agent;
  Conversation talk(agent);
  talk.Client(kGetA).Server("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n").Client(kGetB);
  talk.Server("HTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\n\r\n").Client(kGetC).Server(kOk);
  EXPECT_EQ(agent.Finished(), "GET /a 204; GET /b 304; GET /c 200");
}

TEST(Pairing, ContinueIsNotTheResponse) {  // T30
  Agent agent;
  Conversation talk(agent);
  const uint64_t start = agent.clock.ToUnixNs(talk.now_ns());
  talk.Client("PUT /a HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  talk.Server("HTTP/1.1 100 Continue\r\n\r\n").Client("abc").Server(kOk);
  ASSERT_EQ(agent.Finished(), "PUT /a 200");
  EXPECT_EQ(agent.spans.finished[0].response_first_ns - start, 4 * kMillisecond);
  EXPECT_EQ(agent.spans.finished[0].request_last_ns - start, 3 * kMillisecond);
  EXPECT_EQ(agent.spans.finished[0].response_bytes, kOk.size());
}

TEST(Pairing, RefusedExpectationMayBeFollowedByTheNextRequest) {  // T30
  Agent agent;
  Conversation talk(agent);
  talk.Client("PUT /a HTTP/1.1\r\nContent-Length: 9000\r\nExpect: 100-continue\r\n\r\n");
  talk.Server("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n").Client(kGetB).Server(kOk);
  EXPECT_EQ(agent.Finished(), "PUT /a 417; GET /b 200");
}

TEST(Pairing, RefusedChunkedUploadMayBeFollowedByTheNextRequest) {  // T30
  Agent agent;
  Conversation talk(agent);
  talk.Client("PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
  talk.Server("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n").Client(kGetB).Server(kOk);
  EXPECT_EQ(agent.Finished(), "PUT /a 401; GET /b 200");
  // One that sends its body all the same.
  talk.Client("PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
  talk.Server(kMissing).Client("3\r\nabc\r\n0\r\n\r\n").Client(kGetB).Server(kOk);
  EXPECT_EQ(agent.Finished(), "PUT /a 401; GET /b 200; PUT /c 404; GET /b 200");
}

TEST(Pairing, ContinueWhoseFinalResponseNeverComes) {  // T30
  Agent agent;
  Conversation talk(agent);
  talk.Client("PUT /a HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  talk.Server("HTTP/1.1 100 Continue\r\n\r\n").Client("abc").Closes();
  ASSERT_EQ(agent.Finished(), "PUT /a -");
  EXPECT_TRUE(agent.spans.finished[0].is_error);
}

TEST(Pairing, EarlyHintsComeBeforeTheResponse) {  // T31
  Agent agent;
  Conversation talk(agent);
  talk.Client(kGetA).Server(
      "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Hints\r\nLink: </x>\r\n\r\n");
  talk.Server("HTTP/1.1 103 Hints\r\n\r\n").Server(kOk);
  EXPECT_EQ(agent.Finished(), "GET /a 200");
}

TEST(Pairing, UpgradeEndsTheSpanAndTheParsing) {  // T32
  Agent agent;
  Conversation talk(agent);
  talk.Client("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  talk.Server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
  EXPECT_EQ(agent.Finished(), "GET /ws 101");
  talk.Client(kGetB).Server(kOk).Closes();
  EXPECT_EQ(agent.Finished(), "GET /ws 101");
  EXPECT_EQ(agent.Metric("weft_normalize_upgrades_total"), 1);
}

TEST(Pairing, UpgradeWhoseHeadIsCutEndsTheSpanToo) {  // T32, T40
  for (const char* protocol : {"websocket", "h2c"}) {
    Agent agent;
    Conversation talk(agent);
    talk.Client("GET /ws HTTP/1.1\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
    talk.ServerCut("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " +
                       std::string(protocol) + "\r\nX-",
                   300);
    EXPECT_EQ(agent.Finished(), "GET /ws 101");
    talk.Client("\x82\x05").ServerCut("", 9000).Client(kGetB).Server(kOk).Closes();
    EXPECT_EQ(agent.Finished(), "GET /ws 101");
    EXPECT_EQ(agent.Metric("weft_normalize_upgrades_total"), 1);
  }
}

TEST(Pairing, ConnectTunnelIsOpaqueAndRefusalIsAnAnswer) {  // T33
  Agent agent;
  Conversation tunnel(agent, model::Role::kClient, false, 1);
  tunnel.Client("CONNECT h:443 HTTP/1.1\r\n\r\n")
      .Server("HTTP/1.1 200 OK\r\n\r\n")
      .Client(kGetA)
      .Server(kOk);
  EXPECT_EQ(agent.Finished(), "CONNECT h:443 200");
  Conversation refused(agent, model::Role::kClient, false, 2);
  refused.Client("CONNECT h:443 HTTP/1.1\r\n\r\n").Server(kMissing).Client(kGetA).Server(kOk);
  EXPECT_EQ(agent.Finished(), "CONNECT h:443 200; CONNECT h:443 404; GET /a 200");
}

TEST(Pairing, ResponseUntilCloseEndsWithItsLastByte) {  // T34
  for (bool by_fin : {true, false}) {
    Agent agent;
    Conversation talk(agent);
    const uint64_t start = agent.clock.ToUnixNs(talk.now_ns());
    talk.Client("GET /a HTTP/1.0\r\n\r\n")
        .Server("HTTP/1.0 200 OK\r\n\r\nfirst")
        .Server("last")
        .Wait(99 * kMillisecond);
    EXPECT_EQ(agent.Finished(), "");
    if (by_fin) talk.ServerEnds();
    if (!by_fin) talk.Closes();
    ASSERT_EQ(agent.Finished(), "GET /a 200");
    EXPECT_EQ(agent.spans.finished[0].response_last_ns - start, 3 * kMillisecond);
    EXPECT_EQ(agent.spans.finished[0].response_bytes, 19u + 9);
    EXPECT_FALSE(agent.spans.finished[0].is_error);
    EXPECT_EQ(agent.spans.finished[0].cut_ns, 0u);
  }
}

TEST(Pairing, ResetBeforeTheResponseIsAnError) {  // T34
  for (model::Role role : {model::Role::kServer, model::Role::kClient}) {
    Agent agent;
    Conversation talk(agent, role);
    talk.Client(kGetA).Closes();
    ASSERT_EQ(agent.Finished(), "GET /a -");
    EXPECT_TRUE(agent.spans.finished[0].is_error);
    EXPECT_EQ(Text(agent.spans.finished[0], "error.type"), "connection_closed");
    EXPECT_EQ(Text(agent.spans.finished[0], "http.response.status_code"), "(none)");
    EXPECT_EQ(agent.spans.finished[0].response_last_ns, 0u);
    EXPECT_GT(agent.spans.finished[0].cut_ns, agent.spans.finished[0].request_last_ns);
  }
}

// The close waits a pass for what may come late; weft stops before that.
TEST(Pairing, CloseThatStillWaitsWhenWeftStopsIsAClose) {
  Agent agent;
  Conversation talk(agent);
  talk.Client(kGetA).Hold();
  talk.Closes();
  agent.Push(talk.Take());
  EXPECT_EQ(agent.Finished(), "");
  agent.normalizer.Drain();
  ASSERT_EQ(agent.Finished(), "GET /a -");
  EXPECT_EQ(Text(agent.spans.finished[0], "error.type"), "connection_closed");
}

TEST(Pairing, BodyCutShortByTheEndIsAnError) {  // T34
  Agent agent;
  Conversation talk(agent, model::Role::kClient);
  talk.Client(kGetA).Server("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").Closes();
  ASSERT_EQ(agent.Finished(), "GET /a 200");
  EXPECT_EQ(Text(agent.spans.finished[0], "error.type"), "connection_closed");
  EXPECT_GT(agent.spans.finished[0].cut_ns, agent.spans.finished[0].response_last_ns);
}

TEST(Pairing, ClientThatLeavesAnEventStreamIsNoServerError) {  // T34, T41
  Agent agent;
  Conversation talk(agent);
  talk.Client(kGetA)
      .Server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n")
      .Closes();
  ASSERT_EQ(agent.Finished(), "GET /a 200");
  EXPECT_FALSE(agent.spans.finished[0].is_error);
}

TEST(Pairing, HalfCloseOfTheClientWaitsForTheResponse) {  // T34
  Agent agent;
  Conversation talk(agent);
  talk.Client(kGetA).ClientEnds();
  agent.Tick();
  talk.Server(kOk);
  EXPECT_EQ(agent.Finished(), "GET /a 200");
}

TEST(Pairing, SlowRequestIsKept) {  // T45
  Agent agent;
  Conversation talk(agent);
  talk.Client(kGetA);
  for (int i = 0; i < 1000; ++i) talk.Wait(3600'000 * kMillisecond), agent.Tick();
  EXPECT_EQ(agent.Finished(), "");
  talk.Server(kOk);
  EXPECT_EQ(agent.Finished(), "GET /a 200");
}

TEST(Pairing, NextRequestBeforeTheEndOfTheResponse) {  // T46
  Agent agent;
  Conversation talk(agent);
  talk.Client(kGetA)
      .Server(kOk.substr(0, 20))
      .Client(kGetB)
      .Server(kOk.substr(20))
      .Server(kMissing);
  EXPECT_EQ(agent.Finished(), "GET /a 200; GET /b 404");
}

TEST(Pairing, RetryOnADeadConnectionIsASecondExchange) {  // T46
  Agent agent;
  Conversation dead(agent, model::Role::kClient, false, 1),
      fresh(agent, model::Role::kClient, false, 2);
  dead.Client(kGetA).Server(kOk).ServerEnds();
  dead.Client(kGetB).Closes();
  fresh.Client(kGetB).Server(kOk);
  EXPECT_EQ(agent.Finished(), "GET /a 200; GET /b -; GET /b 200");
}

TEST(Pairing, GetWithBodyAndEmptyPost) {  // T43
  Agent agent;
  Conversation talk(agent);
  talk.Client("GET /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").Server(kOk);
  talk.Client("POST /b HTTP/1.1\r\nContent-Length: 0\r\n\r\n").Server(kOk);
  EXPECT_EQ(agent.Finished(), "GET /a 200; POST /b 200");
}

TEST(Pairing, PendingRequestsAreBounded) {
  Agent agent;
  Conversation talk(agent);
  for (int i = 0; i < 400; ++i) talk.Client(kGetA);
  EXPECT_EQ(agent.spans.opened.size(), 256u);
  EXPECT_NE(agent.ledger.Text().find("pipeline_full: 1\n"), std::string::npos);
  EXPECT_EQ(agent.ledger.Text().find("rejected"), std::string::npos);
  for (int i = 0; i < 400; ++i) talk.Server(kOk);
  EXPECT_EQ(agent.spans.finished.size(), 256u);
  talk.Wait(3000 * kMillisecond).Client(kGetB).Server(kMissing);
  EXPECT_EQ(agent.spans.finished.back().target, "/b");
  EXPECT_EQ(agent.spans.finished.back().status_code, 404);
}

// The socket is older than weft, and what is seen first is a whole request: a keep-alive connection
// that was idle.
TEST(Pairing, FirstRequestOfAnOldConnectionIsAnExchange) {
  for (model::Role end : {model::Role::kServer, model::Role::kClient}) {
    for (size_t split : {kGetA.size(), size_t{20}}) {
      Agent agent;
      Conversation talk(agent, end, true);
      talk.Client(kGetA.substr(0, split));
      if (split < kGetA.size()) talk.Client(kGetA.substr(split));
      talk.Server(kOk).Client(kGetB).Server(kMissing);
      EXPECT_EQ(agent.Finished(), "GET /a 200; GET /b 404") << split;
      EXPECT_EQ(agent.spans.finished.at(0).role, end);
    }
  }
}

TEST(Pairing, OldConnectionThatIsInTheMiddleOfABodyBeginsWithItsNextRequest) {
  Agent agent;
  Conversation talk(agent, model::Role::kServer, true);
  talk.Client("the rest of a body").Server(kOk).Client(kGetB).Server(kMissing);
  EXPECT_EQ(agent.Finished(), "GET /b 404");
}

TEST(Pairing, PlaintextOfTlsIsHttps) {
  Agent agent;
  Conversation server(agent, model::Role::kServer, false, 1),
      client(agent, model::Role::kClient, false, 2);
  server.is_tls = client.is_tls = true;
  server.Client(kGetA).Server(kOk);
  client.Client(kGetA).Server(kOk);
  ASSERT_EQ(agent.spans.finished.size(), 2u);
  EXPECT_EQ(Text(agent.spans.finished[0], "url.scheme"), "https");
  EXPECT_EQ(Text(agent.spans.finished[1], "url.full"), "https://shop.test:8080/a");
  EXPECT_TRUE(agent.spans.finished[0].is_tls);
}

// T63: a proxy is asked for the way in plaintext, and what follows is TLS.
TEST(Pairing, PlaintextBehindTheWayThereStartsAnew) {
  Agent agent;
  Conversation way(agent, model::Role::kClient, false, 1);
  way.Client("CONNECT shop.test:443 HTTP/1.1\r\n\r\n").Server("HTTP/1.1 200 OK\r\n\r\n");
  Conversation tls(agent, model::Role::kClient, false, 1);
  tls.is_tls = true;
  tls.Client(kGetA).Server(kOk);
  way.Client("\x16\x03\x01 ciphertext");
  EXPECT_EQ(agent.Finished(), "CONNECT shop.test:443 200; GET /a 200");
}

TEST(Pairing, GrpcWebIsACall) {  // T58
  Agent agent;
  Conversation talk(agent);
  constexpr std::string_view kCall =
      "POST /shop.Cart/Get HTTP/1.1\r\nHost: shop.test\r\n"
      "Content-Type: application/grpc-web+proto\r\nContent-Length: 0\r\n\r\n";
  talk.Client(kCall).Server(kOk).Client(kCall).Server(kMissing);
  ASSERT_EQ(agent.spans.finished.size(), 2u);
  const model::Span &good = agent.spans.finished[0], &bad = agent.spans.finished[1];
  EXPECT_EQ(good.name, "shop.Cart/Get");
  EXPECT_EQ(Text(good, "rpc.system.name"), "grpc");
  EXPECT_EQ(Text(good, "rpc.response.status_code"), "(none)");  // it is in the body
  EXPECT_EQ(Text(good, "network.protocol.version"), "1.1");
  EXPECT_EQ(Text(bad, "rpc.response.status_code"), "UNIMPLEMENTED");
}

}  // namespace
}  // namespace weft::normalize
