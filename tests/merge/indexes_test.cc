// The containers inside merge against the plain ones of the library.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <unordered_map>
#include <vector>

#include "merge/containers/entry_table.h"
#include "merge/containers/pool.h"
#include "merge/containers/time_index.h"
#include "merge/entry.h"
#include "merge/recent_keys.h"

namespace weft::merge {
namespace {

TEST(MergeEntryTable, FindsWhatAMapFindsThroughGrowthAndShrinking) {
  std::mt19937_64 random(1);
  EntryTable table;
  Pool<Entry> pool(0);
  std::unordered_map<uint64_t, Entry*> want;
  std::vector<uint64_t> ids;
  // Few hashes: long chains whose members must survive the removal of those before them.
  const auto hash_of = [](uint64_t id) {
    return id % 3 == 0 ? id / 64 : id * 0x9E3779B97F4A7C15ull;
  };
  const auto find = [&](uint64_t id) {
    return table.Find(hash_of(id), [id](const Entry& e) { return e.span.exchange_id == id; });
  };
  for (uint64_t step = 1; step <= 30'000; ++step) {
    const bool grows = step / 5'000 % 2 == 0;
    if (want.empty() || random() % 10 < (grows ? 8 : 2)) {
      Entry* entry = pool.New();
      entry->span.exchange_id = step;
      table.Insert(hash_of(step), entry);
      want[step] = entry;
      ids.push_back(step);
    } else {
      std::swap(ids[random() % ids.size()], ids.back());
      EntryTable::Slot* slot = find(ids.back());
      ASSERT_NE(slot, nullptr);
      ASSERT_EQ(slot->entry, want[ids.back()]);
      table.Erase(slot);
      ASSERT_EQ(find(ids.back()), nullptr);
      pool.Delete(want[ids.back()]);
      want.erase(ids.back());
      ids.pop_back();
    }
    ASSERT_EQ(table.size(), want.size());
    if (step % 997 != 0) continue;
    for (const auto& [id, entry] : want) ASSERT_EQ(find(id)->entry, entry);
  }
  size_t visited = 0;
  table.ForEach([&](Entry& entry) {
    ++visited;
    EXPECT_EQ(want[entry.span.exchange_id], &entry);
    pool.Delete(&entry);
  });
  EXPECT_EQ(visited, want.size());
}

TEST(MergeTimeIndex, KeepsOrderWhateverComesLateAndLeavesEarly) {
  std::mt19937 random(2);
  TimeIndex index;
  std::multimap<uint64_t, Entry*> want;
  std::vector<std::pair<uint64_t, Entry*>> live;
  std::vector<Entry> entries(4'000);
  uint64_t now = 1'000;
  for (Entry& entry : entries) {
    now += random() % 3;
    const uint64_t first = random() % 5 == 0 ? now - random() % 500 : now;
    index.Add(first, &entry, 7);
    want.emplace(first, &entry);
    live.emplace_back(first, &entry);
    while (live.size() > 200 || (!live.empty() && random() % 3 == 0)) {
      const size_t i = random() % 4 == 0 ? random() % live.size() : 0;
      index.Remove(live[i].first, live[i].second);
      index.Remove(live[i].first, live[i].second);  // twice does no harm
      auto it = want.lower_bound(live[i].first);
      while (it->second != live[i].second) ++it;
      want.erase(it);
      live.erase(live.begin() + static_cast<ptrdiff_t>(i));
    }
    EXPECT_EQ(index.empty(), want.empty());
    const uint64_t limit = now - random() % 300;
    std::vector<uint64_t> seen, expected;
    for (auto it = index.Above(limit); it != index.begin();) {
      if ((--it)->entry != nullptr) seen.push_back(it->first_ns);
    }
    for (auto it = want.upper_bound(limit); it != want.begin();) expected.push_back((--it)->first);
    ASSERT_EQ(seen, expected);
  }
}

TEST(MergeTimeIndex, NearestComeFirstAndNotMoreThanAskedFor) {
  TimeIndex index;
  std::vector<Entry> entries(20'000);
  for (size_t i = 0; i < entries.size(); ++i) index.Add(10 * i, &entries[i], 0);
  const auto near = [&](uint64_t at, int most) {
    std::vector<uint64_t> seen;
    index.ForEachNear(at, most, [&](const TimeIndex::Item& item) {
      seen.push_back(item.first_ns);
      return true;
    });
    return seen;
  };
  EXPECT_EQ(near(1'004, 5), (std::vector<uint64_t>{1'000, 1'010, 990, 1'020, 980}));
  index.Remove(1'000, &entries[100]);
  EXPECT_EQ(near(1'004, 3), (std::vector<uint64_t>{1'010, 990, 1'020}));
  EXPECT_EQ(near(0, 2), (std::vector<uint64_t>{0, 10}));
  EXPECT_EQ(near(1'000'000, 2), (std::vector<uint64_t>{199'990, 199'980}));
  EXPECT_EQ(near(100'000, 256).size(), 256u);
  // A field of holes is not searched for ever.
  for (size_t i = 5'000; i < 14'000; ++i) index.Remove(10 * i, &entries[i]);
  EXPECT_TRUE(near(100'000, 256).empty());
}

// Callers choose the ids: by halves that look alike they must not be able to choose the place.
TEST(MergeRecentKeys, ContextsThatDifferInAnyByteOfTheirIdsSpread) {
  RecentKeys keys(4'096, 1'000);
  int evicted = 0;
  const auto remember = [&](const ContextKey& key) {
    evicted += keys.Remember(key, {1, 1}, base::NewSpanId(), 0, 1) ? 1 : 0;
  };
  for (uint8_t n = 0; n < 200; ++n) {
    ContextKey first, last, span;
    first.trace_id.bytes.fill(1), last.trace_id.bytes.fill(2), span.trace_id.bytes.fill(3);
    first.trace_id.bytes[0] = last.trace_id.bytes[15] = span.span_id.bytes[0] = n;
    remember(first), remember(last), remember(span);
  }
  EXPECT_LT(evicted, 20);
}

// Long requests, which are not heard of for hours, do not keep idle processes in the table.
TEST(MergeProcessTable, IdleProcessesGoAlsoFromBehindBusyOnes) {
  ProcessTable table(1, 100);
  for (uint32_t pid = 1; pid <= 80; ++pid) ++table.Get({pid, 1}).entries;
  for (uint32_t pid = 1'000; pid < 2'000; ++pid) table.Get({pid, 1});
  EXPECT_LE(table.size(), 101u);
  for (uint32_t pid = 1; pid <= 80; ++pid) EXPECT_NE(table.Find({pid, 1}), nullptr);
}

TEST(MergePool, ReusesMemoryUpToItsLimit) {
  Pool<Trace> pool(1);
  Trace *a = pool.New(), *b = pool.New();
  pool.Delete(a);
  pool.Delete(b);  // beyond the limit: freed
  EXPECT_EQ(pool.New(), a);
  pool.Delete(a);
}

TEST(MergePool, LastReferenceGivesBack) {
  Pool<Trace> pool(4);
  TraceRef first = TraceRef::Make(pool);
  TraceRef second = TraceRef::Make(pool);
  second->joined = first;
  TraceRef third = second;
  second.reset();
  EXPECT_EQ(first->references, 2u);
  third = first;  // `second` goes, and with it its reference
  EXPECT_EQ(first->references, 2u);
  EXPECT_TRUE(third == first);
  third = nullptr;
  EXPECT_EQ(first->references, 1u);
}

}  // namespace
}  // namespace weft::merge
