#include "protocols/otlp/gather.h"

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <set>

#include "protocols/otlp/index.h"
#include "protocols/otlp/oracle.h"
#include "protocols/otlp/write.h"

namespace weft::protocols::otlp {
namespace {

using google::protobuf::util::MessageDifferencer;

std::string Appended(const oracle::Span& more) { return more.SerializeAsString(); }

// Drops and appends at random on both sides.
void Edit(std::mt19937& random, oracle::Request* request, model::OtlpBatch* batch) {
  size_t i = 0;
  for (auto& resource : *request->mutable_resource_spans()) {
    for (auto& scope : *resource.mutable_scope_spans()) {
      auto* spans = scope.mutable_spans();
      for (int at = 0; at < spans->size(); ++i) {
        uint32_t what = random() % 4;
        if (what == 0) {
          batch->spans[i].dropped = batch->edited = true;
          spans->DeleteSubrange(at, 1);
          continue;
        }
        if (what == 1) {
          oracle::Span more;
          oracle::KeyValue* pair = more.add_attributes();
          pair->set_key("k8s.pod.name");
          pair->mutable_value()->set_string_value(std::string(random() % 200, 'p'));
          more.set_parent_span_id("ABCDEFGH");
          batch->appends.push_back(Appended(more));
          batch->spans[i].append = static_cast<uint32_t>(batch->appends.size());
          batch->edited = true;
          spans->Mutable(at)->MergeFrom(more);
        }
        ++at;
      }
    }
  }
}

TEST(Gather, UntouchedBatchIsOnePieceOfTheSendersBytes) {
  model::OtlpBatch batch = IndexOf(OneSpan().SerializeAsString());
  base::Gathered out = Gather(batch);
  ASSERT_EQ(out.pieces.size(), 1u);
  EXPECT_EQ(out.pieces[0].data(), batch.bytes->data());
  EXPECT_EQ(out.size, batch.bytes->size());
}

TEST(Gather, ResultKeepsTheBytesAlive) {
  std::string sent = OneSpan().SerializeAsString();
  base::Gathered whole, composed;
  {
    model::OtlpBatch batch = IndexOf(sent);
    whole = Gather(batch);
    batch.edited = true;
    composed = Gather(batch);
  }
  EXPECT_EQ(FlattenText(whole), sent);
  EXPECT_EQ(FlattenText(composed), sent);
}

TEST(Gather, EditsGiveWhatProtobufMakesOfTheSameEdits) {
  for (uint32_t seed = 0; seed < 500; ++seed) {
    oracle::Request request = RandomRequest(seed);
    model::OtlpBatch batch = IndexOf(request.SerializeAsString());
    std::mt19937 random(seed);
    Edit(random, &request, &batch);
    oracle::Request out = Parse(FlattenText(Gather(batch)));
    if (batch.edited) DropEmptyEnvelopes(&request);
    EXPECT_TRUE(MessageDifferencer::Equals(out, request)) << seed;
  }
}

TEST(Gather, NeighboursGoAsOneRun) {
  oracle::Request request = OneSpan();
  oracle::ScopeSpans* scope = request.mutable_resource_spans(0)->mutable_scope_spans(0);
  scope->mutable_spans(0)->set_name(std::string(1000, 'n'));
  for (int i = 1; i < 9; ++i) *scope->add_spans() = scope->spans(0);
  model::OtlpBatch batch = IndexOf(request.SerializeAsString());
  batch.spans[4].dropped = batch.edited = true;
  // Envelopes, four spans, four spans.
  EXPECT_EQ(Gather(batch).pieces.size(), 3u);
}

TEST(Gather, AllDroppedIsEmpty) {
  model::OtlpBatch batch = IndexOf(OneSpan().SerializeAsString());
  batch.spans[0].dropped = batch.edited = true;
  EXPECT_EQ(Gather(batch).size, 0u);
  EXPECT_TRUE(GatherSplit(batch, 100).empty());
}

// The facts that merging and appending rest on.
TEST(Gather, ConcatenationOfRequestsIsTheirUnion) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    oracle::Request first = RandomRequest(seed), second = RandomRequest(seed + 1000);
    base::Gathered both = Gather(IndexOf(first.SerializeAsString()));
    both.Add(Gather(IndexOf(second.SerializeAsString())));
    oracle::Request out = Parse(FlattenText(both));
    first.MergeFrom(second);
    EXPECT_TRUE(MessageDifferencer::Equals(out, first));
    model::OtlpBatch batch = IndexOf(FlattenText(both));
    EXPECT_LE(batch.resources.size(), static_cast<size_t>(first.resource_spans_size()));
  }
}

