#include "exporters/collector/lane.h"

#include <algorithm>
#include <utility>

#include "base/inflate.h"
#include "protocols/otlp/gather.h"

namespace weft::exporters::collector {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr nanoseconds kBackoffMin = milliseconds(200);
constexpr nanoseconds kBackoffMax = seconds(30);
// The channel already spaces out its attempts to connect; a call made meanwhile waits for the next.
constexpr nanoseconds kConnectionBackoffMax = seconds(1);
constexpr nanoseconds kDrainBackoffMax = milliseconds(500);
// Each try of a request that kills its peer costs the others a connection.
constexpr nanoseconds kSuspectBackoffMax = std::chrono::minutes(5);
constexpr nanoseconds kCredentialsBackoff = seconds(30);
constexpr milliseconds kLongestHint = std::chrono::hours(1);
// So many retryable answers in a row, without a success between, mean that the peer is not well: a
// few when that lasts, many at once. One that refuses more than half of what it is asked has a few
// in a row all the time.
constexpr uint32_t kUnwell = 4, kUnwellAtOnce = 32;
constexpr uint64_t kUnwellNs = 300'000'000;
// A request that has failed alone so often lets another one ask.
constexpr uint32_t kSuspicious = 3;
// Further requests that may be spent on finding the bad span of a rejected request; every success
// gives one back. A peer that rejects everything is not asked many times for each batch.
constexpr uint32_t kIsolationBudget = 64;
constexpr uint64_t kSmallestBatch = 64 << 10;
// A limit that a peer once had is believed for so long.
constexpr uint64_t kRefusedSizeNs = 60'000'000'000;

// Every attempt compresses anew: the compressed form is not kept beside the original.
void Compress(base::Gathered* payload, std::string* encoding) {
  base::Compression compression;
  base::ByteBuffer packed;
  if (!base::CompressionFromName(*encoding, &compression) || payload->size == 0 ||
      !base::Deflate(compression, protocols::otlp::Flatten(*payload).view(), &packed).ok())
    return encoding->clear();
  auto owner = base::Share(std::move(packed));
  *payload = {};
  payload->Add(owner->view());
  payload->owners.push_back(owner);
}

// What the sender has compressed as the peer wants it goes on as it came.
base::Gathered Encode(const Request& request, std::string* encoding) {
  base::Gathered payload;
  if (base::SharedPacked packed = encoding->empty() ? nullptr : request.PackedBy(*encoding)) {
    payload.Add(packed->bytes.view());
    payload.owners.push_back(std::move(packed));
    return payload;
  }
  payload = request.Payload();
  if (!encoding->empty()) Compress(&payload, encoding);
  return payload;
}

}  // namespace

Lane::Lane(const Options& options, Books& books, TimerQueue& timers, std::function<void()> settled)
    : options_(options),
      books_(books),
      timers_(timers),
      settled_(std::move(settled)),
      batch_bytes_(static_cast<uint64_t>(options.max_batch_bytes)),
      isolation_budget_(kIsolationBudget) {}

Lane::~Lane() {
  alive_.reset();
  KeepOrShedAll();
  timers_.Cancel(flush_timer_);
  timers_.Cancel(suspect_timer_);
  for (auto& peer : peers_) timers_.Cancel(peer->pause);
  peers_.clear();
  CountGates();
}

void Lane::AddPeer(const std::string& name, std::unique_ptr<Transport> transport) {
  const auto most = static_cast<uint64_t>(options_.max_in_flight_bytes);
  const auto step = static_cast<uint64_t>(options_.max_batch_bytes);
  peers_.push_back(std::make_shared<Peer>(
      name, std::move(transport), options_.compression == "none" ? "" : options_.compression,
      FlightWindow(most, step)));
  CountGates();
}

bool Lane::RemovePeer(const std::string& name) {
  auto found = std::find_if(peers_.begin(), peers_.end(),
                            [&](const auto& peer) { return peer->name == name && !peer->leaving; });
  if (found == peers_.end()) return false;
  std::shared_ptr<Peer> peer = *found;
  peer->leaving = true;
  timers_.Cancel(std::exchange(peer->pause, 0));
  if (peer->flying == 0) Forget(peer);
  CountGates();
  return true;
}

size_t Lane::peers() const {
  return static_cast<size_t>(
      std::count_if(peers_.begin(), peers_.end(), [](const auto& peer) { return !peer->leaving; }));
}

