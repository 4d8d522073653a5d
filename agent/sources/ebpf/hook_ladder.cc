#include "sources/ebpf/hook_ladder.h"

#include "base/log.h"

namespace weft::sources::ebpf {
namespace {

base::Result<std::unique_ptr<Object>> Try(const Rung& rung, const weft_settings& settings,
                                          const OwnerOf& owner_of) {
  if (base::Status able = rung.check(); !able.ok()) return able;
  auto owner = owner_of(rung.state_in);
  if (!owner.ok()) return owner.status();
  auto object = Object::Open(rung.bytes, settings, *owner);
  if (!object.ok()) return object;
  if (base::Status prepared = rung.prepare(**object); !prepared.ok()) return prepared;
  if (base::Status loaded = (*object)->Load(); !loaded.ok()) return loaded;
  if (base::Status attached = rung.attach(**object); !attached.ok()) return attached;
  return object;
}

RungReport ReportOn(const Rung& rung) { return {rung.feature, rung.name, rung.blind, ""}; }

}  // namespace

Ladder Climb(std::string_view hook, const weft_settings& settings, const OwnerOf& owner_of) {
  Ladder ladder;
  for (const Rung& rung : Rungs()) {
    RungReport report = ReportOn(rung);
    if (hook != "auto" && hook != rung.hook) {
      report.reason = "the configuration asks for " + std::string(hook);
    } else if (ladder.in_use != nullptr) {
      report.reason = "not needed: a better hook works";
    } else if (auto object = Try(rung, settings, owner_of); object.ok()) {
      ladder.in_use = std::move(*object);
      ladder.rung = &rung;
      ladder.state_in = rung.state_in;
    } else {
      report.reason = std::string(object.status().message());
      spdlog::debug("capture: {} refused: {}", report.name, report.reason);
    }
    ladder.rungs.push_back(std::move(report));
  }
  return ladder;
}

std::vector<RungReport> RefuseAll(const base::Status& why) {
  std::vector<RungReport> rungs;
  for (const Rung& rung : Rungs()) {
    rungs.push_back(ReportOn(rung));
    rungs.back().reason = std::string(why.message());
  }
  return rungs;
}

}  // namespace weft::sources::ebpf
