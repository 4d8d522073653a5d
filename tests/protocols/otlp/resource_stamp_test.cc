#include "protocols/otlp/resource_stamp.h"

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "protocols/otlp/gather.h"
#include "protocols/otlp/oracle.h"

namespace weft::protocols::otlp {
namespace {

using google::protobuf::util::MessageDifferencer;
using Attributes = std::vector<std::pair<std::string, std::string>>;

const Attributes kOfTheNode = {{"k8s.node.name", "node-7"},
                               {"deployment.environment.name", "prüf"}};

ResourceStamp StampOf(const Attributes& attributes) {
  ResourceStamp stamp;
  for (const auto& [key, value] : attributes) stamp.Add(key, value);
  return stamp;
}

// The same with protobuf.
void StampByProtobuf(const Attributes& attributes, oracle::Resource* resource) {
  std::set<std::string> keys;
  for (const auto& pair : resource->attributes()) keys.insert(pair.key());
  for (const auto& [key, value] : attributes) {
    if (keys.contains(key)) continue;
    oracle::KeyValue* pair = resource->add_attributes();
    pair->set_key(key);
    pair->mutable_value()->set_string_value(value);
  }
}

TEST(ResourceStamp, GivesWhatProtobufMakesOfTheSameAttributes) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    oracle::Request request = RandomRequest(seed);
    if (seed % 3 == 0 && request.resource_spans_size() > 0) {
      oracle::KeyValue* own =
          request.mutable_resource_spans(0)->mutable_resource()->add_attributes();
      own->set_key("k8s.node.name");
      own->mutable_value()->set_string_value("the sender's");
    }
    model::OtlpBatch batch = IndexOf(request.SerializeAsString());
    EXPECT_EQ(StampOf(kOfTheNode).Edit(&batch), 0u);
    DropEmptyEnvelopes(&request);
    for (auto& resource : *request.mutable_resource_spans())
      StampByProtobuf(kOfTheNode, resource.mutable_resource());
    oracle::Request out = Parse(FlattenText(Gather(batch)));
    DropEmptyEnvelopes(&out);  // what had no spans at all was not edited
    EXPECT_TRUE(MessageDifferencer::Equals(out, request)) << seed;
  }
}

TEST(ResourceStamp, AStampedBatchStaysAsItIs) {
  model::OtlpBatch batch = IndexOf(OneSpan().SerializeAsString());
  ResourceStamp stamp = StampOf(kOfTheNode);
  stamp.Edit(&batch);
  const std::string once = FlattenText(Gather(batch));
  const size_t extra = batch.extra.size();
  stamp.Edit(&batch);
  EXPECT_EQ(batch.extra.size(), extra);
  EXPECT_EQ(FlattenText(Gather(batch)), once);
}

// Protobuf reads several fields of a message that is no list as their union, in their order.
TEST(ResourceStamp, SeveralResourcesOfOneEnvelopeCountTogether) {
  oracle::ResourceSpans first, spans, last;
  oracle::KeyValue* own = first.mutable_resource()->add_attributes();
  own->set_key("k8s.node.name");
  own->mutable_value()->set_string_value("the sender's");
  *spans.add_scope_spans() = OneSpan().resource_spans(0).scope_spans(0);
  last.mutable_resource()->set_dropped_attributes_count(3);
  for (const bool in_the_tail : {false, true}) {
    std::string envelope = first.SerializeAsString();
    envelope += in_the_tail ? spans.SerializeAsString() + last.SerializeAsString()
                            : last.SerializeAsString() + spans.SerializeAsString();
    std::string request = "\x0a";
    ASSERT_LT(envelope.size(), 128u);
    request += static_cast<char>(envelope.size()) + envelope;
    model::OtlpBatch batch = IndexOf(request);
    StampOf(kOfTheNode).Edit(&batch);
    const oracle::Request out = Parse(FlattenText(Gather(batch)));
    ASSERT_EQ(out.resource_spans_size(), 1);
    const oracle::Resource& resource = out.resource_spans(0).resource();
    ASSERT_EQ(resource.attributes_size(), 2) << in_the_tail;
    EXPECT_EQ(resource.attributes(0).value().string_value(), "the sender's");
    EXPECT_EQ(resource.attributes(1).key(), "deployment.environment.name");
    EXPECT_EQ(resource.dropped_attributes_count(), 3u);
  }
}

TEST(ResourceStamp, AResourceIsMadeWhereThereIsNone) {
  oracle::Request request = OneSpan();
  request.mutable_resource_spans(0)->clear_resource();
  model::OtlpBatch batch = IndexOf(request.SerializeAsString());
  StampOf(kOfTheNode).Edit(&batch);
  EXPECT_EQ(Parse(FlattenText(Gather(batch))).resource_spans(0).resource().attributes_size(), 2);
}

// Otherwise the credit taken at the door would say nothing about the memory used.
TEST(ResourceStamp, TinyEnvelopesDoNotMultiplyTheBytes) {
  oracle::Request request;
  const oracle::ResourceSpans one = OneSpan().resource_spans(0);
  for (int i = 0; i < 3000; ++i) *request.add_resource_spans() = one;
  const std::string sent = request.SerializeAsString();
  const Attributes large = {{"k", std::string(4000, 'x')}};
  model::OtlpBatch batch = IndexOf(sent);
  const uint64_t skipped = StampOf(large).Edit(&batch);
  EXPECT_GT(skipped, 0u);
  const base::Gathered out = Gather(batch);
  EXPECT_LE(out.size, 2 * sent.size() + ResourceStamp::kFreeBytes + 3000 * 8);
  EXPECT_EQ(Parse(FlattenText(out)).resource_spans_size(), 3000);

  base::ByteBuffer copy;
  EXPECT_EQ(StampOf(large).Copy(base::AsBytes(sent), &copy), skipped);
  EXPECT_LE(copy.size(), 2 * sent.size() + ResourceStamp::kFreeBytes + 3000 * 8);
}

TEST(ResourceStamp, CopyIsTheSameForSignalsThatAreNotIndexed) {
  for (uint32_t seed = 0; seed < 100; ++seed) {
    oracle::Request request = RandomRequest(seed);
    const std::string sent = request.SerializeAsString();
    base::ByteBuffer out;
    out.Append(std::string_view("kept"));
    EXPECT_EQ(StampOf(kOfTheNode).Copy(base::AsBytes(sent), &out), 0u);
    for (auto& resource : *request.mutable_resource_spans())
      StampByProtobuf(kOfTheNode, resource.mutable_resource());
    ASSERT_TRUE(base::AsText(out.view()).starts_with("kept"));
    EXPECT_TRUE(MessageDifferencer::Equals(Parse(base::AsText(out.view()).substr(4)), request))
        << seed;
  }
}

TEST(ResourceStamp, WhatIsNoMessageIsNotCopied) {
  base::ByteBuffer out;
  EXPECT_EQ(StampOf(kOfTheNode).Copy(base::AsBytes(std::string_view("\x0a\x7f", 2)), &out), 0u);
  EXPECT_TRUE(out.empty());
}

}  // namespace
}  // namespace weft::protocols::otlp