// A transport must not end within its own callback.
void Lane::Forget(std::shared_ptr<Peer> peer) {
  gone_.push_back(peer);
  std::erase(peers_, peer);
  timers_.RunAfter(nanoseconds(0), [this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) gone_.clear();
  });
}

void Lane::Add(Item&& item) {
  held_bytes_ += item.charge;
  Pending& pending = pending_[static_cast<size_t>(item.signal)];
  pending.bytes += item.payload.size;
  pending.awaited += item.awaited();
  pending.items.push_back(std::move(item));
}

bool Lane::idle() const {
  return std::all_of(pending_.begin(), pending_.end(),
                     [](const Pending& pending) { return pending.items.empty(); }) &&
         ready_.empty() && waiting_.empty() && aside_.empty() && flying_.empty();
}

bool Lane::well() const {
  return std::any_of(peers_.begin(), peers_.end(),
                     [](const auto& peer) { return !peer->leaving && peer->gate == Gate::kOpen; });
}

// Sends while there is something to send and a place in flight. A reply may come from within Call:
// then the loop that is already running carries on.
void Lane::Pump() {
  if (pumping_) return;
  pumping_ = true;
  while (StartOne()) {
  }
  StartProbe();
  pumping_ = false;
  const bool some = std::any_of(pending_.begin(), pending_.end(),
                                [](const Pending& pending) { return !pending.items.empty(); });
  if (!some) flush_due_ = draining_;
  if (some && !flush_due_ && flush_timer_ == 0) ArmFlush();
  if (settled_) settled_();
}

bool Lane::StartOne() {
  TakeSuspect();
  Pending* pending = ready_.empty() ? NextPending() : nullptr;
  if (ready_.empty() && pending == nullptr) return false;
  const uint64_t bytes =
      pending == nullptr ? ready_.front().bytes() : std::min(pending->bytes, batch_bytes_);
  std::shared_ptr<Peer> peer = NextPeer(bytes);
  if (peer == nullptr) return false;
  Request request;
  if (pending == nullptr) {
    request = std::move(ready_.front());
    ready_.pop_front();
  } else {
    request = Form(pending);
  }
  Send(std::move(request), peer, false);
  return true;
}

// The next signal in turn that has a full request, or anything when it is time. What is awaited
// gathers only while something else is in flight.
Lane::Pending* Lane::NextPending() {
  for (size_t i = 1; i <= pending_.size(); ++i) {
    const size_t signal = (signal_turn_ + i) % pending_.size();
    Pending& pending = pending_[signal];
    const bool whole = signal == static_cast<size_t>(model::Signal::kProfiles);
    if (pending.items.empty()) continue;
    const bool alone = whole || pending.items.front().packed != nullptr;
    const bool now = flush_due_ || (flying_.empty() && pending.awaited > 0);
    if (pending.bytes < batch_bytes_ && !now && !alone) continue;
    signal_turn_ = signal;
    return &pending;
  }
  return nullptr;
}

Request Lane::Form(Pending* pending) {
  Request request;
  uint64_t bytes = 0;
  while (!pending->items.empty()) {
    Item& item = pending->items.front();
    const bool alone = item.signal == model::Signal::kProfiles || item.packed != nullptr;
    if (bytes > 0 && (alone || bytes + item.payload.size > batch_bytes_)) break;
    bytes += item.payload.size;
    pending->bytes -= item.payload.size;
    pending->awaited -= item.awaited();
    request.items.push_back(std::move(item));
    pending->items.pop_front();
    if (alone) break;
  }
  return request;
}

bool Lane::MayTake(const Peer& peer, uint64_t bytes) const {
  if (peer.leaving || peer.pause != 0) return false;
  if (peer.gate != Gate::kOpen) return peer.flying == 0;
  return peer.flying < static_cast<size_t>(options_.max_in_flight) && peer.window.HasRoom(bytes);
}

std::shared_ptr<Lane::Peer> Lane::NextPeer(uint64_t bytes) {
  for (size_t i = 0; i < peers_.size(); ++i) {
    const size_t at = (turn_ + i) % peers_.size();
    if (!MayTake(*peers_[at], bytes)) continue;
    turn_ = at + 1;
    return peers_[at];
  }
  return nullptr;
}

// A peer whose traces have gone elsewhere would never be asked again. An empty request succeeds by
// the protocol.
void Lane::StartProbe() {
  if (!probe_when_empty_ || draining_ || !idle()) return;
  for (const auto& peer : peers_) {
    if (peer->gate == Gate::kOpen || !MayTake(*peer, 0)) continue;
    return Send(Request{}, peer, true);
  }
}

