#include "merge/process_table.h"

namespace weft::merge {

ProcessTable::ProcessTable(uint64_t hold_ns, size_t max_processes)
    : hold_ns_(hold_ns), max_processes_(max_processes) {}

ProcessState* ProcessTable::Find(const model::ProcessKey& key) {
  auto it = states_.find(key);
  return it == states_.end() ? nullptr : &it->second;
}

ProcessState& ProcessTable::Get(const model::ProcessKey& key) {
  auto it = states_.find(key);
  if (it != states_.end()) {
    ages_.splice(ages_.end(), ages_, it->second.age);
    return it->second;
  }
  if (states_.size() >= max_processes_) EvictIdle();
  ProcessState& state = states_[key];
  state.key = key;
  state.age = ages_.insert(ages_.end(), &state);
  return state;
}

// Forgets the longest unused processes without entries; those with entries are in use. What is lost
// with it is only its coverage, which is learnt again. All of them may have entries: then the
// window's byte limit is the bound.
void ProcessTable::EvictIdle() {
  constexpr int kMaxLooks = 64;
  for (int looks = 0; looks < kMaxLooks && states_.size() >= max_processes_; ++looks) {
    ProcessState* state = ages_.front();
    if (state->entries != 0) {
      ages_.splice(ages_.end(), ages_, state->age);
      continue;
    }
    SetCoverage(*state, Coverage::kUnknown);
    ages_.erase(state->age);
    const model::ProcessKey key = state->key;
    states_.erase(key);
  }
}

void ProcessTable::OnExport(ProcessState& process) { SetCoverage(process, Coverage::kExports); }

void ProcessTable::OnOwnContext(ProcessState& process) {
  process.makes_contexts = true;
  if (process.is_uncovered()) SetCoverage(process, Coverage::kUnknown);
}

std::vector<ProcessState*> ProcessTable::Tick(uint64_t now_ns) {
  std::vector<ProcessState*> turned;
  while (!watched_.empty() && watched_.front().due_ns <= now_ns) {
    ProcessState* process = Find(watched_.front().key);
    watched_.pop_front();
    if (process == nullptr || process->coverage != Coverage::kUnknown) continue;
    if (process->makes_contexts) continue;
    SetCoverage(*process, Coverage::kUncovered);
    turned.push_back(process);
  }
  return turned;
}

void ProcessTable::SetCoverage(ProcessState& process, Coverage coverage) {
  if (process.is_uncovered()) --uncovered_;
  process.coverage = coverage;
  if (process.is_uncovered()) ++uncovered_;
}

}  // namespace weft::merge
