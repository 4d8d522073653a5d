// What merge knows of each process: whether its SDK speaks (coverage), and those of its exchanges
// that must be found otherwise than by ids. Coverage decides who waits: the views of an uncovered
// process are emitted at once. Private to this room.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <list>
#include <unordered_map>
#include <utility>
#include <vector>

#include "merge/containers/time_index.h"
#include "merge/entry.h"
#include "model/process.h"

namespace weft::merge {

enum class Coverage : uint8_t {
  kUnknown,    // has not been watched for one hold window yet, or makes contexts of its own
  kExports,    // has sent spans
  kUncovered,  // had its chance and stayed silent
};

// The open requests that one thread has read, newest first.
struct OpenRequests {
  Entry* newest = nullptr;
  uint32_t count = 0;
};

struct ProcessState {
  model::ProcessKey key;
  Coverage coverage = Coverage::kUnknown;
  bool makes_contexts = false;  // sent a context that no request had brought
  bool had_entries = false;
  bool is_watched = false;                 // its first exchange is over: it should speak soon
  uint32_t entries = 0;                    // in the window
  Entry* newest = nullptr;                 // of those
  std::array<uint32_t, 2> with_context{};  // of those, by Role
  std::array<TimeIndex, 2> bare;           // those without context, by Role
  bool forwards_contexts = false;          // has sent one that a request had brought
  // A thread has read a request while another one that it had read was still being answered: an
  // event loop, a transport thread. Its thread says little then.
  bool multiplexes = false;
  uint32_t open_requests = 0;
  // Open requests to this process by the thread that read them.
  std::unordered_map<uint32_t, OpenRequests> open_by_thread;
  std::list<ProcessState*>::iterator age;

  bool is_uncovered() const { return coverage == Coverage::kUncovered; }
};

// Threads: one. Owns: the states; addresses are stable while a state has entries.
class ProcessTable {
 public:
  ProcessTable(uint64_t hold_ns, size_t max_processes);

  // The state of the process, made on first use.
  ProcessState& Get(const model::ProcessKey& key);
  ProcessState* Find(const model::ProcessKey& key);

  // An exchange of this process is over: the first one starts the watch, since an SDK exports a
  // span only after its end.
  void OnFinished(ProcessState& process, uint64_t now_ns) {
    if (!std::exchange(process.is_watched, true)) {
      watched_.push_back({now_ns + hold_ns_, process.key});
    }
  }
  void OnExport(ProcessState& process);
  void OnOwnContext(ProcessState& process);
  // Makes processes uncovered whose time has come, and tells which.
  std::vector<ProcessState*> Tick(uint64_t now_ns);

  size_t size() const { return states_.size(); }
  size_t uncovered() const { return uncovered_; }

 private:
  void SetCoverage(ProcessState& process, Coverage coverage);
  void EvictIdle();

  const uint64_t hold_ns_;
  const size_t max_processes_;
  std::unordered_map<model::ProcessKey, ProcessState, model::ProcessKeyHash> states_;
  std::list<ProcessState*> ages_;  // least recently used first
  struct Watch {
    uint64_t due_ns;
    model::ProcessKey key;
  };
  std::deque<Watch> watched_;
  size_t uncovered_ = 0;
};

}  // namespace weft::merge
