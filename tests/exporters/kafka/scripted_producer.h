// A broker under the test's hand: messages are recorded and settled when the test says so.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "exporters/kafka/kafka.h"

namespace weft::exporters::kafka {

// What the exporter's Producer points into; outlives the exporter.
struct ScriptedBroker {
  struct Sent {
    std::string topic, key, payload;
    uint64_t id = 0;
  };
  std::vector<Sent> open;                              // not settled, in order
  std::vector<std::pair<uint64_t, Delivery>> settled;  // reported by the next Poll
  size_t room = SIZE_MAX;                              // messages that may be open
  base::FakeClock clock;

  void Report(size_t index, Delivery delivery) {
    settled.emplace_back(open.at(index).id, delivery);
    open.erase(open.begin() + static_cast<ptrdiff_t>(index));
  }
};

class ScriptedProducer final : public Producer {
 public:
  explicit ScriptedProducer(ScriptedBroker& broker) : broker_(broker) {}
  bool Send(const std::string& topic, std::string_view key, base::ByteView payload,
            uint64_t id) override {
    if (broker_.open.size() >= broker_.room) return false;
    broker_.open.push_back({topic, std::string(key), std::string(base::AsText(payload)), id});
    return true;
  }
  void Poll(const Report& report) override {
    auto settled = std::exchange(broker_.settled, {});
    for (auto [id, delivery] : settled) report(id, delivery, "scripted");
  }

 private:
  ScriptedBroker& broker_;
};

}  // namespace weft::exporters::kafka
