// Thousands of random stories: whatever the order of views, spans, time and busy exporters, the
// books balance, no operation comes out twice and no parent is invented.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "story.h"

namespace weft::merge {
namespace {

using model::Role;
using model::SpanKind;

class RandomStory {
 public:
  explicit RandomStory(uint32_t seed) : random_(seed), story_(SmallWindow()) {
    for (uint32_t pid = 1; pid <= 4; ++pid) processes_.push_back(Story::Process(pid, "p"));
  }

  void Run() {
    for (int step = 0; step < 400; ++step) {
      Step();
      ASSERT_TRUE(story_.ledger.Balanced()) << story_.ledger.Text();
    }
    story_.out.is_busy = false;
    for (const model::Span& span : open_) story_.Finish(span, now_ms_);
    ASSERT_TRUE(story_.merge.Flush());
    story_.ExpectRest();
    ExpectSoundTraces();
  }

 private:
  static Options SmallWindow() {
    Options options;
    options.hold_max_bytes = 96 << 10;
    options.remembered_keys = 16;
    return options;
  }
  uint32_t Pick(uint32_t n) { return random_() % n; }

  void Step() {
    switch (Pick(8)) {
      case 0:
      case 1:
      case 2:
        return OpenOne();
      case 3:
      case 4:
        return FinishOne();
      case 5:
        return Export();
      case 6:
        now_ms_ += Pick(1'500);
        return story_.At(now_ms_);
      default:
        story_.out.is_busy = Pick(4) == 0;
    }
  }
  void OpenOne() {
    const Role role = Pick(2) ? Role::kServer : Role::kClient;
    model::Span span = story_.Exchange(role, processes_[Pick(4)], now_ms_);
    span.thread = Pick(3);
    if (Pick(2)) {
      Story::Carry(&span, static_cast<uint8_t>(1 + Pick(3)), next_id_, Pick(8) != 0);
      if (Pick(3)) ++next_id_;
    }
    if (last_ && last_->role != role && Pick(2)) Story::Connect(*last_, &span);
    last_ = span;
    if (Pick(10) != 0) story_.Open(span);  // else its end is all that is seen
    open_.push_back(span);
  }
  void FinishOne() {
    if (open_.empty()) return;
    const size_t i = Pick(static_cast<uint32_t>(open_.size()));
    story_.Finish(open_[i], now_ms_);
    open_.erase(open_.begin() + static_cast<long>(i));
  }
  void Export() {
    std::vector<SdkSpan> spans;
    for (uint32_t n = Pick(4); n > 0; --n) {
      SdkSpan span;
      span.trace = Trace_(static_cast<uint8_t>(1 + Pick(3)));
      base::SpanId known = Span_(static_cast<uint8_t>(next_id_ - Pick(3)));
      span.kind = static_cast<SpanKind>(Pick(6));
      const bool is_client = span.kind == SpanKind::kClient;
      span.id = is_client && sdk_ids_.insert(known.Hex()).second ? known : base::NewSpanId();
      if (!is_client && Pick(3)) span.parent = known;
      span.start_ms = now_ms_ - std::min<uint64_t>(now_ms_, Pick(100));
      span.end_ms = now_ms_;
      if (Pick(2)) span.attributes = {{"http.method", "GET"}, {"http.target", "/a"}};
      spans.push_back(span);
    }
    const uint32_t sender = Pick(5);
    static_cast<void>(story_.Export(sender == 4 ? nullptr : processes_[sender], spans));
  }
  void ExpectSoundTraces() {
    std::multiset<std::string> kernel_ids;
    for (const Seen& s : story_.Spans()) {
      EXPECT_FALSE(s.span.trace_id.IsZero());
      EXPECT_FALSE(s.span.span_id.IsZero());
      EXPECT_NE(s.span.span_id, s.span.parent_id);  // case F39
      EXPECT_LE(s.span.start_ns, s.span.end_ns);
      if (s.origin() == "kernel" && s.span.kind == 2) kernel_ids.insert(s.span.span_id.Hex());
    }
    for (const std::string& id : kernel_ids) EXPECT_EQ(kernel_ids.count(id), 1u);
  }

  std::mt19937 random_;
  Story story_;
  std::vector<model::ProcessRef> processes_;
  std::vector<model::Span> open_;
  std::optional<model::Span> last_;
  std::set<std::string> sdk_ids_;
  uint64_t now_ms_ = 0;
  uint8_t next_id_ = 10;
};

TEST(MergeRandom, BooksBalanceAndNothingComesOutTwice) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    RandomStory(seed).Run();
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace weft::merge
