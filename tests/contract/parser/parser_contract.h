// The contract of every stream parser in agent/protocols, as one typed suite. A protocol gets it by
// one adapter:
//
//   struct MyParser {
//     static constexpr const char* kName = "my/requests";
//     model::ParseState Feed(base::ByteView bytes);   // events are appended to `events`, one line
//     each model::ParseState Gap(uint64_t n); bool Resync(base::ByteView next, uint64_t offset);
//     uint64_t offset() const;
//     std::string events;                             // only written while `is_recording`
//     bool is_recording = true;
//     static std::vector<std::string> Messages();     // valid, complete, one after another on one
//     connection static size_t MemoryLimit();                    // bytes that an endless message
//     may make it keep static std::string EndlessMessage();            // a start that never ends,
//     larger than MemoryLimit()
//   };
//   INSTANTIATE_TYPED_TEST_SUITE_P(My, ParserContract, MyParser);
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "contract/parser/allocation_count.h"
#include "model/parser.h"

namespace weft::contract {

// Bytes whose last one is followed by a page that cannot be read.
class GuardedBytes {
 public:
  explicit GuardedBytes(std::string_view bytes) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t room = (bytes.size() + page - 1) / page * page;
    size_ = room + page;
    base_ = static_cast<uint8_t*>(
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPECT_NE(base_, MAP_FAILED);
    EXPECT_EQ(mprotect(base_ + room, page, PROT_NONE), 0);
    view_ = {base_ + room - bytes.size(), bytes.size()};
    std::memcpy(base_ + room - bytes.size(), bytes.data(), bytes.size());
  }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;
  ~GuardedBytes() { munmap(base_, size_); }
  base::ByteView view() const { return view_; }

