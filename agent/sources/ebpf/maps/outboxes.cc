#include "sources/ebpf/maps/outboxes.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>

#include "abi/weft_abi.h"
#include "sources/ebpf/object.h"

namespace weft::sources::ebpf {
namespace {

constexpr uint64_t kAllBytes = 32 << 20;
constexpr uint64_t kCachedBytes = 256 << 10;
constexpr uint64_t kCacheLine = 64;

uint64_t RoundUp(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

// The other side of these numbers is written by the programs, and read by them.
std::atomic_ref<__u64> Shared(__u64& number) { return std::atomic_ref<__u64>(number); }

}  // namespace

uint64_t OutboxBytes(unsigned cpus) {
  const uint64_t share = std::bit_floor(kAllBytes / std::max(cpus, 1u));
  return std::clamp<uint64_t>(share, WEFT_OUTBOX_SMALLEST, kCachedBytes);
}

uint32_t OutboxValueBytes(uint64_t outbox_bytes) {
  return static_cast<uint32_t>(
      RoundUp(sizeof(weft_outbox) + outbox_bytes + WEFT_OUTBOX_SLACK, kCacheLine));
}

Outboxes::~Outboxes() { Unmap(); }

void Outboxes::Unmap() {
  if (values_ != nullptr) munmap(values_, mapped_bytes_);
  values_ = nullptr;
}

base::Status Outboxes::Map(int fd, unsigned cpus, uint64_t outbox_bytes) {
  Unmap();
  cpus_ = cpus;
  outbox_bytes_ = outbox_bytes;
  value_bytes_ = OutboxValueBytes(outbox_bytes);
  mapped_bytes_ = RoundUp(value_bytes_ * cpus, static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
  void* at = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return KernelError("map the outboxes", errno);
  values_ = static_cast<uint8_t*>(at);
  return base::Ok();
}

void Outboxes::Consume(const std::function<bool(base::ByteView)>& visit) {
  fullest_percent_ = 0;
  if (values_ == nullptr) return;
  for (unsigned cpu = 0; cpu < cpus_; ++cpu)
    if (!ConsumeOne(values_ + cpu * value_bytes_, visit)) return;
}

// A record that makes no sense ends the walk: all that is there is given back, and the visitor is
// shown the rest as one record, which it will refuse and count.
bool Outboxes::ConsumeOne(uint8_t* value, const std::function<bool(base::ByteView)>& visit) {
  auto* box = reinterpret_cast<weft_outbox*>(value);
  const uint8_t* bytes = value + sizeof(weft_outbox);
  const uint64_t written = Shared(box->written).load(std::memory_order_acquire);
  uint64_t at = box->consumed;
  fullest_percent_ =
      std::max(fullest_percent_, static_cast<unsigned>(100 * (written - at) / outbox_bytes_));
  bool goes_on = true;
  while (at != written && goes_on) {
    const uint64_t place = at & (outbox_bytes_ - 1);
    const auto* header = reinterpret_cast<const weft_record_header*>(bytes + place);
    const uint64_t size = header->size, end = place + RoundUp(size, 8);
    const uint64_t next = at - place + std::min(end, outbox_bytes_);
    if (size < sizeof(weft_record_header) || size > WEFT_OUTBOX_SLACK || next - at > written - at) {
      goes_on = visit({bytes + place, std::min<uint64_t>(written - at, WEFT_OUTBOX_SLACK)});
      at = written;
      break;
    }
    goes_on = visit({bytes + place, size});
    at = next;
  }
  Shared(box->consumed).store(at, std::memory_order_release);
  return goes_on;
}

}  // namespace weft::sources::ebpf
