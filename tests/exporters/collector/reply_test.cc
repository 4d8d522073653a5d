#include "exporters/collector/reply.h"

#include <gtest/gtest.h>

#include "exporters/otlp_request.h"

namespace weft::exporters::collector {
namespace {

using std::chrono::seconds;

Outcome JudgeStatus(int status, std::string message = "", bool hint = false, bool again = false) {
  CallReply reply;
  reply.status = status;
  reply.message = std::move(message);
  if (hint) reply.retry_delay = seconds(1);
  return Judge(reply, again);
}

CallReply Body(std::string_view bytes) {
  CallReply reply;
  reply.body.Append(bytes);
  return reply;
}

TEST(Reply, F6_StatusesOfThePassingKindAreRetried) {
  for (int status : {1, 4, 10, 11, 14, 15})
    EXPECT_EQ(JudgeStatus(status).verdict, Verdict::kRetry) << status;
}

TEST(Reply, F7_ExhaustedWithRetryInfoIsRetriedWithoutItIsFinalUnlessConfigured) {
  EXPECT_EQ(JudgeStatus(8, "rate limited", true).verdict, Verdict::kRetry);
  EXPECT_EQ(JudgeStatus(8, "rate limited", false, false).verdict, Verdict::kRejected);
  EXPECT_EQ(JudgeStatus(8, "rate limited", false, true).verdict, Verdict::kRetry);
}

TEST(Reply, F12_ExhaustedBySizeIsToldFromExhaustedByLoad) {
  EXPECT_EQ(JudgeStatus(8, "grpc: received message larger than max (5000000 vs. 4194304)").verdict,
            Verdict::kTooLarge);
  EXPECT_EQ(JudgeStatus(8, "Request Too Large").verdict, Verdict::kTooLarge);
}

// As grpc-java, grpc-dotnet and tonic say it.
TEST(Reply, F12_TheOtherWordsForTooLargeAreUnderstood) {
  for (std::string text : {"gRPC message exceeds maximum size 4194304: 5000000",
                           "Decompressed gRPC message exceeds maximum size 4194304",
                           "Received message exceeds the maximum configured message size."})
    EXPECT_EQ(JudgeStatus(8, text, false, true).verdict, Verdict::kTooLarge) << text;
  const std::string tonic =
      "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes";
  EXPECT_EQ(JudgeStatus(11, tonic).verdict, Verdict::kTooLarge);
  EXPECT_EQ(JudgeStatus(11, tonic).reason, "too_large");
}

TEST(Reply, F7_ARateThatIsExceededIsNoSize) {
  for (std::string text : {"ingestion rate limit (15000000 bytes) exceeded while adding 10 bytes",
                           "request rate exceeds the limit", "queue size exceeded"})
    EXPECT_EQ(JudgeStatus(8, text, false, true).verdict, Verdict::kRetry) << text;
  EXPECT_EQ(JudgeStatus(11, "read past the end").verdict, Verdict::kRetry);
}

TEST(Reply, F8_StatusesOfThePermanentKindAreRejections) {
  for (int status : {2, 3, 5, 6, 9, 13, 77, -1})
    EXPECT_EQ(JudgeStatus(status).verdict, Verdict::kRejected) << status;
  EXPECT_EQ(JudgeStatus(3).reason, "invalid_argument");
}

TEST(Reply, F9_RefusedCredentialsAreNoReasonToDrop) {
  EXPECT_EQ(JudgeStatus(16).verdict, Verdict::kRetrySlowly);
  EXPECT_EQ(JudgeStatus(7).verdict, Verdict::kRetrySlowly);
}

TEST(Reply, F10_PartialSuccessIsDeliveredWithRejectedSpans) {
  Outcome o = Judge(Body(Bytes(1, Number(1, 3) + Bytes(2, "bad\nname"))), false);
  EXPECT_EQ(o.verdict, Verdict::kDelivered);
  EXPECT_EQ(o.rejected_spans, 3u);
  EXPECT_EQ(o.message, "bad name");
  EXPECT_EQ(o.reason, "partial_success");
}

TEST(Reply, F10_EmptyPartialSuccessIsSuccess) {
  Outcome o = Judge(Body(std::string_view("\x0a\x00", 2)), false);
  EXPECT_EQ(o.verdict, Verdict::kDelivered);
  EXPECT_EQ(o.rejected_spans, 0u);
  EXPECT_EQ(o.reason, "ok");
}

TEST(Reply, F10_NegativeRejectedSpansAreNone) {
  EXPECT_EQ(Judge(Body(Bytes(1, Number(1, UINT64_MAX))), false).rejected_spans, 0u);
}

TEST(Reply, UnknownFieldsOfTheResponseArePassedOver) {
  std::string body = Fixed64(9, 1) + Number(4, 5) + Bytes(1, Fixed64(7, 1) + Number(1, 2));
  EXPECT_EQ(Judge(Body(body), false).rejected_spans, 2u);
}

TEST(Reply, F11_AnUnreadableResponseIsFinalAndCounted) {
  for (std::string_view bad : {"\x0a", "\x0a\x05z", "garbage",
                               "\xff\xff\xff\xff\xff\xff\xff\xff"
                               "\xff\xff\xff"}) {
    Outcome o = Judge(Body(bad), false);
    EXPECT_EQ(o.verdict, Verdict::kRejected) << bad;
    EXPECT_EQ(o.reason, "bad_response");
  }
}

TEST(Reply, F11_AnOversizedOrDamagedAnswerIsFinalAndCountedUnlessItTellsOfAFailure) {
  CallReply reply;
  reply.status = 8;
  reply.message = "reply: too_large";
  reply.unreadable = true;
  EXPECT_EQ(Judge(reply, true).verdict, Verdict::kRejected);
  EXPECT_EQ(Judge(reply, true).reason, "bad_response");
  reply.http_status = 200;
  EXPECT_EQ(Judge(reply, true).reason, "bad_response");
  reply.http_status = 503;
  EXPECT_EQ(Judge(reply, true).verdict, Verdict::kRetry);
}

TEST(Reply, MessagesAreCutAndMadePrintable) {
  Outcome o = JudgeStatus(3, std::string(10'000, '\x1b'));
  EXPECT_LE(o.message.size(), 256u);
  EXPECT_EQ(o.message.find('\x1b'), std::string::npos);
}

TEST(Reply, UnimplementedMayMeanThatOurCompressionIsNotKnown) {
  EXPECT_EQ(JudgeStatus(12).verdict, Verdict::kUnreadable);
}

Outcome JudgeHttp(int status, std::string_view body = "") {
  CallReply reply = Body(body);
  reply.http_status = status;
  return Judge(reply, true);
}

TEST(Reply, F6_HttpStatusesOfThePassingKindAreRetriedAndNoOthers) {
  for (int status : {429, 502, 503, 504})
    EXPECT_EQ(JudgeHttp(status).verdict, Verdict::kRetry) << status;
  for (int status : {100, 301, 400, 404, 405, 418, 499, 500, 505})
    EXPECT_EQ(JudgeHttp(status).verdict, Verdict::kRejected) << status;
}

TEST(Reply, F9_HttpCredentialsAreAFaultOfConfiguration) {
  EXPECT_EQ(JudgeHttp(401).verdict, Verdict::kRetrySlowly);
  EXPECT_EQ(JudgeHttp(403).verdict, Verdict::kRetrySlowly);
}

TEST(Reply, F12_HttpTooLargeIsHalved) {
  EXPECT_EQ(JudgeHttp(413).verdict, Verdict::kTooLarge);
  EXPECT_EQ(JudgeHttp(413).reason, "too_large");
}

TEST(Reply, AnUnknownHttpEncodingMayBeTriedPlain) {
  EXPECT_EQ(JudgeHttp(415).verdict, Verdict::kUnreadable);
}

TEST(Reply, F10_PartialSuccessOverHttpIsReadLikeOverGrpc) {
  Outcome outcome = JudgeHttp(200, Bytes(1, Number(1, 4) + Bytes(2, "no")));
  EXPECT_EQ(outcome.verdict, Verdict::kDelivered);
  EXPECT_EQ(outcome.rejected_spans, 4u);
  EXPECT_EQ(outcome.message, "no");
  EXPECT_EQ(JudgeHttp(200).verdict, Verdict::kDelivered);
}

TEST(Reply, F11_AnUnreadableBodyOfAnHttpSuccessIsNoSuccess) {
  EXPECT_EQ(JudgeHttp(200, "\xff").verdict, Verdict::kRejected);
  EXPECT_EQ(JudgeHttp(200, "\xff").reason, "bad_response");
}

TEST(Reply, TheMessageOfAnHttpErrorIsThatOfItsStatus) {
  EXPECT_EQ(JudgeHttp(400, Number(1, 3) + Bytes(2, "bad id")).message, "bad id");
  EXPECT_EQ(JudgeHttp(400, "plain text").message, "plain text");
}

TEST(Reply, NoAnswerOverHttpIsALostConnection) {
  CallReply reply;
  reply.http_status = 200;
  reply.transport_error = true;
  EXPECT_EQ(Judge(reply, true).verdict, Verdict::kRetryConnection);
}

}  // namespace
}  // namespace weft::exporters::collector