 private:
  uint8_t* base_ = nullptr;
  size_t size_ = 0;
  base::ByteView view_;
};

template <typename Parser>
class ParserContract : public ::testing::Test {
 protected:
  static std::string Stream() {
    std::string all;
    for (const std::string& message : Parser::Messages()) all += message;
    return all;
  }
  static std::string WholeAtOnce(std::string_view bytes) {
    Parser parser;
    parser.Feed(base::AsBytes(bytes));
    return parser.events;
  }
};
TYPED_TEST_SUITE_P(ParserContract);

TYPED_TEST_P(ParserContract, AnySplitGivesTheSameMessages) {
  const std::string stream = this->Stream(), want = this->WholeAtOnce(stream);
  ASSERT_FALSE(want.empty());
  for (size_t split = 0; split <= stream.size(); ++split) {
    TypeParam parser;
    parser.Feed(base::AsBytes(std::string_view(stream).substr(0, split)));
    parser.Feed(base::AsBytes(std::string_view(stream).substr(split)));
    ASSERT_EQ(parser.events, want) << "split at " << split;
    ASSERT_EQ(parser.offset(), stream.size());
  }
  for (unsigned seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    TypeParam parser;
    for (size_t at = 0, n; at < stream.size(); at += n) {
      n = 1 + random() % 40;
      parser.Feed(base::AsBytes(std::string_view(stream).substr(at, n)));
    }
    ASSERT_EQ(parser.events, want) << "seed " << seed;
  }
}

TYPED_TEST_P(ParserContract, NeverReadsOutsideItsView) {
  const std::string stream = this->Stream();
  for (size_t size = 0; size <= stream.size(); ++size) {
    GuardedBytes bytes(std::string_view(stream).substr(0, size));
    TypeParam parser;
    parser.Feed(bytes.view());
  }
}

TYPED_TEST_P(ParserContract, EveryByteIsConsumedWhateverItIs) {
  const std::string stream = this->Stream();
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    std::string bytes = stream;
    for (int i = 0; i < 5; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    TypeParam parser;
    uint64_t fed = 0;
    while (fed < bytes.size()) {
      const size_t n = std::min<size_t>(1 + random() % 60, bytes.size() - fed);
      GuardedBytes piece(std::string_view(bytes).substr(fed, n));
      parser.Feed(piece.view());
      fed += n;
      ASSERT_EQ(parser.offset(), fed) << "seed " << seed;
    }
  }
}

TYPED_TEST_P(ParserContract, ResyncsAtTheNextMessageAfterGarbage) {
  TypeParam parser;
  const std::string garbage(100, '\x01');
  ASSERT_EQ(parser.Feed(base::AsBytes(garbage)), model::ParseState::kBad);
  ASSERT_FALSE(parser.Resync(base::AsBytes(garbage), garbage.size()));
  for (const std::string& message : TypeParam::Messages()) {
    TypeParam fresh;
    fresh.Feed(base::AsBytes(garbage));
    ASSERT_TRUE(fresh.Resync(base::AsBytes(message), garbage.size())) << message;
    EXPECT_EQ(fresh.Feed(base::AsBytes(message)), model::ParseState::kDone) << message;
    EXPECT_FALSE(fresh.events.empty());
  }
}

TYPED_TEST_P(ParserContract, RecoversAfterAGapAnywhere) {
  const std::vector<std::string> messages = TypeParam::Messages();
  const std::string& next = messages.front();
  for (const std::string& message : messages) {
    for (size_t at = 0; at < message.size(); ++at) {
      TypeParam parser;
      parser.Feed(base::AsBytes(std::string_view(message).substr(0, at)));
      model::ParseState state = parser.Gap(message.size() - at);
      ASSERT_EQ(parser.offset(), message.size());
      if (state == model::ParseState::kBad) {
        ASSERT_TRUE(parser.Resync(base::AsBytes(next), message.size()));
      }
      parser.events.clear();
      state = parser.Feed(base::AsBytes(next));
      ASSERT_EQ(state, model::ParseState::kDone) << message << " cut at " << at;
      ASSERT_FALSE(parser.events.empty());
    }
  }
}

TYPED_TEST_P(ParserContract, MemoryIsBounded) {
  if (!CanCountAllocations())
    GTEST_SKIP() << "SKIPPED: allocations cannot be counted under a sanitizer";
  const std::string endless = TypeParam::EndlessMessage();
  ASSERT_GT(endless.size(), TypeParam::MemoryLimit());
  TypeParam parser;
  parser.is_recording = false;
  const AllocationCount before = AllocationsNow();
  for (int round = 0; round < 5; ++round) {
    for (size_t at = 0; at < endless.size(); at += 1000) {
      parser.Feed(base::AsBytes(std::string_view(endless).substr(at, 1000)));
    }
  }
  EXPECT_LE(AllocationsNow().peak_bytes - before.live_bytes, TypeParam::MemoryLimit());
}

TYPED_TEST_P(ParserContract, NoAllocationInSteadyState) {
  if (!CanCountAllocations())
    GTEST_SKIP() << "SKIPPED: allocations cannot be counted under a sanitizer";
  const std::string stream = this->Stream();
  TypeParam parser;
  parser.is_recording = false;
  auto Round = [&](size_t piece) {
    for (size_t at = 0; at < stream.size(); at += piece) {
      parser.Feed(base::AsBytes(std::string_view(stream).substr(at, piece)));
    }
  };
  for (size_t piece : {stream.size(), size_t{7}, size_t{1}}) Round(piece);
  const AllocationCount before = AllocationsNow();
  for (int i = 0; i < 20; ++i) {
    for (size_t piece : {stream.size(), size_t{100}, size_t{7}, size_t{1}}) Round(piece);
  }
  EXPECT_EQ(AllocationsNow().allocations, before.allocations);
}

TYPED_TEST_P(ParserContract, SameBytesSameEvents) {
  const std::string stream = this->Stream();
  for (unsigned seed = 0; seed < 50; ++seed) {
    std::string first;
    for (int run = 0; run < 2; ++run) {
      std::mt19937 random(seed);
      std::string bytes = stream;
      bytes[random() % bytes.size()] = static_cast<char>(random());
      TypeParam parser;
      parser.Feed(base::AsBytes(bytes));
      parser.Gap(random() % 100);
      parser.Feed(base::AsBytes(bytes));
      if (run == 0) first = parser.events;
      EXPECT_EQ(parser.events, first);
    }
  }
}

REGISTER_TYPED_TEST_SUITE_P(ParserContract, AnySplitGivesTheSameMessages, NeverReadsOutsideItsView,
                            EveryByteIsConsumedWhateverItIs, ResyncsAtTheNextMessageAfterGarbage,
                            RecoversAfterAGapAnywhere, MemoryIsBounded, NoAllocationInSteadyState,
                            SameBytesSameEvents);

}  // namespace weft::contract
