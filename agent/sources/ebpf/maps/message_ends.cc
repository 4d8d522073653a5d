#include "sources/ebpf/maps/message_ends.h"

#include <bpf/bpf.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>

#include "abi/weft_abi.h"
#include "sources/ebpf/object.h"

namespace weft::sources::ebpf {
namespace {

constexpr size_t kToldBytes = WEFT_ENDS_TOLD * sizeof(uint32_t);

}  // namespace

void MessageEnds::Unmap() {
  if (told_ != nullptr) munmap(told_, kToldBytes);
  told_ = nullptr;
}

base::Status MessageEnds::Map(int ends, int told) {
  Unmap();
  connections_.clear();
  ends_ = ends;
  void* at = mmap(nullptr, kToldBytes, PROT_READ | PROT_WRITE, MAP_SHARED, told, 0);
  if (at == MAP_FAILED) return KernelError("map the table of message ends", errno);
  told_ = static_cast<uint32_t*>(at);
  return base::Ok();
}

void MessageEnds::Set(model::ConnectionId connection, model::Direction direction,
                      uint64_t position) {
  weft_message_end_key key = {connection, static_cast<uint32_t>(direction), 0};
  // A full map means that a later head is seen by its length only; the parser resyncs.
  if (bpf_map_update_elem(ends_, &key, &position, BPF_ANY) != 0) return;
  if (!connections_.insert(connection).second) return;
  std::atomic_ref(told_[WEFT_ENDS_TOLD_PLACE(connection)]).fetch_add(1, std::memory_order_release);
}

void MessageEnds::Clear(model::ConnectionId connection) {
  if (connections_.erase(connection) == 0) return;
  for (uint32_t direction : {WEFT_SEND, WEFT_RECEIVE}) {
    weft_message_end_key key = {connection, direction, 0};
    bpf_map_delete_elem(ends_, &key);
  }
  std::atomic_ref(told_[WEFT_ENDS_TOLD_PLACE(connection)]).fetch_sub(1, std::memory_order_release);
}

}  // namespace weft::sources::ebpf
