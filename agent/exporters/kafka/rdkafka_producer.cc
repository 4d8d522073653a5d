#include <librdkafka/rdkafka.h>

#include <array>

#include "base/log.h"
#include "exporters/kafka/producer.h"

namespace weft::exporters::kafka {
namespace {

Delivery Meaning(rd_kafka_resp_err_t error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
      return Delivery::kDelivered;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
      return Delivery::kRefused;
    default:
      return Delivery::kLater;
  }
}

class RdKafkaProducer final : public Producer {
 public:
  // Takes over `config`.
  base::Status Open(rd_kafka_conf_t* config) {
    rd_kafka_conf_set_opaque(config, this);
    rd_kafka_conf_set_dr_msg_cb(config, &OnDelivery);
    rd_kafka_conf_set_log_cb(config, &OnLog);
    std::array<char, 256> error{};
    client_ = rd_kafka_new(RD_KAFKA_PRODUCER, config, error.data(), error.size());
    if (client_ != nullptr) return base::Ok();
    rd_kafka_conf_destroy(config);
    return base::Error(error.data());
  }
  ~RdKafkaProducer() override {
    if (client_ == nullptr) return;
    rd_kafka_purge(client_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_destroy(client_);
  }

  bool Send(const std::string& topic, std::string_view key, base::ByteView payload,
            uint64_t id) override {
    const rd_kafka_resp_err_t error = rd_kafka_producev(
        client_, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_KEY(key.data(), key.size()),
        RD_KAFKA_V_VALUE(const_cast<uint8_t*>(payload.data()), payload.size()),
        RD_KAFKA_V_OPAQUE(reinterpret_cast<void*>(id)), RD_KAFKA_V_END);
    if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL) return false;
    // What the library refuses at once is reported like what a broker refuses.
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) refused_.push_back({id, error});
    return true;
  }

  void Poll(const Report& report) override {
    report_ = &report;
    std::vector<Refused> refused = std::move(refused_);
    refused_.clear();
    for (const Refused& entry : refused)
      report(entry.id, Meaning(entry.error), rd_kafka_err2str(entry.error));
    rd_kafka_poll(client_, 0);
    report_ = nullptr;
  }

 private:
  struct Refused {
    uint64_t id;
    rd_kafka_resp_err_t error;
  };

  // From within rd_kafka_poll, or from destroy: then nobody listens.
  static void OnDelivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    const Report* report = static_cast<RdKafkaProducer*>(opaque)->report_;
    if (report != nullptr)
      (*report)(reinterpret_cast<uint64_t>(message->_private), Meaning(message->err),
                rd_kafka_err2str(message->err));
  }
  // On the library's own threads.
  static void OnLog(const rd_kafka_t*, int level, const char* facility, const char* text) {
    if (level <= 3)
      spdlog::warn("kafka {}: {}", facility, text);
    else
      spdlog::debug("kafka {}: {}", facility, text);
  }

  rd_kafka_t* client_ = nullptr;
  const Report* report_ = nullptr;
  std::vector<Refused> refused_;
};

}  // namespace

base::Result<std::unique_ptr<Producer>> NewProducer(
    const std::vector<std::pair<std::string, std::string>>& properties) {
  rd_kafka_conf_t* config = rd_kafka_conf_new();
  for (const auto& [name, value] : properties) {
    std::array<char, 256> error{};
    if (rd_kafka_conf_set(config, name.c_str(), value.c_str(), error.data(), error.size()) ==
        RD_KAFKA_CONF_OK)
      continue;
    rd_kafka_conf_destroy(config);
    return base::Error(error.data());
  }
  auto producer = std::make_unique<RdKafkaProducer>();
  if (base::Status s = producer->Open(config); !s.ok()) return s;
  return producer;
}

}  // namespace weft::exporters::kafka
