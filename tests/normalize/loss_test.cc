// Stories about bytes that come late, twice, in part or never.
#include <gtest/gtest.h>

#include <algorithm>

#include "normalize/conversation.h"

namespace weft::normalize {
namespace {

TEST(Loss, SegmentsOutOfOrderWithinOneDrain) {  // T18
  Agent agent;
  Conversation talk(agent);
  talk.Hold();
  talk.Client(kGetA.substr(0, 5)).Client(kGetA.substr(5, 9)).Client(kGetA.substr(14)).Server(kOk);
  auto calls = talk.Take();
  std::swap(calls[0], calls[2]);
  agent.Push(calls);
  EXPECT_EQ(agent.Finished(), "GET /a 200");
}

TEST(Loss, SegmentThatComesOneDrainLater) {  // T18
  Agent agent;
  Conversation talk(agent);
  talk.Hold();
  talk.Client(kGetA.substr(0, 5)).Client(kGetA.substr(5)).Server(kOk);
  auto calls = talk.Take();
  agent.Push({calls[1], calls[2]});
  EXPECT_EQ(agent.Opened(), "");
  agent.Push({calls[0]});
  EXPECT_EQ(agent.Finished(), "GET /a 200");
  EXPECT_EQ(agent.Metric("weft_normalize_lost_bytes_total"), 0);
}

TEST(Loss, ResponseThatIsDrainedBeforeItsRequest) {  // T18
  for (bool with_earlier_exchange : {false, true}) {
    Agent agent;
    Conversation talk(agent);
    if (with_earlier_exchange) talk.Client(kGetA).Server(kOk);
    talk.Hold();
    talk.Client(kGetB).Server(kMissing);
    auto calls = talk.Take();
    agent.Push({calls[1]});
    agent.Push({calls[0]});
    EXPECT_EQ(agent.Finished(), with_earlier_exchange ? "GET /a 200; GET /b 404" : "GET /b 404");
  }
}

// The thread that reads the answer may be done before the one that sent the request.
TEST(Loss, ResponseThatIsOlderThanItsRequestByTheClock) {  // T18, T20
  for (bool with_earlier_exchange : {false, true}) {
    Agent agent;
    Conversation talk(agent, model::Role::kClient);
    if (with_earlier_exchange) talk.Client(kGetA).Server(kOk);
    talk.Hold();
    talk.Server(kMissing).Client(kGetB).Client(kGetC).Server(kCreated);
    agent.Push(talk.Take());
    agent.Tick();
    EXPECT_EQ(agent.Finished(), with_earlier_exchange ? "GET /a 200; GET /b 404; GET /c 201"
                                                      : "GET /b -; GET /c 201");
  }
}

// Its request comes when the response has been given up: that pair is lost, and no other.
TEST(Loss, RequestThatIsDrainedLongAfterItsResponseShiftsNoPair) {  // T18, T19
  Agent agent;
  Conversation talk(agent);
  talk.Client(kGetA).Server(kOk).Server(kMissing);
  for (int i = 0; i < 2; ++i) agent.Tick();
  talk.Client(kGetB).Client(kGetC).Server(kCreated).Client(kGetA).Server(kOk);
  EXPECT_EQ(agent.Finished(), "GET /a 200; GET /b -; GET /c 201; GET /a 200");
}

TEST(Loss, RequestThatIsDrainedLongAfterItsResponseShiftsNoPipelinedPair) {  // T18, T19, T26
  Agent agent;
  Conversation talk(agent);
  talk.Client(std::string(kGetA) + std::string(kGetA)).Server(kOk).Server(kOk).Server(kMissing);
  for (int i = 0; i < 2; ++i) agent.Tick();
  talk.Client(kGetB).Client(kGetC).Server(kCreated).Wait(3'000 * kMillisecond);
  talk.Client(kGetA).Server(kOk);
  EXPECT_EQ(agent.Finished(), "GET /a 200; GET /a 200; GET /a 200");
}

TEST(Loss, PieceOfTheFirstResponseThatIsDrainedBeforeItsRequest) {  // T18
  Agent agent;
  Conversation talk(agent);
  talk.Hold();
  talk.Client(kGetA).Server(kOk.substr(0, 2)).Server(kOk.substr(2));
  auto calls = talk.Take();
  agent.Push({calls[1], calls[2]});
  agent.Push({calls[0]});
  EXPECT_EQ(agent.Finished(), "GET /a 200");
}

TEST(Loss, DuplicatesAndOverlapAreClipped) {  // T1, T18
  Agent agent;
  Conversation talk(agent);
  talk.Hold();
  talk.Client(kGetA).Server(kOk);
  auto calls = talk.Take();
  model::Segment overlap = calls[0];
  overlap.captured = base::AsBytes(kGetA).first(10);
  overlap.length = 10;
  agent.Push({overlap, calls[0], calls[0], calls[1], overlap});
  EXPECT_EQ(agent.Finished(), "GET /a 200");
  EXPECT_EQ(agent.spans.opened.size(), 1u);
  EXPECT_EQ(agent.spans.finished[0].request_bytes, kGetA.size());
}

TEST(Loss, LateSegmentAfterItWasGivenUpIsIgnored) {  // T18
  Agent agent;
  Conversation talk(agent);
  talk.Hold();
  talk.Client(kGetA.substr(0, 5)).Client(kGetA.substr(5)).Server(kOk);
  auto calls = talk.Take();
  agent.Push({calls[1], calls[2]});
  agent.Tick();
  agent.Tick();
  agent.Push({calls[0]});
  EXPECT_EQ(agent.Finished(), "");
}

TEST(Loss, LostPartOfAHeadDropsThatExchangeOnly) {  // T19, T42
  Agent agent;
  Conversation talk(agent);
  talk.Client(kGetA).Server(kOk);
  talk.Client(kGetB.substr(0, 10)).ClientLost(5).Client(kGetB.substr(15)).Server(kMissing);
  agent.Tick();
  talk.Client(kGetC).Server(kCreated);
  EXPECT_EQ(agent.Finished(), "GET /a 200; GET /c 201");
  EXPECT_EQ(agent.Metric("weft_normalize_lost_bytes_total"), 5);
}

TEST(Loss, LostWholeRequestIsNotPairedWithALaterResponse) {  // T19
  Agent agent;
  Conversation talk(agent);
  talk.Client(kGetA).Server(kOk).ClientLost(kGetB.size()).Server(kMissing);
  agent.Tick();
  talk.Client(kGetC);
  agent.Tick();
  talk.Server(kCreated);
  EXPECT_EQ(agent.Finished(), "GET /a 200; GET /c 201");
}

TEST(Loss, LostWholeExchangeIsForgotten) {  // T19
  Agent agent;
  Conversation talk(agent);
  talk.Client(kGetA)
      .Server(kOk)
      .ClientLost(kGetB.size())
      .ServerLost(kMissing.size())
      .Client(kGetC)
      .Server(kCreated);
  agent.Tick();
  agent.Tick();
  talk.Client(kGetB).Server(kMissing).Client(kGetA).Server(kOk);
  const std::string finished = agent.Finished();
  EXPECT_TRUE(finished.ends_with("GET /b 404; GET /a 200")) << finished;
  EXPECT_EQ(finished.find("/c 200"), std::string::npos) << finished;
}

TEST(Loss, LostResponseLeavesItsSpanWithoutStatus) {  // T19
  Agent agent;
  Conversation talk(agent);
  talk.Client(kGetA).ServerLost(20).Server(kOk.substr(20));
  agent.Tick();
  ASSERT_EQ(agent.Finished(), "GET /a -");
  EXPECT_FALSE(agent.spans.finished[0].is_error);
  talk.Client(kGetB).Server(kMissing);
  EXPECT_EQ(agent.Finished(), "GET /a -; GET /b 404");
}

TEST(Loss, LostBodyBytesAreSkippedExactly) {  // T19, T42
  Agent agent;
  Conversation talk(agent);
  talk.Client("POST /a HTTP/1.1\r\nContent-Length: 500000000\r\n\r\nabc").ClientLost(499'999'990);
  talk.Client("1234567" + std::string(kGetB)).Server(std::string(kOk) + std::string(kMissing));
  agent.Tick();
  EXPECT_EQ(agent.Finished(), "POST /a 200; GET /b 404");
  EXPECT_EQ(agent.spans.finished[0].request_bytes, 47u + 500'000'000u);
}

TEST(Loss, OutOfOrderBytesHeldAreBounded) {
  Agent agent;
  Conversation talk(agent);
  talk.Client(kGetA).ClientLost(10);
  talk.Hold();
  for (int i = 0; i < 100; ++i) talk.Client(std::string(4096, 'x'));
  agent.Push(talk.Take());  // one drain: only the bound makes it go on
  EXPECT_EQ(agent.Metric("weft_normalize_lost_bytes_total"), 10);
}

TEST(Loss, JoinedInTheMiddleWaitsForARequest) {  // T15, T25
  Agent agent;
  Conversation talk(agent, model::Role::kServer, true);
  talk.Client("ding: gzip\r\n\r\n").Server("e tail of a body");
  talk.Client(kGetA).Server(kOk).Client(kGetB).Server(kMissing);
  EXPECT_EQ(agent.Finished(), "GET /a 200; GET /b 404");
}

TEST(Loss, JoinedBetweenRequestAndResponse) {  // T15
  Agent agent;
  Conversation talk(agent, model::Role::kClient, true);
  talk.Server(kOk).Client(kGetA).Server(kMissing);
  EXPECT_EQ(agent.Finished(), "GET /a 404");
}

TEST(Loss, JoinedWithinAResponse) {  // T15
  Agent agent;
  Conversation talk(agent, model::Role::kServer, true);
  talk.Server(std::string(1000, 'x')).Client(kGetA).Server(kOk).Client(kGetB).Server(kMissing);
  EXPECT_EQ(agent.Finished(), "GET /a 200; GET /b 404");
}

TEST(Loss, GetInsideABodyIsNoRequest) {  // T24
  Agent agent;
  Conversation talk(agent, model::Role::kServer, true);
  talk.Client("quote: GET /evil HTTP/1.1\r\n\r\n")
      .Server("220 GET /evil HTTP/1.1\r\n\r\n")
      .Client("HELO x\r\nGET / HTTP/1.1\r\n");
  EXPECT_EQ(agent.Opened(), "");
}

TEST(Loss, OtherProtocolsMakeNothing) {
  Agent agent;
  Conversation tls(agent, model::Role::kServer, false, 1),
      ssh(agent, model::Role::kServer, false, 2), smtp(agent, model::Role::kClient, false, 3),
      h2(agent, model::Role::kServer, false, 4);
  tls.Client("\x16\x03\x01\x02\x01").Server("\x16\x03\x03");
  ssh.Server("SSH-2.0-OpenSSH\r\n").Client("SSH-2.0-Go\r\n");
  smtp.Server("220 mail ESMTP\r\n").Client("EHLO x\r\n").Client("MAIL FROM:<a@b>\r\n");
  h2.Client("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").Server(std::string(9, '\0'));
  EXPECT_EQ(agent.Opened(), "");
  EXPECT_EQ(agent.ledger.rows()[0]->in(), 0u);
}

TEST(Loss, FirstBytesThatOnlyLookLikeAMethod) {
  Agent agent;
  Conversation talk(agent);
  talk.Client("EHLO").Server("HTTP/1.1 nonsense").Client(" mail\r\n").Client(kGetA).Server(kOk);
  EXPECT_EQ(agent.Opened(), "GET /a -");
}

TEST(Loss, HeadLongerThanTheCaptureLimit) {  // T40
  Agent agent;
  Conversation talk(agent);
  talk.ClientCut("GET /a HTTP/1.1\r\nHost: x\r\nCookie: aaaa", 6000).Server(kOk);
  ASSERT_EQ(agent.Finished(), "GET /a 200");
  EXPECT_EQ(agent.spans.finished[0].request_bytes, 6000u);
  talk.Client(kGetB).ServerCut("HTTP/1.1 503 No\r\nSet-Cookie: bbb", 9000);
  talk.Client(kGetC).Server(kCreated);
  EXPECT_EQ(agent.Finished(), "GET /a 200; GET /b 503; GET /c 201");
  EXPECT_EQ(agent.spans.finished[1].response_bytes, 9000u);
  EXPECT_EQ(agent.Metric("weft_normalize_truncated_heads_total"), 2);
}

TEST(Loss, UrlLongerThanTheCaptureLimit) {  // T39, T40
  Agent agent;
  Conversation talk(agent);
  talk.ClientCut("GET /" + std::string(4000, 'u'), 9000).Server(kOk).Client(kGetB).Server(kMissing);
  ASSERT_EQ(agent.spans.finished.size(), 2u);
  EXPECT_EQ(agent.spans.finished[0].target.size(), 4001u);
  EXPECT_EQ(agent.spans.finished[1].target, "/b");
}

TEST(Loss, BodyLongerThanTheCaptureLimit) {  // T7, T40, T41
  Agent agent;
  Conversation talk(agent);
  talk.Client(kGetA).ServerCut("HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\nab",
                               4'000'000'000);
  talk.ServerCut("", 1'000'000'047);
  ASSERT_EQ(agent.Finished(), "GET /a 200");
  EXPECT_EQ(agent.spans.finished[0].response_bytes, 5'000'000'047u);
  talk.Client(kGetB).Server(kMissing);
  EXPECT_EQ(agent.Finished(), "GET /a 200; GET /b 404");
}

TEST(Loss, KernelIsToldWhereALongBodyEnds) {
  Agent agent;
  Conversation talk(agent);
  talk.ClientCut("POST /a HTTP/1.1\r\nContent-Length: 9000\r\n\r\nab", 5000).ClientCut("", 1000);
  ASSERT_EQ(agent.message_ends.size(), 1u);
  EXPECT_EQ(agent.message_ends[0].first, model::Direction::kReceive);
  EXPECT_EQ(agent.message_ends[0].second, 42u + 9000u);
}

TEST(Loss, ChunkedResponseBeyondTheCaptureEndsAtTheNextRequest) {  // T35, T40
  Agent agent;
  Conversation talk(agent);
  const uint64_t start = agent.clock.ToUnixNs(talk.now_ns());
  talk.Client(kGetA)
      .ServerCut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\nabc", 9000)
      .ServerCut("", 500);
  EXPECT_EQ(agent.Finished(), "");
  talk.Wait(50 * kMillisecond).Client(kGetB).Server(kMissing);
  ASSERT_EQ(agent.Finished(), "GET /a 200; GET /b 404");
  EXPECT_EQ(agent.spans.finished[0].response_last_ns - start, 3 * kMillisecond);
  EXPECT_EQ(agent.spans.finished[0].response_bytes, 9500u);
}

TEST(Loss, ChunkedResponseBeyondTheCaptureEndsBySilence) {
  Agent agent;
  Conversation talk(agent);
  const uint64_t start = agent.clock.ToUnixNs(talk.now_ns());
  talk.Client(kGetA).ServerCut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\nabc",
                               9000);
  talk.Wait(1900 * kMillisecond);
  agent.Tick();
  EXPECT_EQ(agent.Finished(), "");
  talk.Wait(200 * kMillisecond);
  agent.Tick();
  ASSERT_EQ(agent.Finished(), "GET /a 200");
  EXPECT_EQ(agent.spans.finished[0].response_last_ns - start, 2 * kMillisecond);
  talk.ServerCut("", 100).Client(kGetB).Server(kMissing);
  EXPECT_EQ(agent.Finished(), "GET /a 200; GET /b 404");
}

TEST(Loss, ChunkedResponseBeyondTheCaptureMayHideAPipelinedOne) {  // T26, T40
  Agent agent;
  Conversation talk(agent);
  talk.Client(std::string(kGetA) + std::string(kGetB));
  talk.ServerCut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\nabc", 9000)
      .Server(kMissing);
  EXPECT_EQ(agent.Finished(), "GET /a 200; GET /b -");
  talk.Client(kGetC).Server(kOk);  // not quiet: whose response this is cannot be known
  EXPECT_EQ(agent.spans.opened.size(), 2u);
  talk.Wait(3000 * kMillisecond).Client(kGetC).Server(kCreated);
  EXPECT_EQ(agent.Finished(), "GET /a 200; GET /b -; GET /c 201");
}

TEST(Loss, ChunkedRequestBeyondTheCapture) {  // T35, T40
  Agent agent;
  Conversation talk(agent);
  talk.ClientCut("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n400\r\nabc", 9000)
      .ClientCut("", 700)
      .Server(kOk);
  ASSERT_EQ(agent.Finished(), "POST /a 200");
  EXPECT_EQ(agent.spans.finished[0].request_bytes, 9700u);
  talk.Client(kGetB).Server(kMissing);
  EXPECT_EQ(agent.Finished(), "POST /a 200; GET /b 404");
}

TEST(Loss, DataBehindTheRecordOfTheClosing) {  // T13
  Agent agent;
  Conversation talk(agent);
  talk.Client(kGetA);
  talk.Hold();
  talk.Server(kOk);
  auto late = talk.Take();
  talk.Closes();
  auto closing = talk.Take();
  agent.Push(closing);
  agent.Push(late);
  agent.Tick();
  EXPECT_EQ(agent.Finished(), "GET /a 200");
  EXPECT_EQ(agent.normalizer.connections(), 0u);
}

TEST(Loss, ConnectionsAreBoundedAndTheOldestGoes) {
  Options options;
  options.max_connections = 16;
  Agent agent(options);
  std::deque<Conversation> talks;
  for (model::ConnectionId id = 1; id <= 20; ++id) {
    talks.emplace_back(agent, model::Role::kServer, false, id).Client(kGetA);
    talks.front().Client(kGetB);  // the first one stays in use
  }
  EXPECT_EQ(agent.normalizer.connections(), 16u);
  EXPECT_EQ(agent.Metric("weft_normalize_connections_evicted_total"), 4);
  talks.front().Server(kOk);
  EXPECT_EQ(agent.spans.finished.back().status_code, 200);
  EXPECT_EQ(agent.spans.finished.size(), 5u);
}

TEST(Loss, WaitingRequestsAreBoundedOverAllConnections) {
  Options options;
  options.http1_waiting_bytes = 16 << 10;
  Agent agent(options);
  Conversation one(agent, model::Role::kServer, false, 1),
      two(agent, model::Role::kServer, false, 2);
  Conversation lone(agent, model::Role::kServer, false, 3);
  lone.Client(kGetC);
  for (int i = 0; i < 9; ++i) one.Client(kGetA);
  for (int i = 0; i < 9; ++i) two.Client(kGetB);
  EXPECT_EQ(agent.Finished(), "");
  two.Client(kGetB);
  ASSERT_EQ(agent.spans.finished.size(), 9u);
  EXPECT_EQ(agent.spans.finished.back().target, "/a");
  EXPECT_EQ(agent.Metric("weft_normalize_pipelines_evicted_total"), 1);
  // Whose answers these are is not known any more; after a silence it is.
  for (int i = 0; i < 9; ++i) one.Server(kOk);
  for (int i = 0; i < 10; ++i) two.Server(kCreated);
  lone.Server(kMissing);
  ASSERT_EQ(agent.spans.finished.size(), 20u);
  EXPECT_EQ(agent.spans.finished.back().status_code, 404);
  one.Wait(3'000 * kMillisecond).Client(kGetC).Server(kMissing);
  EXPECT_EQ(agent.spans.finished.back().target, "/c");
}

TEST(Loss, HeadsInPiecesAreBoundedOverAllConnections) {
  Options options;
  options.http1_waiting_bytes = 64 << 10;
  Agent agent(options);
  std::deque<Conversation> talks;
  const std::string piece = "GET /a HTTP/1.1\r\nX: " + std::string(4'000, 'x');
  for (model::ConnectionId id = 1; id <= 40; ++id) {
    talks.emplace_back(agent, model::Role::kServer, false, id).Client(piece);
  }
  EXPECT_GT(agent.Metric("weft_normalize_pipelines_evicted_total"), 20);
  talks.back().Client("\r\n\r\n").Server(kOk);
  EXPECT_EQ(agent.Finished(), "GET /a 200");
  talks.front().Client("\r\n\r\n").Server(kOk).Client(kGetB).Server(kMissing);
  EXPECT_EQ(agent.Finished(), "GET /a 200; GET /b 404");
}

TEST(Loss, ReusedCookieIsAnotherConnection) {
  Agent agent;
  Conversation first(agent, model::Role::kServer, false, 9);
  first.Client(kGetA);
  model::Segment segment;
  auto other = std::make_shared<model::Connection>();
  other->id = 9;
  other->birth_ns = 777;
  segment.connection = other;
  segment.direction = model::Direction::kReceive;
  segment.captured = base::AsBytes(kGetB);
  segment.length = kGetB.size();
  agent.Push({segment});
  EXPECT_EQ(agent.Finished(), "GET /a -");
  EXPECT_EQ(agent.Opened(), "GET /a -; GET /b -");
}

TEST(Loss, BusyStageBehindKeepsEverything) {
  Agent agent;
  Conversation talk(agent);
  agent.spans.is_busy = true;
  talk.Client(kGetA);  // taken; its span waits
  talk.Hold();
  talk.Server(kOk);
  model::SegmentBatch batch;
  batch.items = talk.Take();
  EXPECT_EQ(agent.normalizer.Push(std::move(batch)), model::PushResult::kBusy);
  EXPECT_EQ(batch.items.size(), 1u);
  agent.spans.is_busy = false;
  EXPECT_EQ(agent.normalizer.Push(std::move(batch)), model::PushResult::kTaken);
  EXPECT_EQ(agent.Opened(), "GET /a -");
  EXPECT_EQ(agent.Finished(), "GET /a 200");
}

TEST(Loss, TimesNeverRunBackwards) {  // T20
  Agent agent;
  Conversation talk(agent);
  talk.Hold();
  talk.Client(kGetA).Server(kOk);
  auto calls = talk.Take();
  calls[1].time_ns = calls[0].time_ns - 500;
  agent.Push(calls);
  ASSERT_EQ(agent.Finished(), "GET /a 200");
  const model::Span& span = agent.spans.finished[0];
  EXPECT_LE(span.request_first_ns, span.response_first_ns);
  EXPECT_LE(span.response_first_ns, span.response_last_ns);
}

}  // namespace
}  // namespace weft::normalize