// Some senders put envelope fields between the children; a padded length is legal as well.
TEST(Gather, InterleavedEnvelopeFieldsAndPaddedLengthsSurviveEdits) {
  oracle::Span span;
  span.set_trace_id("0123456789abcdef");
  span.set_span_id("01234567");
  std::string body = span.SerializeAsString();
  std::string padded = "\x12";
  padded += static_cast<char>(body.size() | 0x80);
  padded += '\x00';
  padded += body;
  std::string plain = "\x12";
  plain += static_cast<char>(body.size());
  plain += body;

  base::ByteBuffer bytes;
  Writer w(bytes);
  size_t resource = w.Begin(field::kResourceSpans);
  for (int i = 0; i < 2; ++i) {
    size_t scope = w.Begin(field::kScopeSpans);
    w.Raw(base::AsBytes(plain));
    size_t name = w.Begin(field::kScope);
    w.Text(field::kScopeName, "lib");
    w.End(name);
    w.Raw(base::AsBytes(padded));
    w.Raw(base::AsBytes(plain));
    w.Text(field::kSchemaUrl, "url");
    w.End(scope);
    size_t attributes = w.Begin(field::kResource);
    WriteAttribute(w, field::kResourceAttribute, "n", i);
    w.End(attributes);
  }
  w.End(resource);
  model::OtlpBatch batch = IndexOf(base::AsText(bytes.view()));
  ASSERT_EQ(batch.spans.size(), 6u);
  EXPECT_FALSE(batch.extra.empty());
  oracle::Request expected = Parse(base::AsText(bytes.view()));
  batch.edited = true;
  EXPECT_TRUE(MessageDifferencer::Equals(Parse(FlattenText(Gather(batch))), expected));
  batch.spans[5].dropped = true;
  expected.mutable_resource_spans(0)->mutable_scope_spans(1)->mutable_spans()->RemoveLast();
  std::string out = FlattenText(Gather(batch));
  EXPECT_TRUE(MessageDifferencer::Equals(Parse(out), expected));
  for (base::Gathered& part : GatherSplit(batch, 80)) IndexOf(FlattenText(part));
}

TEST(GatherSplit, PartsAreWithinTheLimitAndTogetherTheWhole) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    oracle::Request request = RandomRequest(seed);
    model::OtlpBatch batch = IndexOf(request.SerializeAsString());
    std::mt19937 random(seed);
    if (seed % 2 == 0) Edit(random, &request, &batch);
    DropEmptyEnvelopes(&request);
    uint64_t limit = 200 + random() % 3000;
    size_t spans = 0;
    std::string all;
    for (const base::Gathered& part : GatherSplit(batch, limit)) {
      std::string bytes = FlattenText(part);
      oracle::Request parsed = Parse(bytes);
      size_t here = 0, envelopes = 0;
      for (const auto& resource : parsed.resource_spans()) {
        envelopes += resource.resource().ByteSizeLong() + resource.schema_url().size();
        for (const auto& scope : resource.scope_spans()) {
          here += static_cast<size_t>(scope.spans_size());
          envelopes += scope.scope().ByteSizeLong() + scope.schema_url().size();
        }
      }
      EXPECT_GT(here, 0u);
      EXPECT_TRUE(bytes.size() <= limit || here == 1 || envelopes + 50 > limit / 2)
          << seed << ": " << bytes.size() << " > " << limit;
      spans += here;
      all += bytes;
    }
    size_t expected = 0;
    std::string expected_spans, got_spans;
    auto collect = [](const oracle::Request& from, std::string* out) {
      size_t n = 0;
      for (const auto& resource : from.resource_spans()) {
        for (const auto& scope : resource.scope_spans()) {
          for (const auto& span : scope.spans()) {
            *out += resource.resource().SerializeAsString() + resource.schema_url();
            *out += scope.scope().SerializeAsString() + scope.schema_url();
            *out += span.SerializeAsString();
            ++n;
          }
        }
      }
      return n;
    };
    expected = collect(request, &expected_spans);
    collect(Parse(all), &got_spans);
    EXPECT_EQ(spans, expected);
    EXPECT_EQ(got_spans, expected_spans) << seed;
  }
}

TEST(GatherSplit, PartsAreFilledToTheLastByte) {
  oracle::Request request = OneSpan();
  oracle::ScopeSpans* scope = request.mutable_resource_spans(0)->mutable_scope_spans(0);
  for (int i = 1; i < 10; ++i) *scope->add_spans() = scope->spans(0);
  model::OtlpBatch batch = IndexOf(request.SerializeAsString());
  EXPECT_EQ(GatherSplit(batch, batch.size_bytes()).size(), 1u);
  batch.edited = true;
  EXPECT_EQ(GatherSplit(batch, batch.size_bytes()).size(), 1u);
  EXPECT_EQ(GatherSplit(batch, batch.size_bytes() - 1).size(), 2u);
}