void Lane::Send(Request&& request, const std::shared_ptr<Peer>& peer, bool probe) {
  std::string encoding = peer->encoding;
  base::Gathered payload = Encode(request, &encoding);
  const uint64_t bytes = request.bytes();
  const model::Signal signal = request.signal();
  const uint64_t id = request.id = next_id_++;
  request.timer = 0;
  books_.counters.requests.Add(1);
  books_.counters.sent_bytes.Add(payload.size);
  peer->window.Sent(bytes);
  ++peer->flying;
  flying_.emplace(id, Flight{std::move(request), peer, encoding, bytes, books_.now_ns(), probe,
                             !probe && peer->gate != Gate::kOpen});
  peer->transport->Call(signal, std::move(payload), encoding,
                        [this, id, alive = std::weak_ptr<int>(alive_)](CallReply&& reply) {
                          if (!alive.expired()) OnReply(id, std::move(reply));
                        });
}

void Lane::OnReply(uint64_t id, CallReply&& reply) {
  auto found = flying_.find(id);
  if (found == flying_.end()) return;  // given up meanwhile
  Flight flight = std::move(found->second);
  flying_.erase(found);
  const std::shared_ptr<Peer> peer = flight.peer;
  --peer->flying;
  const Outcome outcome = Judge(reply, options_.retry_exhausted);
  if (outcome.verdict != Verdict::kRetryConnection && outcome.verdict != Verdict::kRetrySlowly &&
      outcome.verdict != Verdict::kRetry) {
    OpenGate(*peer);
    Absolve(&flight.request);
  }
  Settle(std::move(flight), reply, outcome);
  if (peer->leaving && peer->flying == 0) Forget(peer);
  Pump();
}

void Lane::Settle(Flight&& flight, const CallReply& reply, const Outcome& outcome) {
  FlightWindow& window = flight.peer->window;
  switch (outcome.verdict) {
    case Verdict::kDelivered:
      return Deliver(std::move(flight), outcome);
    case Verdict::kRetry:
    case Verdict::kRetryConnection:
    case Verdict::kRetrySlowly:
      return RetryLater(std::move(flight), reply, outcome);
    case Verdict::kTooLarge:
      window.Closed(flight.bytes);
      return SendInHalves(std::move(flight), outcome);
    case Verdict::kUnreadable:
    case Verdict::kRejected:
      window.Closed(flight.bytes);
      if (flight.probe) return;
      if (flight.request.DropPacked() || FallBackToPlain(flight, outcome))
        ready_.push_front(std::move(flight.request));
      else
        Isolate(std::move(flight.request), outcome);
  }
}

void Lane::Deliver(Flight&& flight, const Outcome& outcome) {
  const uint64_t now = books_.now_ns();
  flight.peer->window.Taken(flight.bytes, now - flight.sent_ns, now);
  if (flight.bytes >= refused_bytes_) refused_bytes_ = UINT64_MAX;
  GrowBatch(now);
  if (flight.probe) return;
  ++delivered_;
  isolation_budget_ = std::min(isolation_budget_ + 1, kIsolationBudget);
  held_bytes_ -= flight.request.charge();
  books_.Delivered(flight.request, outcome);
}

bool Lane::Unwell(const Peer& peer, uint64_t now_ns) const {
  return peer.failures >= kUnwellAtOnce ||
         (peer.failures >= kUnwell && now_ns - peer.failing_since_ns >= kUnwellNs);
}

