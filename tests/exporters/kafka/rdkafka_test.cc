// The exporter on librdkafka, against the brokers that librdkafka itself plays (test.mock.*).
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <chrono>
#include <map>
#include <set>
#include <thread>

#include "exporters/kafka/kafka.h"
#include "exporters/otlp_request.h"

namespace weft::exporters::kafka {
namespace {

using std::chrono::steady_clock;

// A cluster of one process; its brokers listen on loopback ports.
class Cluster {
 public:
  Cluster() {
    char error[256];
    rd_kafka_conf_t* config = rd_kafka_conf_new();
    rd_kafka_conf_set(config, "client.id", "cluster", error, sizeof error);
    host_ = rd_kafka_new(RD_KAFKA_PRODUCER, config, error, sizeof error);
    cluster_ = rd_kafka_mock_cluster_new(host_, 3);
    rd_kafka_mock_topic_create(cluster_, "spans", 4, 1);
  }
  ~Cluster() {
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(host_);
  }
  std::string brokers() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }
  void FailNextProduce(rd_kafka_resp_err_t error) {
    rd_kafka_mock_push_request_errors(cluster_, /*Produce*/ 0, 1, error);
  }

 private:
  rd_kafka_t* host_ = nullptr;
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
};

// Reads `count` messages from the start of the topic: key and payload, and the partition of a key.
struct Record {
  std::string key, payload;
  int32_t partition;
};
std::vector<Record> ReadAll(const std::string& brokers, size_t count) {
  char error[256];
  rd_kafka_conf_t* config = rd_kafka_conf_new();
  rd_kafka_conf_set(config, "bootstrap.servers", brokers.c_str(), error, sizeof error);
  rd_kafka_conf_set(config, "group.id", "reader", error, sizeof error);
  rd_kafka_conf_set(config, "auto.offset.reset", "earliest", error, sizeof error);
  rd_kafka_t* reader = rd_kafka_new(RD_KAFKA_CONSUMER, config, error, sizeof error);
  rd_kafka_topic_partition_list_t* all = rd_kafka_topic_partition_list_new(4);
  for (int p = 0; p < 4; ++p)
    rd_kafka_topic_partition_list_add(all, "spans", p)->offset = RD_KAFKA_OFFSET_BEGINNING;
  rd_kafka_assign(reader, all);
  std::vector<Record> out;
  const auto limit = steady_clock::now() + std::chrono::seconds(20);
  while (out.size() < count && steady_clock::now() < limit) {
    rd_kafka_message_t* message = rd_kafka_consumer_poll(reader, 100);
    if (message == nullptr) continue;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
      out.push_back({std::string(static_cast<const char*>(message->key), message->key_len),
                     std::string(static_cast<const char*>(message->payload), message->len),
                     message->partition});
    rd_kafka_message_destroy(message);
  }
  rd_kafka_topic_partition_list_destroy(all);
  rd_kafka_consumer_close(reader);
  rd_kafka_destroy(reader);
  return out;
}

struct Agent {
  explicit Agent(Options options) {
    auto opened = Open(std::move(options), {row, metrics, clock});
    EXPECT_TRUE(opened.ok()) << opened.status();
    if (opened.ok()) exporter = *std::move(opened);
  }
  bool Settle() {
    const auto limit = steady_clock::now() + std::chrono::seconds(20);
    while (!exporter->idle() && steady_clock::now() < limit) {
      exporter->Poll();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return exporter->idle();
  }

  base::LedgerRow row{"exporter kafka", "spans"};
  base::MetricRegistry metrics;
  base::SystemClock clock;
  std::unique_ptr<Kafka> exporter;
};

TEST(KafkaOverLibrdkafka, EverySpanArrivesOnceAndATraceStaysInOnePartition) {
  Cluster cluster;
  Agent agent({.brokers = {cluster.brokers()}, .topic = "spans"});
  auto receipt = std::make_shared<model::Receipt>(nullptr, 0);
  for (uint64_t b = 0; b < 10; ++b) {
    std::vector<TestSpan> spans;
    for (uint64_t i = 1; i <= 50; ++i) spans.push_back({.trace = 1 + i % 10, .span = b * 50 + i});
    auto batch = MakeBatch("svc", spans);
    if (b == 9) batch.receipt = receipt;
    ASSERT_EQ(agent.exporter->Push(std::move(batch)), model::PushResult::kTaken);
  }
  ASSERT_TRUE(agent.Settle());
  EXPECT_EQ(agent.row.out(), 500u);
  EXPECT_EQ(receipt->level(), model::ReceiptLevel::kDelivered);
  std::set<uint64_t> ids;
  std::map<std::string, int32_t> partition;
  for (const Record& record : ReadAll(cluster.brokers(), 100)) {
    for (uint64_t id : SpanIds(base::AsBytes(record.payload))) EXPECT_TRUE(ids.insert(id).second);
    auto [at, fresh] = partition.emplace(record.key, record.partition);
    EXPECT_EQ(at->second, record.partition);
  }
  EXPECT_EQ(ids.size(), 500u);
  EXPECT_EQ(partition.size(), 10u);
}

TEST(KafkaOverLibrdkafka, AFaultOfTheBrokerLosesNothing) {
  Cluster cluster;
  Agent agent({.brokers = {cluster.brokers()}, .topic = "spans"});
  cluster.FailNextProduce(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
  (void)agent.exporter->Push(MakeSpans(1, 5));
  ASSERT_TRUE(agent.Settle());
  EXPECT_EQ(agent.row.out(), 5u);
  EXPECT_EQ(agent.row.lost_total(), 0u);
}

TEST(KafkaOverLibrdkafka, AMessageThatIsTooLargeIsTheOnlyOneLost) {
  Cluster cluster;
  Agent agent({.brokers = {cluster.brokers()}, .topic = "spans", .max_message_bytes = 4096});
  std::vector<TestSpan> spans;
  for (uint64_t i = 1; i <= 10; ++i)
    spans.push_back({.trace = 5, .span = i, .name = std::string(i == 4 ? 9000 : 500, 'x')});
  (void)agent.exporter->Push(MakeBatch("svc", spans));
  ASSERT_TRUE(agent.Settle());
  EXPECT_EQ(agent.row.out(), 9u);
  EXPECT_EQ(agent.row.lost_total(), 1u);
}

TEST(KafkaOverLibrdkafka, NobodyThereKeepsTheSpansUntilTheEnd) {
  Agent agent({.brokers = {"127.0.0.1:1"}, .topic = "spans"});
  (void)agent.exporter->Push(MakeSpans(1, 5));
  agent.exporter->Poll();
  EXPECT_EQ(agent.row.held(), 5);
  agent.exporter.reset();
  EXPECT_EQ(agent.row.lost_total(), 5u);
  EXPECT_TRUE(agent.row.Balanced());
}

TEST(KafkaOverLibrdkafka, SettingsThatItDoesNotTakeAreRefusedByName) {
  base::LedgerRow row{"exporter kafka", "spans"};
  base::MetricRegistry metrics;
  base::SystemClock clock;
  auto bad = Open({.brokers = {"a:1"}, .properties = {"no.such.thing=1"}}, {row, metrics, clock});
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(std::string(bad.status().message()).find("no.such.thing"), std::string::npos);
  EXPECT_FALSE(Open({.brokers = {"a:1"}, .properties = {"no equals"}}, {row, metrics, clock}).ok());
}

}  // namespace
}  // namespace weft::exporters::kafka
