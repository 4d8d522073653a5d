// Outboxes: the reading side of bpf/lib/outbox.h, where the kernel side puts its records as long as
// there is room. docs/adr/0015
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "base/bytes.h"
#include "base/result.h"

namespace weft::sources::ebpf {

// Bytes of the outbox of one CPU: all together at most 32 MiB, each few enough to stay in the
// caches of its CPU; a power of two.
uint64_t OutboxBytes(unsigned cpus);
// Bytes of a map value that holds one of `outbox_bytes`.
uint32_t OutboxValueBytes(uint64_t outbox_bytes);

// Threads: one. Owns: the mapping, not the map.
class Outboxes {
 public:
  Outboxes() = default;
  ~Outboxes();
  Outboxes(const Outboxes&) = delete;
  Outboxes& operator=(const Outboxes&) = delete;

  // Maps the values of the map `fd`, which was made for these numbers.
  base::Status Map(int fd, unsigned cpus, uint64_t outbox_bytes);
  // Visits the records that are whole, CPU by CPU, and gives their room back. Stops when `visit`
  // says false.
  void Consume(const std::function<bool(base::ByteView)>& visit);
  // Bytes that had to wait at the last Consume in the fullest of them, in percent of its size.
  unsigned fullest_percent() const { return fullest_percent_; }

 private:
  bool ConsumeOne(uint8_t* value, const std::function<bool(base::ByteView)>& visit);
  void Unmap();

  uint8_t* values_ = nullptr;
  size_t mapped_bytes_ = 0, value_bytes_ = 0;
  uint64_t outbox_bytes_ = 0;
  unsigned cpus_ = 0, fullest_percent_ = 0;
};

}  // namespace weft::sources::ebpf
