#include "exporters/collector/request.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "exporters/otlp_request.h"

namespace weft::exporters::collector {
namespace {

uint64_t PayloadBytes(const std::vector<Item>& items) {
  uint64_t sum = 0;
  for (const Item& item : items) sum += item.payload.size;
  return sum;
}

TEST(CollectorRequest, ALargeBatchIsCutIntoPartsThatFit) {
  model::OtlpBatch batch = MakeSpans(1, 400, 200);
  const uint64_t whole = batch.size_bytes();
  std::vector<Item> items = MakeItems(std::move(batch), 400, 20'000);
  ASSERT_GT(items.size(), 4u);
  uint64_t spans = 0;
  for (const Item& item : items) {
    EXPECT_LE(item.payload.size, 20'000u);
    spans += item.spans;
  }
  EXPECT_EQ(spans, 400u);
  EXPECT_LT(PayloadBytes(items), whole + whole / 10);
}

// A resource larger than half a request would be repeated in every part: bytes must not multiply.
TEST(CollectorRequest, ABatchThatIsMostlyEnvelopeIsNotCut) {
  std::vector<TestSpan> spans;
  for (uint64_t i = 1; i <= 500; ++i) spans.push_back({.trace = 7, .span = i});
  model::OtlpBatch batch = MakeBatch(std::string(15'000, 's'), spans);
  const uint64_t whole = batch.size_bytes();
  std::vector<Item> items = MakeItems(std::move(batch), 500, 20'000);
  EXPECT_LE(PayloadBytes(items), 2 * whole);
}

std::string Scope(uint64_t first, int count, size_t name_size) {
  std::string scope = Bytes(1, Bytes(1, "lib"));
  for (int i = 0; i < count; ++i) {
    scope += Bytes(2, EncodeSpan({.span = first + static_cast<uint64_t>(i),
                                  .name = std::string(name_size, 'x')}));
  }
  return Bytes(2, scope);
}

std::string Resource(size_t envelope_bytes, const std::string& scopes) {
  return Bytes(1, Bytes(1, Attribute(1, "pad", std::string(envelope_bytes, 'p'))) + scopes);
}

std::vector<Item> Cut(model::OtlpBatch batch, uint64_t max_bytes) {
  const uint64_t spans = batch.live_count();
  return MakeItems(std::move(batch), spans, max_bytes);
}

struct Sum {
  uint64_t spans = 0, bytes = 0, charge = 0;
  std::vector<uint64_t> ids;
};

Sum SumOf(const std::vector<Item>& items) {
  Sum sum;
  for (const Item& item : items) {
    sum.spans += item.spans;
    sum.bytes += item.payload.size;
    sum.charge += item.charge;
    const base::ByteBuffer flat = protocols::otlp::Flatten(item.payload);
    const auto ids = SpanIds(flat.view());
    EXPECT_EQ(ids.size(), item.spans);
    sum.ids.insert(sum.ids.end(), ids.begin(), ids.end());
  }
  return sum;
}

std::vector<uint64_t> Numbers(uint64_t last) {
  std::vector<uint64_t> out;
  for (uint64_t i = 1; i <= last; ++i) out.push_back(i);
  return out;
}

TEST(CollectorRequest, ALargeEnvelopeIsNotRepeatedForEverySpan) {
  const std::string request = Resource(60'000, Scope(1, 2000, 10));
  const std::vector<Item> items = Cut(IndexText(request), 100'000);
  ASSERT_EQ(items.size(), 1u);
  EXPECT_EQ(items[0].payload.size, request.size());
  EXPECT_EQ(items[0].spans, 2000u);
}

TEST(CollectorRequest, AnEnvelopeOverTheLimitDoesNotKeepItsNeighboursTogether) {
  const std::string request = Resource(10, Scope(1, 1000, 100)) +
                              Resource(60'000, Scope(1001, 1000, 100)) +
                              Resource(10, Scope(2001, 1000, 100));
  const std::vector<Item> items = Cut(IndexText(request), 50'000);
  const Sum sum = SumOf(items);
  EXPECT_EQ(sum.ids, Numbers(3000));
  EXPECT_LT(sum.bytes, request.size() + 2'000);
  size_t over = 0;
  for (const Item& item : items) over += item.payload.size > 50'000;
  EXPECT_EQ(over, 1u);
}

TEST(CollectorRequest, ManyEnvelopesThatOutweighTheirSpansAreStillCutBetween) {
  std::string request;
  for (uint64_t i = 1; i <= 100; ++i) request += Resource(2'000, Scope(i, 1, 10));
  const std::vector<Item> items = Cut(IndexText(request), 20'000);
  for (const Item& item : items) EXPECT_LE(item.payload.size, 20'000u);
  const Sum sum = SumOf(items);
  EXPECT_EQ(sum.ids, Numbers(100));
  EXPECT_EQ(sum.bytes, request.size());
}

TEST(CollectorRequest, TheCutRepeatsNoMoreThanTheBytesOfTheSpans) {
  const std::string request = Resource(9'000, Scope(1, 5000, 10));
  const std::vector<Item> items = Cut(IndexText(request), 20'000);
  const Sum sum = SumOf(items);
  EXPECT_EQ(sum.ids, Numbers(5000));
  EXPECT_LT(sum.bytes, 3 * request.size());
}

TEST(CollectorRequest, ThePartsOfABatchAreChargedAsTheBatch) {
  model::OtlpBatch batch = IndexText(Resource(9'000, Scope(1, 5000, 10)));
  const uint64_t charge = ChargeOf(batch);
  const std::vector<Item> items = Cut(std::move(batch), 20'000);
  ASSERT_GT(items.size(), 10u);
  const Sum sum = SumOf(items);
  EXPECT_GE(sum.charge + items.size(), charge);
  EXPECT_LE(sum.charge, charge + 1024 * items.size());
}

// Dropped spans, appended attributes and envelopes that stand interleaved go into the right part.
TEST(CollectorRequest, EditsAndInterleavedEnvelopesSurviveTheCut) {
  const std::string interleaved =
      Bytes(1, Scope(1, 50, 100) + Bytes(1, Attribute(1, "service.name", "late")) +
                   Scope(51, 50, 100) + Bytes(3, "schema"));
  model::OtlpBatch batch = IndexText(Resource(10, Scope(101, 50, 100)) + interleaved);
  ASSERT_EQ(batch.spans.size(), 150u);
  batch.edited = true;
  for (size_t i = 0; i < batch.spans.size(); ++i) {
    if (i % 3 == 0) batch.spans[i].dropped = true;
    if (i % 3 != 1) continue;
    batch.appends.push_back(Attribute(9, "n", std::to_string(i)));
    batch.spans[i].append = static_cast<uint32_t>(batch.appends.size());
  }
  const base::ByteBuffer whole = protocols::otlp::Flatten(protocols::otlp::Gather(batch));
  const auto describe = [](base::ByteView request) {
    std::vector<protocols::otlp::ResourceSpansView> resources;
    EXPECT_TRUE(protocols::otlp::Decode(request, &resources));
    std::string text;
    for (const auto& resource : resources)
      for (const auto& scope : resource.scopes)
        for (const auto& span : scope.spans) {
          text += std::string(resource.ServiceName()) + "/" + std::string(scope.name) + "/" +
                  span.span_id.Hex();
          for (const auto& attribute : span.attributes) text += "," + attribute.ToText();
          text += "\n";
        }
    return text;
  };
  const std::vector<Item> items = Cut(std::move(batch), 2'000);
  ASSERT_GT(items.size(), 4u);
  std::string parts;
  uint64_t spans = 0;
  for (const Item& item : items) {
    EXPECT_LE(item.payload.size, 2'000u);
    parts += describe(protocols::otlp::Flatten(item.payload).view());
    spans += item.spans;
  }
  EXPECT_EQ(spans, 100u);
  EXPECT_EQ(parts, describe(whole.view()));
}

Request OneItem(const std::string& encoded) {
  model::OtlpBatch batch = IndexText(encoded);
  const uint64_t spans = batch.live_count();
  Request request;
  request.items = MakeItems(std::move(batch), spans, UINT64_MAX);
  return request;
}

TEST(CollectorRequest, HalvesAreCutBetweenEnvelopesFirst) {
  const std::string first = Resource(3'000, Scope(1, 20, 50));
  const std::string second = Resource(3'000, Scope(21, 30, 50));
  Request one = OneItem(first + second), two;
  ASSERT_TRUE(Halve(&one, &two));
  EXPECT_EQ(one.bytes(), first.size());
  EXPECT_EQ(two.bytes(), second.size());
  EXPECT_EQ(one.spans(), 20u);
  EXPECT_EQ(two.spans(), 30u);
}

TEST(CollectorRequest, HalvesDivideTheBytesAndNotTheCount) {
  const std::string scope =
      Bytes(2, Bytes(2, EncodeSpan({.span = 1, .name = std::string(9'000, 'x')})) +
                   Bytes(2, EncodeSpan({.span = 2})) + Bytes(2, EncodeSpan({.span = 3})) +
                   Bytes(2, EncodeSpan({.span = 4})));
  Request one = OneItem(Resource(10, scope)), two;
  ASSERT_TRUE(Halve(&one, &two));
  EXPECT_EQ(one.spans(), 1u);
  EXPECT_EQ(two.spans(), 3u);
}

TEST(CollectorRequest, AnItemThatIsMostlyEnvelopeGivesUpItsSmallestSpanAlone) {
  Request one = OneItem(Resource(60'000, Scope(1, 10, 200) + Scope(11, 1, 5) + Scope(12, 500, 40)));
  Request two;
  const uint64_t whole = one.bytes();
  ASSERT_TRUE(Halve(&one, &two));
  EXPECT_EQ(SumOf(one.items).ids, std::vector<uint64_t>{11});
  EXPECT_EQ(two.spans(), 510u);
  EXPECT_LT(two.bytes(), whole);
  EXPECT_GE(SmallestPart(two), 60'000u);
}

TEST(CollectorRequest, TheHalvesOfEverythingAreEverything) {
  Request all = OneItem(Resource(500, Scope(1, 37, 100) + Scope(38, 3, 2'000)) +
                        Resource(4'000, Scope(41, 60, 30)));
  const uint64_t charge = all.charge();
  std::vector<Request> queue;
  queue.push_back(std::move(all));
  std::multiset<uint64_t> ids;
  uint64_t charged = 0;
  while (!queue.empty()) {
    Request request = std::move(queue.back()), second;
    queue.pop_back();
    if (Halve(&request, &second)) {
      queue.push_back(std::move(request));
      queue.push_back(std::move(second));
      continue;
    }
    EXPECT_EQ(request.spans(), 1u);
    charged += request.charge();
    for (uint64_t id : SumOf(request.items).ids) ids.insert(id);
  }
  const auto expected = Numbers(100);
  EXPECT_EQ(std::vector<uint64_t>(ids.begin(), ids.end()), expected);
  EXPECT_EQ(charged, charge);
}

Request Opaque(model::Signal signal, const std::string& bytes, uint64_t items) {
  model::OtlpBatch batch;
  base::ByteBuffer buffer;
  buffer.Append(bytes);
  batch.bytes = base::Share(std::move(buffer));
  batch.signal = signal;
  batch.items = items;
  Request request;
  request.items = MakeItems(std::move(batch), items, 10);
  return request;
}

TEST(CollectorRequest, OpaqueSignalsAreCutBetweenTheirEntriesOnly) {
  const std::string small = Bytes(1, std::string(100, 'a')),
                    large = Bytes(1, std::string(900, 'b'));
  Request one = Opaque(model::Signal::kLogs, small + small + large, 110), two;
  ASSERT_EQ(one.items.size(), 1u);
  ASSERT_TRUE(Halve(&one, &two));
  EXPECT_EQ(one.bytes(), 2 * small.size());
  EXPECT_EQ(two.bytes(), large.size());
  EXPECT_EQ(one.spans() + two.spans(), 110u);
  EXPECT_EQ(two.signal(), model::Signal::kLogs);
  Request third;
  EXPECT_FALSE(Halve(&two, &third));
}

// The parts of a profiles request share a dictionary.
TEST(CollectorRequest, ProfilesAreNeverCut) {
  const std::string entry = Bytes(1, "abc");
  Request one = Opaque(model::Signal::kProfiles, entry + entry, 2), two;
  EXPECT_FALSE(Halve(&one, &two));
}

}  // namespace
}  // namespace weft::exporters::collector
