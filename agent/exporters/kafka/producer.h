// What the Kafka exporter needs of a client library: hand over a message, hear what became of it.
// An interface, so that the exporter is tested without brokers; the real one is librdkafka.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace weft::exporters::kafka {

enum class Delivery : uint8_t {
  kDelivered,  // acknowledged as configured
  kRefused,    // this message never: too large or not valid
  kLater,      // anything else
};

// Threads: the data thread.
class Producer {
 public:
  // `id` as given to Send; `error` is short text of the library.
  using Report = std::function<void(uint64_t id, Delivery delivery, std::string_view error)>;

  virtual ~Producer() = default;
  // `payload` stays where it is until the report. False: no room now, try again after Poll.
  [[nodiscard]] virtual bool Send(const std::string& topic, std::string_view key,
                                  base::ByteView payload, uint64_t id) = 0;
  // Calls `report` for every message that was settled since; never from within Send.
  virtual void Poll(const Report& report) = 0;
};

// `properties`: names and values as librdkafka documents them.
// Fails: a property that librdkafka does not take.
base::Result<std::unique_ptr<Producer>> NewProducer(
    const std::vector<std::pair<std::string, std::string>>& properties);

}  // namespace weft::exporters::kafka