void Lane::RetryLater(Flight&& flight, const CallReply& reply, const Outcome& outcome) {
  Peer& peer = *flight.peer;
  Request& request = flight.request;
  const uint64_t now_ns = books_.now_ns();
  peer.window.Refused(flight.bytes, flight.sent_ns, now_ns);
  if (!flight.probe) books_.counters.retries.Add(1);
  ++request.attempts;
  // New credentials were read after this call had been made with the old ones.
  if (outcome.verdict == Verdict::kRetrySlowly && reply.credentials_changed && !flight.probe)
    return ready_.push_front(std::move(request));
  if (IsToBlame(flight, reply, outcome)) return Blame(std::move(request), outcome);
  // Requests that were in flight together fail together: that counts once.
  if (peer.pause == 0 && ++peer.failures == 1) peer.failing_since_ns = now_ns;
  const bool shared = outcome.verdict != Verdict::kRetry || Unwell(peer, now_ns);
  const nanoseconds delay = RetryDelay(flight, reply, outcome, shared);
  // Of several destinations only the one that has said so is left in peace for so long.
  const bool elsewhere = reply.retry_delay && peers() > 1;
  request.peer_set_the_time = reply.retry_delay && !elsewhere;
  if (shared) {
    CloseGate(peer,
              outcome.verdict == Verdict::kRetrySlowly ? Gate::kCredentials : Gate::kConnection,
              outcome);
  }
  if (shared || elsewhere) Pause(flight.peer, delay);
  if (flight.probe) return;
  if (reply.retry_delay || !shared) {
    Absolve(&request);
    return elsewhere ? ready_.push_front(std::move(request)) : Wait(std::move(request), delay);
  }
  if (flight.alone && !reply.unprocessed) ++request.failed_alone;
  // Something else can ask in its place.
  if (request.failed_alone >= kSuspicious && (HasOthers() || !aside_.empty()))
    return SetAside(std::move(request));
  ready_.push_front(std::move(request));
}

nanoseconds Lane::RetryDelay(const Flight& flight, const CallReply& reply, const Outcome& outcome,
                             bool shared) {
  const Peer& peer = *flight.peer;
  const uint32_t attempts = flight.request.attempts;
  nanoseconds longest = kBackoffMax;
  if (outcome.verdict == Verdict::kRetryConnection) longest = kConnectionBackoffMax;
  if (draining_) longest = kDrainBackoffMax;
  nanoseconds delay = Backoff(shared ? peer.failures : attempts, longest);
  // It takes others: what waits fills the queue, and the next attempt has the same chance.
  if (!shared && peer.window.TakesOthers(flight.sent_ns, books_.now_ns()))
    delay = Backoff((attempts + 1) / 2, longest) / 2;
  if (outcome.verdict == Verdict::kRetrySlowly && !draining_)
    delay = Backoff(UINT32_MAX, kCredentialsBackoff) + kCredentialsBackoff / 4;
  if (!reply.retry_delay) return delay;
  // The hint is a floor; the jitter above it spreads the agents that got the same one.
  const nanoseconds hint = std::clamp(*reply.retry_delay, milliseconds(0), kLongestHint);
  return std::max(delay, hint + Backoff(1, kBackoffMin));
}

bool Lane::HasOthers() const {
  return !ready_.empty() || std::any_of(pending_.begin(), pending_.end(),
                                        [](const Pending& p) { return !p.items.empty(); });
}

// A suspect that fails again at a peer that is well, after others have been delivered. One that is
// told to come again later is none: a peer that has too many requests tells many so.
bool Lane::IsToBlame(const Flight& flight, const CallReply& reply, const Outcome& outcome) const {
  const Request& request = flight.request;
  if (!request.suspect || flight.alone || reply.unprocessed ||
      delivered_ == request.delivered_before)
    return false;
  return outcome.verdict != Verdict::kRetry || outcome.reason == "deadline_exceeded";
}

void Lane::SetAside(Request&& request) {
  if (std::exchange(request.suspect, true)) suspect_out_ = false;
  request.failed_alone = 0;
  request.delivered_before = delivered_;
  aside_.push_back(std::move(request));
  ArmSuspect();
}

// Its parts are the next to be tried, one after the other. What cannot be cut is kept: the peer may
// be mended one day.
void Lane::Blame(Request&& request, const Outcome& outcome) {
  suspect_out_ = false;
  ++blames_;
  request.delivered_before = delivered_;
  if (blame_log_.Allow(books_.now_ns()))
    spdlog::warn("collector takes others, but not a request of {} spans, {} bytes: {}: {}",
                 request.spans(), request.bytes(), outcome.reason, outcome.message);
  Request second;
  if (isolation_budget_ >= 2 && Halve(&request, &second)) {
    isolation_budget_ -= 2;
    second.attempts = request.attempts;
    second.suspect = true;
    second.delivered_before = delivered_;
    aside_.push_front(std::move(second));
    aside_.push_front(std::move(request));
  } else {
    aside_.push_back(std::move(request));
  }
  ArmSuspect();
}

// The peer has answered to it, whatever it said: the next one may be tried.
void Lane::Absolve(Request* request) {
  request->failed_alone = 0;
  if (!std::exchange(request->suspect, false)) return;
  suspect_out_ = false;
  blames_ = 0;
  suspect_due_ = !aside_.empty();
}

