#include "exporters/collector/collector.h"

#include <algorithm>
#include <utility>

namespace weft::exporters::collector {
namespace {

using model::PushResult;
using std::chrono::nanoseconds;

// "host:port" of an endpoint: the same name on every agent, and for the Collector's exporter.
std::string RingName(std::string_view endpoint) {
  if (size_t scheme = endpoint.find("://"); scheme != std::string_view::npos)
    endpoint.remove_prefix(scheme + 3);
  return std::string(endpoint.substr(0, endpoint.find('/')));
}

}  // namespace

Collector::Collector(Options options, Deps deps, TransportMaker maker,
                     std::unique_ptr<TimerQueue> timers)
    : options_(std::move(options)),
      books_(options_, std::move(deps)),
      maker_(std::move(maker)),
      timers_(std::move(timers)),
      common_(NewLane()) {}

Collector::Collector(Options options, Deps deps, std::unique_ptr<Transport> transport,
                     std::unique_ptr<TimerQueue> timers)
    : Collector(std::move(options), std::move(deps), TransportMaker{}, std::move(timers)) {
  common_->AddPeer(options_.endpoint, std::move(transport));
  books_.counters.destinations.Set(1);
}

Collector::~Collector() {
  alive_.reset();
  feeder_.reset();
  settling_ = true;  // no more changes of the ring
  members_.clear();
  gone_.clear();
  common_.reset();
  timers_->Cancel(drain_timer_);
  timers_->Cancel(rebalance_timer_);
}

std::unique_ptr<Lane> Collector::NewLane() {
  return std::make_unique<Lane>(options_, books_, *timers_, [this] { OnSettled(); });
}

void Collector::SetDestinations(const std::vector<Destination>& destinations) {
  if (destinations.empty()) return;
  for (Member& member : members_) {
    const bool stays = std::find(destinations.begin(), destinations.end(), member.destination) !=
                       destinations.end();
    if (stays || member.leaving) continue;
    member.leaving = true;
    Lane& lane = member.lane != nullptr ? *member.lane : *common_;
    lane.RemovePeer(member.destination.endpoint);
  }
  for (const Destination& destination : destinations) {
    const bool known = std::any_of(members_.begin(), members_.end(), [&](const Member& member) {
      return !member.leaving && member.destination == destination;
    });
    if (known) continue;
    Member member{destination, RingName(destination.endpoint), by_trace() ? NewLane() : nullptr};
    member.in_ring = false;  // until the ring is made
    Lane& lane = member.lane != nullptr ? *member.lane : *common_;
    lane.AddPeer(destination.endpoint, maker_(destination));
    if (draining_) lane.Drain();
    members_.push_back(std::move(member));
  }
  books_.counters.destinations.Set(static_cast<int64_t>(destinations.size()));
  OnSettled();
  PumpAll();
}

bool Collector::idle() const {
  return common_->idle() && std::all_of(members_.begin(), members_.end(), [](const Member& m) {
           return m.lane == nullptr || m.lane->idle();
         });
}

bool Collector::well() const {
  return common_->well() || std::any_of(members_.begin(), members_.end(), [](const Member& m) {
           return m.lane != nullptr && m.lane->well();
         });
}

PushResult Collector::Push(model::OtlpBatch&& batch) {
  if (draining_ || !books_.Admit(ChargeOf(batch))) {
    books_.counters.busy.Add(1);
    return PushResult::kBusy;
  }
  const uint64_t count = batch.live_count();
  const bool nothing = batch.signal == model::Signal::kTraces ? count == 0 : batch.bytes == nullptr;
  if (nothing || batch.size_bytes() == 0) {
    if (batch.receipt) batch.receipt->Reach(model::ReceiptLevel::kDelivered);
    batch = {};
    return PushResult::kTaken;
  }
  books_.TookSpans(batch.signal, count);
  Enqueue(std::move(batch), count);
  batch = {};
  return PushResult::kTaken;
}

void Collector::Enqueue(model::OtlpBatch&& batch, uint64_t count) {
  if (ring_.empty() || batch.signal != model::Signal::kTraces || ring_members_.size() == 1) {
    Lane& lane = ring_.empty() ? *common_ : AnyLane();
    for (Item& item : MakeItems(std::move(batch), count, lane.batch_bytes()))
      Add(lane, std::move(item));
    return lane.Pump();
  }
  auto owned =
      MakeOwnedItems(std::move(batch), BatchBytes(), static_cast<uint32_t>(members_.size()),
                     [this](const base::TraceId& trace) { return ring_.Owner(trace); });
  for (size_t o = 0; o < owned.size(); ++o)
    for (Item& item : owned[o]) Add(*members_[o].lane, std::move(item));
  PumpAll();
}

Lane& Collector::AnyLane() { return *members_[ring_members_[turn_++ % ring_members_.size()]].lane; }

uint64_t Collector::BatchBytes() const {
  uint64_t least = common_->batch_bytes();
  for (uint32_t i : ring_members_) least = std::min(least, members_[i].lane->batch_bytes());
  return least;
}

void Collector::Add(Lane& lane, Item&& item) {
  books_.Charge(item.charge);
  lane.Add(std::move(item));
}

// A pump may change the list.
void Collector::PumpAll() {
  common_->Pump();
  for (size_t i = 0; i < members_.size(); ++i)
    if (members_[i].lane != nullptr) members_[i].lane->Pump();
}

// Comes from within a lane's Pump, and pumps others: what they report is looked at by the loop that
// is already running.
void Collector::OnSettled() {
  settle_again_ = true;
  if (settling_ || common_ == nullptr) return;
  settling_ = true;
  while (std::exchange(settle_again_, false)) {
    if (!members_.empty()) Rebalance();
    BuryMembers();
  }
  settling_ = false;
  size_t in_flight = common_->in_flight();
  for (const Member& member : members_) in_flight += member.lane ? member.lane->in_flight() : 0;
  books_.counters.in_flight.Set(static_cast<int64_t>(in_flight));
  if (draining_ && drained_ && idle()) FinishDrain();
}

bool Collector::BelongsToRing(const Member& member) const {
  if (member.leaving || member.crowded) return false;
  return member.lane->well() ||
         books_.now_ns() - member.lane->unwell_since_ns() <
             static_cast<uint64_t>(options_.reassign_seconds) * 1'000'000'000;
}

// What waits for one destination must not take the queue from the others. While another one has
// hardly anything queued, a dead one that holds more than its share is given up at once, and a slow
// one as soon as the queue is half full; each until it answers and has caught up.
void Collector::FindCrowded() {
  const auto queue = static_cast<uint64_t>(options_.queue_bytes);
  const auto here = std::count_if(members_.begin(), members_.end(),
                                  [](const Member& member) { return !member.leaving; });
  const uint64_t share = queue / static_cast<uint64_t>(std::max<ptrdiff_t>(here, 1));
  const auto keeps_up = [share](const Member& member) {
    return !member.leaving && member.lane->well() && member.lane->held_bytes() < share / 4;
  };
  const bool others_keep_up = std::any_of(members_.begin(), members_.end(), keeps_up);
  for (Member& member : members_) {
    if (member.crowded) {
      member.crowded = !keeps_up(member);
    } else if (others_keep_up && member.lane->held_bytes() > share &&
               (!member.lane->well() || books_.held_bytes() > queue / 2)) {
      member.crowded = true;
      if (crowded_log_.Allow(books_.now_ns()))
        spdlog::warn("collector {} holds up {} bytes: its traces go to others until it keeps up",
                     member.destination.endpoint, member.lane->held_bytes());
    }
  }
}

// With nobody alive there is nobody to give the traces to.
std::vector<bool> Collector::WhoBelongs() const {
  std::vector<bool> belongs, well, stays;
  for (const Member& member : members_) {
    belongs.push_back(BelongsToRing(member));
    well.push_back(member.lane->well());
    stays.push_back(!member.leaving);
  }
  const auto some = [](const std::vector<bool>& who) {
    return std::find(who.begin(), who.end(), true) != who.end();
  };
  return some(belongs) ? belongs : some(well) ? well : stays;
}

void Collector::Rebalance() {
  if (!by_trace()) return;
  FindCrowded();
  const std::vector<bool> belongs = WhoBelongs();
  bool same = true;
  for (size_t i = 0; i < members_.size(); ++i) same &= members_[i].in_ring == belongs[i];
  if (!same) MakeRing(belongs);
  ArmRebalance();
  std::vector<Item> homeless = common_->TakeQueued();
  for (Member& member : members_) {
    // One that is only slow works off what it has.
    if (member.in_ring || (member.crowded && member.lane->well())) continue;
    for (Item& item : member.lane->TakeQueued()) homeless.push_back(std::move(item));
  }
  if (homeless.empty()) return;
  Reassign(std::move(homeless));
  PumpAll();
}

void Collector::MakeRing(const std::vector<bool>& belongs) {
  std::vector<std::pair<std::string, uint32_t>> names;
  ring_members_.clear();
  for (uint32_t i = 0; i < members_.size(); ++i) {
    members_[i].in_ring = belongs[i];
    members_[i].lane->ProbeWhenEmpty(!belongs[i] && !members_[i].leaving);
    if (!belongs[i]) continue;
    names.emplace_back(members_[i].ring_name, i);
    ring_members_.push_back(i);
  }
  ring_ = Ring(std::move(names));
}

void Collector::Reassign(std::vector<Item>&& items) {
  for (Item& item : items) {
    if (item.signal != model::Signal::kTraces) {
      AnyLane().Add(std::move(item));
      continue;
    }
    books_.counters.reassigned.Add(item.spans);
    books_.Uncharge(item.charge);
    auto owned = DivideItem(std::move(item), static_cast<uint32_t>(members_.size()),
                            [this](const base::TraceId& trace) { return ring_.Owner(trace); });
    for (size_t o = 0; o < owned.size(); ++o)
      for (Item& part : owned[o]) Add(*members_[o].lane, std::move(part));
  }
}

// Lanes that have left and have nothing any more. A lane must not end within its own callback.
void Collector::BuryMembers() {
  bool moved = false;
  for (size_t i = 0; i < members_.size();) {
    Member& member = members_[i];
    if (!member.leaving || (member.lane != nullptr && !member.lane->idle())) {
      ++i;
      continue;
    }
    if (member.lane != nullptr) {
      gone_.push_back(std::move(member.lane));
      timers_->RunAfter(nanoseconds(0), [this, alive = std::weak_ptr<int>(alive_)] {
        if (!alive.expired()) gone_.clear();
      });
    }
    members_.erase(members_.begin() + static_cast<ptrdiff_t>(i));
    moved = true;
  }
  if (!moved || !by_trace()) return;
  // The numbers of the ring are places in the list.
  for (Member& member : members_) member.in_ring = false;
  settle_again_ = true;
}

void Collector::ArmRebalance() {
  if (rebalance_timer_ != 0) return;
  const bool sick = std::any_of(members_.begin(), members_.end(), [](const Member& member) {
    return !member.leaving && member.in_ring && !member.lane->well();
  });
  if (!sick) return;
  rebalance_timer_ =
      timers_->RunAfter(std::chrono::seconds(1), [this, alive = std::weak_ptr<int>(alive_)] {
        if (alive.expired()) return;
        rebalance_timer_ = 0;
        OnSettled();
      });
}

void Collector::Drain(nanoseconds budget, std::function<void()> done) {
  draining_ = true;
  drained_ = std::move(done);
  drain_timer_ = timers_->RunAfter(budget, [this, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    drain_timer_ = 0;
    common_->KeepOrShedAll();
    for (Member& member : members_)
      if (member.lane != nullptr) member.lane->KeepOrShedAll();
    FinishDrain();
  });
  common_->Drain();
  for (size_t i = 0; i < members_.size(); ++i)
    if (members_[i].lane != nullptr) members_[i].lane->Drain();
  OnSettled();
}

void Collector::FinishDrain() {
  timers_->Cancel(std::exchange(drain_timer_, 0));
  if (auto done = std::exchange(drained_, nullptr)) done();
}

}  // namespace weft::exporters::collector
