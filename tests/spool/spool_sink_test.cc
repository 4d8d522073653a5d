// Who is told what and when, and what goes to disk.
#include "spool/spool_sink.h"

#include <sstream>

#include "exporters/otlp_request.h"
#include "protocols/otlp/gather.h"
#include "spool/tool.h"
#include "spool_fixture.h"

namespace weft::spool {
namespace {

using exporters::MakeSpans;
using exporters::SpanIds;
using model::PushResult;
using model::ReceiptFailure;
using model::ReceiptHold;
using model::ReceiptLevel;

// Takes up to `room` batches and answers for them when told.
class FakeExporter final : public model::Sink<model::OtlpBatch> {
 public:
  PushResult Push(model::OtlpBatch&& batch) override {
    if (held.size() >= room) return PushResult::kBusy;
    Held h;
    h.batch = std::move(batch);
    h.hold = ReceiptHold(std::move(h.batch.receipt));
    if (h.batch.signal == model::Signal::kTraces)
      for (uint64_t id : SpanIds(h.batch.bytes->view())) seen.push_back(id);
    held.push_back(std::move(h));
    return PushResult::kTaken;
  }
  void DeliverAll() {
    for (Held& h : std::exchange(held, {})) h.hold.Delivered();
  }
  struct Held {
    model::OtlpBatch batch;
    ReceiptHold hold;
  };
  size_t room = 1'000;
  std::vector<Held> held;
  std::vector<uint64_t> seen;
};

class SpoolSinkTest : public SpoolFixture {
 protected:
  void SetUp() override { Open(); }
  void TearDown() override { sink.reset(); }
  void Open() {
    OpenSpool();
    sink = std::make_unique<SpoolSink>(
        SinkDeps{*spool, exporter, *ledger, metrics,
                 [this](std::chrono::nanoseconds delay, HandLoop::Task task) {
                   loop.RunAfter(delay, std::move(task));
                 },
                 [this] { return exporter_is_well; }});
  }
  // As after a kill; what the exporter had is gone.
  void Reopen() {
    sink.reset();
    spool.reset();
    exporter.held.clear();
    exporter.seen.clear();
    files.Kill();
    Open();
  }
  model::OtlpBatch Batch(uint64_t first, ReceiptLevel wish) {
    model::OtlpBatch batch = MakeSpans(first, 5);
    batch.receipt = std::make_shared<model::Receipt>(&credit, credit.Take(100) ? 100 : 0,
                                                     model::ReceiptWish{wish, "otlp_grpc"});
    return batch;
  }
  // Pushes, lets the source say so, and notes what it is told.
  struct Told {
    bool called = false, reached = false;
  };
  PushResult Push(uint64_t first, ReceiptLevel wish, Told* told = nullptr) {
    model::OtlpBatch batch = Batch(first, wish);
    model::ReceiptRef receipt = batch.receipt;
    const PushResult result = sink->Push(std::move(batch));
    if (result == PushResult::kTaken) {
      receipt->Reach(ReceiptLevel::kTaken);
      if (told != nullptr) receipt->When(wish, [told](bool reached) { *told = {true, reached}; });
    }
    return result;
  }
  void Drain() {
    for (int i = 0; i < 50; ++i) {
      loop.Tick();
      loop.RunPosted();
      exporter.DeliverAll();
      if (!spool->has_unread() && sink->draining_bytes() == 0 && loop.timers() == 0) break;
      usleep(2'000);
    }
  }
  size_t Records() {
    std::ostringstream out, errors;
    EXPECT_EQ(DumpSpool("/spool", {}, out, errors, files), 0) << errors.str();
    const std::string text = out.str();
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  }

  base::ByteCredit credit{1 << 20};
  FakeExporter exporter;
  bool exporter_is_well = true;
  std::unique_ptr<SpoolSink> sink;
};

TEST_F(SpoolSinkTest, MemoryModeTouchesNoDiskWhileTheExporterTakes) {
  Told told;
  ASSERT_EQ(Push(1, ReceiptLevel::kTaken, &told), PushResult::kTaken);
  EXPECT_TRUE(told.reached);
  EXPECT_EQ(exporter.seen.size(), 5u);
  spool->Close();
  EXPECT_EQ(ledger->in(), 0u);
}

TEST_F(SpoolSinkTest, OverflowGoesToDiskGivesItsCreditBackAndIsDeliveredLater) {
  exporter.room = 0;
  for (uint64_t i = 0; i < 20; ++i)
    ASSERT_EQ(Push(1 + 5 * i, ReceiptLevel::kTaken), PushResult::kTaken);
  ASSERT_TRUE(loop.RunUntil([&] { return credit.used() == 0; }));
  EXPECT_EQ(ledger->held(), 100);
  exporter.room = 1'000;
  Drain();
  std::sort(exporter.seen.begin(), exporter.seen.end());
  ASSERT_EQ(exporter.seen.size(), 100u);
  for (uint64_t i = 0; i < 100; ++i) EXPECT_EQ(exporter.seen[i], i + 1);
  spool->Close();
  EXPECT_EQ(ledger->held(), 0);
  EXPECT_TRUE(ledger->Balanced());
}

TEST_F(SpoolSinkTest, DurableIsToldAfterTheSyncAndSentFromMemory) {
  Told told;
  ASSERT_EQ(Push(1, ReceiptLevel::kDurable, &told), PushResult::kTaken);
  EXPECT_FALSE(told.called);
  EXPECT_EQ(exporter.seen.size(), 5u);
  ASSERT_TRUE(loop.RunUntil([&] { return told.called; }));
  EXPECT_TRUE(told.reached);
  EXPECT_FALSE(spool->has_unread());
  exporter.DeliverAll();
  EXPECT_EQ(credit.used(), 0u);
  spool->Close();
  EXPECT_EQ(ledger->out(), 5u);
  EXPECT_EQ(ledger->held(), 0);
}

TEST_F(SpoolSinkTest, DeliveryBeforeTheSyncIsGoodEnough) {
  Told told;
  ASSERT_EQ(Push(1, ReceiptLevel::kDurable, &told), PushResult::kTaken);
  exporter.DeliverAll();
  EXPECT_TRUE(told.reached);
  spool->Close();
  loop.RunPosted();
  sink->Stop();
  Reopen();
  sink->Start();
  Drain();
}

TEST_F(SpoolSinkTest, WhatIsDeliveredBeforeTheNextSyncIsDueIsNotWritten) {
  commit_milliseconds = 60'000;
  Reopen();
  Told first;
  ASSERT_EQ(Push(1, ReceiptLevel::kDurable, &first), PushResult::kTaken);
  ASSERT_TRUE(loop.RunUntil([&] { return first.called; }));  // the first is synced at once
  std::vector<Told> told(20);
  for (uint64_t i = 0; i < told.size(); ++i)
    ASSERT_EQ(Push(10 + 5 * i, ReceiptLevel::kDurable, &told[i]), PushResult::kTaken);
  exporter.DeliverAll();
  for (const Told& t : told) EXPECT_TRUE(t.reached);
  Told kept;
  ASSERT_EQ(Push(1000, ReceiptLevel::kDurable, &kept), PushResult::kTaken);
  spool->Close();
  loop.RunPosted();
  EXPECT_TRUE(kept.reached);
  EXPECT_EQ(ledger->in(), 10u);  // the first and the last
  EXPECT_EQ(ledger->held(), 5);
  EXPECT_EQ(metrics.Get(base::MetricKind::kCounter, "weft_spool_spared_records_total", "").value(),
            20);
  EXPECT_TRUE(spool->HasRoom(32 << 20)) << "the queue has them no more";
  Reopen();
  sink->Start();
  Drain();
  EXPECT_EQ(exporter.seen.size(), 5u);
}

TEST_F(SpoolSinkTest, DurableBatchSurvivesAKillAndIsSentAgain) {
  Told told;
  ASSERT_EQ(Push(1, ReceiptLevel::kDurable, &told), PushResult::kTaken);
  ASSERT_TRUE(loop.RunUntil([&] { return told.reached; }));
  Reopen();
  EXPECT_TRUE(exporter.seen.empty());
  sink->Start();
  Drain();
  EXPECT_EQ(exporter.seen, (std::vector<uint64_t>{1, 2, 3, 4, 5}));
}

TEST_F(SpoolSinkTest, DeliveredIsToldByTheExporterAloneAndWritesNothing) {
  Told told, lost;
  ASSERT_EQ(Push(1, ReceiptLevel::kDelivered, &told), PushResult::kTaken);
  ASSERT_EQ(Push(6, ReceiptLevel::kDelivered, &lost), PushResult::kTaken);
  EXPECT_FALSE(told.called);
  exporter.held[0].hold.Delivered();
  exporter.held[1].hold.Fail(ReceiptFailure::kLost);
  EXPECT_TRUE(told.reached);
  EXPECT_TRUE(lost.called && !lost.reached);
  exporter.room = 0;
  EXPECT_EQ(Push(11, ReceiptLevel::kDelivered), PushResult::kBusy);
  spool->Close();
  EXPECT_EQ(ledger->in(), 0u);
}

TEST_F(SpoolSinkTest, RejectedForGoodIsNotSentAgain) {
  Told told;
  ASSERT_EQ(Push(1, ReceiptLevel::kDurable, &told), PushResult::kTaken);
  ASSERT_TRUE(loop.RunUntil([&] { return told.reached; }));
  exporter.held[0].hold.Fail(ReceiptFailure::kRejected);
  spool->Close();
  Reopen();
  sink->Start();
  Drain();
  EXPECT_TRUE(exporter.seen.empty());
}

// F60: what the exporter sheds at a stop stays on disk.
TEST_F(SpoolSinkTest, ARecordThatIsNoRequestIsCountedAsLostAndCostsNoOther) {
  ASSERT_TRUE(spool->Append(Payload("\x0f no protobuf"), {.items = 3}, false, nullptr));
  exporter.room = 0;
  ASSERT_EQ(Push(1, ReceiptLevel::kTaken), PushResult::kTaken);
  ASSERT_TRUE(loop.RunUntil([&] { return credit.used() == 0; }));
  exporter.room = 1'000;
  Drain();
  EXPECT_EQ(exporter.seen.size(), 5u);
  spool->Close();
  EXPECT_EQ(ledger->out(), 5u);
  EXPECT_EQ(ledger->lost_total(), 3u);
  EXPECT_EQ(ledger->held(), 0);
  EXPECT_TRUE(ledger->Balanced());
  spool.reset();
  OpenSpool();
  EXPECT_TRUE(Read().empty()) << "nor is it read again";
  sink.reset();
}

TEST_F(SpoolSinkTest, ShedByTheExporterIsKeptForTheNextRun) {
  ASSERT_EQ(Push(1, ReceiptLevel::kDurable), PushResult::kTaken);
  sink->Stop();
  EXPECT_EQ(Push(6, ReceiptLevel::kDurable), PushResult::kBusy);
  exporter.held[0].hold.Fail(ReceiptFailure::kLost);
  spool->Close();
  loop.RunPosted();
  Reopen();
  sink->Start();
  Drain();
  EXPECT_EQ(exporter.seen.size(), 5u);
}

// What was acknowledged from memory goes to disk at the end; what is there already, or was promised
// to nobody, does not.
TEST_F(SpoolSinkTest, WhatTheExporterCouldNotDeliverIsKeptOnce) {
  ASSERT_EQ(Push(1, ReceiptLevel::kTaken), PushResult::kTaken);
  ASSERT_EQ(Push(6, ReceiptLevel::kDurable), PushResult::kTaken);
  ASSERT_EQ(Push(11, ReceiptLevel::kDelivered), PushResult::kTaken);
  ASSERT_EQ(sink->Push(MakeSpans(16, 5)), PushResult::kTaken);
  ASSERT_TRUE(loop.RunUntil([&] { return ledger->held() == 5; }));
  sink->Stop();
  std::vector<bool> kept;
  for (FakeExporter::Held& h : exporter.held) {
    kept.push_back(
        sink->Keep(h.batch.signal, protocols::otlp::Gather(h.batch), 5, h.hold.receipt()));
    h.hold.Fail(ReceiptFailure::kLost);
  }
  EXPECT_EQ(kept, (std::vector<bool>{true, true, false, true}));
  bool finished = false;
  sink->Finish(std::chrono::seconds(5), [&] { finished = true; });
  EXPECT_TRUE(loop.RunUntil([&] { return finished; }));
  EXPECT_EQ(ledger->held(), 15);
  spool->Close();
  EXPECT_EQ(Records(), 3u);
  Reopen();
  sink->Start();
  Drain();
  std::sort(exporter.seen.begin(), exporter.seen.end());
  EXPECT_EQ(exporter.seen,
            (std::vector<uint64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 17, 18, 19, 20}));
}

TEST_F(SpoolSinkTest, WhatTheDiskRefusesAtTheEndIsShed) {
  ASSERT_EQ(Push(1, ReceiptLevel::kTaken), PushResult::kTaken);
  files.before = [](const std::string& call, const std::string&) -> int64_t {
    return call == "write" ? -EIO : 0;
  };
  sink->Stop();
  FakeExporter::Held& held = exporter.held[0];
  EXPECT_TRUE(
      sink->Keep(held.batch.signal, protocols::otlp::Gather(held.batch), 5, held.hold.receipt()));
  bool finished = false;
  sink->Finish(std::chrono::seconds(5), [&] { finished = true; });
  EXPECT_TRUE(loop.RunUntil([&] { return finished; }));
  sink.reset();
  EXPECT_EQ(ledger->lost_total(), 5u);
  EXPECT_TRUE(ledger->Balanced());
}

// F17: without the disk the exporter's word is good enough, as long as it is to come soon.
TEST_F(SpoolSinkTest, ADiskThatRefusesIsNoMatterWhileTheExporterDelivers) {
  files.before = [](const std::string& call, const std::string&) -> int64_t {
    return call == "write" ? -EROFS : 0;
  };
  Told first, second, third;
  ASSERT_EQ(Push(1, ReceiptLevel::kDurable, &first), PushResult::kTaken);
  ASSERT_TRUE(loop.RunUntil([&] { return spool->refusing(); }));
  ASSERT_EQ(Push(6, ReceiptLevel::kDurable, &second), PushResult::kTaken);
  loop.RunPosted();
  EXPECT_FALSE(first.called || second.called);
  exporter.DeliverAll();
  EXPECT_TRUE(first.reached && second.reached);
  exporter_is_well = false;
  EXPECT_EQ(Push(11, ReceiptLevel::kDurable, &third), PushResult::kBusy);
}

TEST_F(SpoolSinkTest, BusyExporterIsAskedAgainAndTheBatchKept) {
  exporter.room = 0;
  for (uint64_t i = 0; i < 10; ++i)
    ASSERT_EQ(Push(1 + 5 * i, ReceiptLevel::kTaken), PushResult::kTaken);
  ASSERT_TRUE(loop.RunUntil([&] { return ledger->held() == 50; }));
  Drain();
  EXPECT_TRUE(exporter.seen.empty());
  exporter.room = 3;
  Drain();
  std::sort(exporter.seen.begin(), exporter.seen.end());
  EXPECT_EQ(exporter.seen.size(), 50u);
  EXPECT_EQ(std::unique(exporter.seen.begin(), exporter.seen.end()), exporter.seen.end());
}

// F17: refused by the disk: a promise that was not yet given is refused, one that was is kept.
TEST_F(SpoolSinkTest, FullDiskRefusesTheDurableAndKeepsTheAcknowledged) {
  sink.reset();
  spool.reset();
  auto full = std::make_shared<std::atomic<bool>>(true);
  files.before = [full](const std::string& call, const std::string&) -> int64_t {
    return *full && call == "write" ? -ENOSPC : 0;
  };
  files.Kill();
  Open();
  exporter.room = 0;
  Told told;
  ASSERT_EQ(Push(1, ReceiptLevel::kDurable, &told), PushResult::kTaken);
  ASSERT_EQ(Push(6, ReceiptLevel::kTaken), PushResult::kTaken);
  ASSERT_TRUE(loop.RunUntil([&] { return told.called && loop.timers() > 0; }));
  EXPECT_FALSE(told.reached);
  EXPECT_EQ(Push(11, ReceiptLevel::kTaken), PushResult::kBusy);
  *full = false;
  exporter.room = 1'000;
  for (int i = 0; i < 500 && exporter.seen.size() < 5; ++i) {
    loop.Tick();
    loop.RunPosted();
    usleep(10'000);
  }
  EXPECT_EQ(exporter.seen, (std::vector<uint64_t>{6, 7, 8, 9, 10}));
}

TEST_F(SpoolSinkTest, WhatCanNeverFitIsLeftToTheExporter) {
  sink.reset();
  spool.reset();
  max_bytes = 1 << 20;
  Open();
  ASSERT_EQ(Push(1, ReceiptLevel::kTaken), PushResult::kTaken);
  exporter.DeliverAll();
  model::OtlpBatch batch = MakeSpans(100, 4, 400'000);
  const model::ReceiptRef receipt = batch.receipt = std::make_shared<model::Receipt>(
      nullptr, 0, model::ReceiptWish{ReceiptLevel::kDurable, "otlp_grpc"});
  Told told;
  ASSERT_EQ(sink->Push(std::move(batch)), PushResult::kTaken);
  receipt->When(ReceiptLevel::kDurable, [&](bool reached) { told = {true, reached}; });
  loop.RunPosted();
  EXPECT_FALSE(told.called);
  exporter.DeliverAll();
  EXPECT_TRUE(told.reached);
  exporter.room = 0;
  EXPECT_EQ(sink->Push(MakeSpans(200, 4, 400'000)), PushResult::kBusy);
}

TEST_F(SpoolSinkTest, OtherSignalsTravelAsTheyAre) {
  exporter.room = 0;
  model::OtlpBatch batch;
  base::ByteBuffer bytes;
  bytes.Append(std::string_view("opaque"));
  batch.bytes = base::Share(std::move(bytes));
  batch.signal = model::Signal::kLogs;
  batch.items = 3;
  ASSERT_EQ(sink->Push(std::move(batch)), PushResult::kTaken);
  ASSERT_TRUE(loop.RunUntil([&] { return ledger->held() == 3; }));
  exporter.room = 10;
  for (int i = 0; i < 500 && exporter.held.empty(); ++i) {
    loop.Tick();
    loop.RunPosted();
    usleep(2'000);
  }
  ASSERT_EQ(exporter.held.size(), 1u);
  EXPECT_EQ(exporter.held[0].batch.signal, model::Signal::kLogs);
  EXPECT_EQ(exporter.held[0].batch.items, 3u);
  EXPECT_EQ(base::AsText(exporter.held[0].batch.bytes->view()), "opaque");
}

TEST_F(SpoolSinkTest, ToolsSeeWhatIsThere) {
  exporter.room = 0;
  for (uint64_t i = 0; i < 3; ++i)
    ASSERT_EQ(Push(1 + 5 * i, ReceiptLevel::kTaken), PushResult::kTaken);
  spool->Close();
  EXPECT_EQ(Records(), 3u);
  std::ostringstream list, verify, errors;
  EXPECT_EQ(ListSpool("/spool", list, errors, files), 0);
  EXPECT_NE(list.str().find("\t3\t15\t15\t0"), std::string::npos) << list.str();
  EXPECT_EQ(VerifySpool("/spool", verify, errors, files), 0);
  EXPECT_NE(verify.str().find("3 records are whole, 0"), std::string::npos);
  std::string& bytes = files.Bytes("/spool/" + SegmentName(1));
  bytes[bytes.size() - 30] ^= 1;
  std::ostringstream damaged;
  EXPECT_EQ(VerifySpool("/spool", damaged, errors, files), 1);
  EXPECT_NE(damaged.str().find("wrong checksum, 5 items"), std::string::npos) << damaged.str();
}

}  // namespace
}  // namespace weft::spool