void Lane::ArmSuspect() {
  if (suspect_out_ || suspect_due_ || suspect_timer_ != 0) return;
  suspect_timer_ =
      timers_.RunAfter(Backoff(blames_ + 1, draining_ ? kDrainBackoffMax : kSuspectBackoffMax),
                       [this, alive = std::weak_ptr<int>(alive_)] {
                         if (alive.expired()) return;
                         suspect_timer_ = 0;
                         suspect_due_ = true;
                         Pump();
                       });
}

// Whether a peer is well again is asked by any other request sooner than by a suspect.
void Lane::TakeSuspect() {
  if (!suspect_due_ || suspect_out_ || aside_.empty() || (!well() && HasOthers())) return;
  suspect_due_ = false;
  suspect_out_ = true;
  ready_.push_back(std::move(aside_.front()));
  aside_.pop_front();
}

// The peer has a limit below our batch size: later requests are made smaller at once.
void Lane::SendInHalves(Flight&& flight, const Outcome& outcome) {
  if (flight.probe) return;
  Request request = std::move(flight.request);
  batch_bytes_ =
      std::clamp(request.bytes() / 2, std::min(kSmallestBatch, batch_bytes_), batch_bytes_);
  const uint64_t now = batch_changed_ns_ = books_.now_ns();
  if (now - refused_at_ns_ > kRefusedSizeNs) refused_bytes_ = UINT64_MAX;
  refused_bytes_ = std::min(refused_bytes_, flight.bytes);
  refused_at_ns_ = now;
  Request second;
  if (Hopeless(request) || !Halve(&request, &second)) return GiveUp(&request, outcome);
  second.attempts = request.attempts;
  ready_.push_front(std::move(second));
  ready_.push_front(std::move(request));
}

// The limit may have been raised, or have been that of a destination that is gone.
void Lane::GrowBatch(uint64_t now_ns) {
  const auto most = static_cast<uint64_t>(options_.max_batch_bytes);
  if (batch_bytes_ >= most || now_ns - batch_changed_ns_ < kRefusedSizeNs) return;
  batch_bytes_ = std::min(most, 2 * batch_bytes_);
  batch_changed_ns_ = now_ns;
}

// Every span would come with envelopes that were too large with another one already.
bool Lane::Hopeless(const Request& request) {
  return request.items.size() == 1 && request.spans() > 1 &&
         SmallestPart(request) >= refused_bytes_;
}

// One bad span must not cost the others of its request: halve until it stands alone, as long as the
// budget lasts.
void Lane::Isolate(Request&& request, const Outcome& outcome) {
  Request second;
  if (outcome.verdict == Verdict::kUnreadable || outcome.reason == "bad_response" ||
      outcome.reason == "http_404" || outcome.reason == "http_405" || isolation_budget_ < 2 ||
      !Halve(&request, &second))
    return GiveUp(&request, outcome);
  isolation_budget_ -= 2;
  ready_.push_front(std::move(second));
  ready_.push_front(std::move(request));
}

void Lane::GiveUp(Request* request, const Outcome& outcome) {
  held_bytes_ -= request->charge();
  books_.Rejected(request, outcome);
}

// "I cannot read that" may mean that the peer lacks our compression; so does each answer to what
// was on its way then.
bool Lane::FallBackToPlain(const Flight& flight, const Outcome& outcome) {
  if (outcome.verdict != Verdict::kUnreadable || flight.encoding.empty()) return false;
  Peer& peer = *flight.peer;
  if (!peer.encoding.empty())
    spdlog::warn("collector {} does not take {} compression, sending without", peer.name,
                 peer.encoding);
  peer.encoding.clear();
  return true;
}

void Lane::Wait(Request&& request, nanoseconds delay) {
  uint64_t id = request.id;
  request.timer = timers_.RunAfter(delay, [this, id, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    auto found = waiting_.find(id);
    if (found == waiting_.end()) return;
    ready_.push_back(std::move(found->second));
    waiting_.erase(found);
    Pump();
  });
  waiting_.emplace(id, std::move(request));
}

void Lane::WakeWaiting() {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    if (it->second.peer_set_the_time && !draining_) {
      ++it;
      continue;
    }
    timers_.Cancel(it->second.timer);
    ready_.push_back(std::move(it->second));
    it = waiting_.erase(it);
  }
}