TEST(GatherSplit, OversizedSpanGoesAlone) {
  oracle::Request request = OneSpan();
  oracle::ScopeSpans* scope = request.mutable_resource_spans(0)->mutable_scope_spans(0);
  for (int i = 1; i < 3; ++i) *scope->add_spans() = scope->spans(0);
  scope->mutable_spans(1)->set_name(std::string(10'000, 'n'));
  model::OtlpBatch batch = IndexOf(request.SerializeAsString());
  auto parts = GatherSplit(batch, 1000);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_GT(parts[1].size, 10'000u);
}

TEST(GatherSplit, HugeEnvelopesAreNotMultiplied) {
  oracle::Request request = OneSpan();
  request.mutable_resource_spans(0)->set_schema_url(std::string(100'000, 'u'));
  oracle::ScopeSpans* scope = request.mutable_resource_spans(0)->mutable_scope_spans(0);
  for (int i = 1; i < 1000; ++i) *scope->add_spans() = scope->spans(0);
  model::OtlpBatch batch = IndexOf(request.SerializeAsString());
  size_t total = 0;
  for (const base::Gathered& part : GatherSplit(batch, 1000)) total += part.size;
  EXPECT_LE(total, 2 * batch.size_bytes());
}

TEST(GatherSplit, EnvelopesOfMoreThanHalfTheLimitAreNotRepeatedAndSmallerOnesAre) {
  for (size_t envelope : {400, 600}) {
    oracle::Request request = OneSpan();
    request.mutable_resource_spans(0)->set_schema_url(std::string(envelope, 'u'));
    oracle::ScopeSpans* scope = request.mutable_resource_spans(0)->mutable_scope_spans(0);
    for (int i = 1; i < 20; ++i) *scope->add_spans() = scope->spans(0);
    model::OtlpBatch batch = IndexOf(request.SerializeAsString());
    EXPECT_EQ(GatherSplit(batch, 1000).size() == 1, envelope == 600);
  }
}

// The parts of a random, edited batch hold what the whole holds, each span once.
TEST(Select, ThePartsOfABatchAreTheBatch) {
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    std::mt19937 random(seed);
    oracle::Request request = RandomRequest(seed);
    model::OtlpBatch batch = IndexOf(request.SerializeAsString());
    Edit(random, &request, &batch);
    std::vector<uint32_t> part;
    for (size_t i = 0; i < batch.spans.size(); ++i) part.push_back(random() % 3);
    std::multiset<std::string> expected, got;
    const auto collect = [](const oracle::Request& from, std::multiset<std::string>* into) {
      for (const auto& resource : from.resource_spans())
        for (const auto& scope : resource.scope_spans())
          for (const auto& span : scope.spans())
            into->insert(resource.resource().SerializeAsString() + resource.schema_url() +
                         scope.scope().SerializeAsString() + span.SerializeAsString());
    };
    collect(request, &expected);
    for (uint32_t which = 0; which < 3; ++which) {
      oracle::Request decoded;
      const base::ByteBuffer flat = Flatten(Gather(Select(batch, part, which)));
      ASSERT_TRUE(decoded.ParseFromArray(flat.data(), static_cast<int>(flat.size())));
      collect(decoded, &got);
    }
    EXPECT_EQ(got, expected) << "seed " << seed;
  }
}

TEST(EntryEnds, AreWhereTopLevelFieldsEnd) {
  const std::string request = "\x0a\x02xy\x0a\x01z";
  EXPECT_EQ(EntryEnds(base::AsBytes(request)), (std::vector<size_t>{4, 7}));
  EXPECT_TRUE(EntryEnds({}).empty());
  EXPECT_TRUE(EntryEnds(base::AsBytes("\x0a\x05xy")).empty());
}

TEST(FieldBytes, GivesTheLastOfThatNumber) {
  const std::string message =
      "\x0a\x01"
      "a\x12\x01"
      "b\x0a\x01"
      "c";
  EXPECT_EQ(base::AsText(FieldBytes(base::AsBytes(message), 1)), "c");
  EXPECT_EQ(base::AsText(FieldBytes(base::AsBytes(message), 2)), "b");
  EXPECT_TRUE(FieldBytes(base::AsBytes(message), 3).empty());
  EXPECT_TRUE(FieldBytes(base::AsBytes(message.substr(0, 7)), 1).size() <= 1);
}

}  // namespace
}  // namespace weft::protocols::otlp