void Lane::OpenGate(Peer& peer) {
  peer.failures = 0;
  timers_.Cancel(std::exchange(peer.pause, 0));
  if (peer.gate == Gate::kOpen) return;
  peer.gate = Gate::kOpen;
  peer.window.Restart();
  CountGates();
  if (std::exchange(peer.outage_logged, false))
    spdlog::info("collector {} takes spans again", peer.name);
  WakeWaiting();
}

void Lane::CloseGate(Peer& peer, Gate gate, const Outcome& outcome) {
  const bool was_well = well();
  Gate before = std::exchange(peer.gate, gate);
  if (was_well && !well()) unwell_since_ns_ = books_.now_ns();
  CountGates();
  // A peer that comes and goes is told of now and then only.
  if (before == gate || !peer.outage_log.Allow(books_.now_ns())) return;
  peer.outage_logged = true;
  spdlog::warn("collector {} {}, spans are kept: {}: {}", peer.name,
               gate == Gate::kCredentials ? "refuses our credentials" : "takes no spans now",
               outcome.reason, outcome.message);
}

void Lane::Pause(const std::shared_ptr<Peer>& peer, nanoseconds delay) {
  if (peer->pause != 0 || peer->leaving) return;
  peer->pause = timers_.RunAfter(
      delay, [this, weak = std::weak_ptr<Peer>(peer), alive = std::weak_ptr<int>(alive_)] {
        auto self = weak.lock();
        if (alive.expired() || self == nullptr) return;
        self->pause = 0;
        Pump();
      });
}

// The gauges are sums over all lanes: each adds its own change.
void Lane::CountGates() {
  int64_t reachable = 0, refusing = 0;
  for (const auto& peer : peers_) {
    if (peer->leaving) continue;
    reachable += peer->gate != Gate::kConnection;
    refusing += peer->gate == Gate::kCredentials;
  }
  base::Metric& reachable_gauge = books_.counters.reachable;
  base::Metric& refusing_gauge = books_.counters.credentials_refused;
  reachable_gauge.Set(reachable_gauge.value() + reachable - counted_reachable_);
  refusing_gauge.Set(refusing_gauge.value() + refusing - counted_refusing_);
  counted_reachable_ = reachable;
  counted_refusing_ = refusing;
}

// Half of it fixed, half of it random.
nanoseconds Lane::Backoff(uint32_t attempts, nanoseconds longest) {
  nanoseconds full = longest;
  if (attempts < 16)
    full = std::min(longest, kBackoffMin * (1 << (attempts > 0 ? attempts - 1 : 0)));
  std::uniform_int_distribution<int64_t> part(0, full.count() / 2);
  return full / 2 + nanoseconds(part(random_));
}

void Lane::ArmFlush() {
  flush_timer_ = timers_.RunAfter(milliseconds(options_.flush_milliseconds),
                                  [this, alive = std::weak_ptr<int>(alive_)] {
                                    if (alive.expired()) return;
                                    flush_timer_ = 0;
                                    flush_due_ = true;
                                    Pump();
                                  });
}

void Lane::Drain() {
  draining_ = flush_due_ = true;
  for (auto& peer : peers_) timers_.Cancel(std::exchange(peer->pause, 0));
  WakeWaiting();
  suspect_due_ = !aside_.empty();
  Pump();
}

std::vector<Item> Lane::TakeQueued() {
  std::vector<Item> out;
  const auto take = [&out](Request& request) {
    for (Item& item : request.items) out.push_back(std::move(item));
  };
  for (Request& request : ready_) {
    if (request.suspect) suspect_out_ = false;
    take(request);
  }
  ready_.clear();
  for (auto& [id, request] : waiting_) {
    timers_.Cancel(request.timer);
    take(request);
  }
  waiting_.clear();
  for (Request& request : aside_) take(request);
  aside_.clear();
  suspect_due_ = false;
  timers_.Cancel(std::exchange(suspect_timer_, 0));
  for (Pending& pending : pending_) {
    for (Item& item : pending.items) out.push_back(std::move(item));
    pending = {};
  }
  for (const Item& item : out) held_bytes_ -= item.charge;
  return out;
}

void Lane::KeepOrShedAll() {
  for (auto& [id, flight] : flying_) held_bytes_ -= flight.request.charge();
  for (auto& [id, flight] : flying_)
    for (Item& item : flight.request.items) books_.KeepOrShed(std::move(item), "shutdown");
  flying_.clear();
  for (Item& item : TakeQueued()) books_.KeepOrShed(std::move(item), "shutdown");
}

}  // namespace weft::exporters::collector
