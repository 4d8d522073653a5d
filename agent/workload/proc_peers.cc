#include "workload/proc_peers.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>

#include "workload/proc_files.h"

namespace weft::workload {
namespace {

constexpr uint64_t kRestFactor = 50;
constexpr uint64_t kMinRestNs = 10'000'000;
// A port may get another owner: what the tables said is asked again after this.
constexpr uint64_t kTablesGoodNs = 30'000'000'000;
constexpr size_t kMaxTableBytes = 16 << 20;

// "0100007F:1F90": 32-bit words in the machine's byte order, then the port in hex.
bool ParseEndpoint(std::string_view text, model::Endpoint* out) {
  size_t colon = text.find(':');
  if (colon != 8 && colon != 32) return false;
  unsigned port = 0;
  std::from_chars(text.data() + colon + 1, text.data() + text.size(), port, 16);
  uint8_t raw[16];
  for (size_t word = 0; word < colon / 8; ++word) {
    uint32_t value = 0;
    std::from_chars(text.data() + 8 * word, text.data() + 8 * word + 8, value, 16);
    std::memcpy(raw + 4 * word, &value, 4);
  }
  if (colon == 8) {
    uint8_t v4[4];
    std::memcpy(v4, raw, 4);
    *out = model::Endpoint::V4(v4, static_cast<uint16_t>(port));
  } else {
    *out = model::Endpoint::V6(raw, static_cast<uint16_t>(port));
  }
  return true;
}

std::string_view NextWord(std::string_view* line) {
  line->remove_prefix(std::min(line->find_first_not_of(' '), line->size()));
  const std::string_view word = line->substr(0, line->find(' '));
  line->remove_prefix(word.size());
  return word;
}

template <typename Number>
bool ParseNumber(std::string_view text, Number* number) {
  return std::from_chars(text.data(), text.data() + text.size(), *number).ptr ==
             text.data() + text.size() &&
         !text.empty();
}

std::unique_ptr<DIR, int (*)(DIR*)> OpenFolder(const std::string& path) {
  return {opendir(path.c_str()), closedir};
}

// The inode of "socket:[4711]"; 0 for anything else.
uint64_t SocketInode(int folder, const char* name) {
  char target[64];
  const ssize_t size = readlinkat(folder, name, target, sizeof target);
  constexpr std::string_view kSocket = "socket:[";
  if (size <= 0 || !std::string_view(target, static_cast<size_t>(size)).starts_with(kSocket))
    return 0;
  uint64_t inode = 0;
  std::from_chars(target + kSocket.size(), target + size, inode);
  return inode;
}

model::Endpoint AddressOf(model::Endpoint endpoint) {
  endpoint.port = 0;
  return endpoint;
}

}  // namespace

ProcPeers::ProcPeers(ProcPeersOptions options, model::WorkloadLookup& processes,
                     const base::Clock& clock)
    : options_(std::move(options)), processes_(processes), clock_(clock) {}

model::ProcessRef ProcPeers::Find(Table& table, const model::Endpoint& peer) {
  const uint64_t now_ns = clock_.MonotonicNs();
  const auto owner = owners_.find(InodeOf(table, peer));
  uint32_t pid = owner != owners_.end() ? owner->second : 0;
  const bool stale = now_ns - read_ns_ >= kTablesGoodNs;
  if ((pid == 0 || stale) && now_ns >= next_step_ns_ && !IsAbsent(table, peer, now_ns)) {
    pid = Search(table, peer, now_ns);
    const uint64_t end_ns = clock_.MonotonicNs();
    next_step_ns_ = end_ns + std::max(kMinRestNs, kRestFactor * (end_ns - now_ns));
  }
  return pid == 0 ? nullptr : processes_.Find({pid, 0}, {});
}

uint32_t ProcPeers::Search(Table& table, const model::Endpoint& peer, uint64_t now_ns) {
  const bool scanning = !pids_.empty();
  if (!scanning) ReadTables(now_ns);
  const uint64_t inode = InodeOf(table, peer);
  if (inode == 0 && !scanning) NoteAbsent(table, peer, now_ns);
  if (inode == 0 && !scanning) return 0;
  const auto owner = owners_.find(inode);  // none for a peer that came during the scan
  const auto found = [&] { return owner != owners_.end() && owner->second != 0; };
  if (!scanning && !found()) StartScan();
  while (!pids_.empty() && !found()) {
    const uint32_t pid = pids_.back();
    pids_.pop_back();
    ScanProcess(pid);
    if (clock_.MonotonicNs() - now_ns >= kStepNs) break;
  }
  if (found()) {
    pids_.clear();
    return owner->second;
  }
  if (pids_.empty() && owner != owners_.end()) NoteAbsent(table, peer, now_ns);
  return 0;
}

// A UDP socket that is bound to every address is listed with the zero address; one of IPv6 may then
// speak IPv4, too. Only for addresses of this machine: others have the same ports.
uint64_t ProcPeers::InodeOf(const Table& table, const model::Endpoint& peer) const {
  auto found = table.inodes.find(peer);
  if (found == table.inodes.end() && (peer.IsLoopback() || addresses_.contains(AddressOf(peer)))) {
    model::Endpoint any{.port = peer.port, .family = peer.family};
    found = table.inodes.find(any);
    any.family = 6;
    if (found == table.inodes.end()) found = table.inodes.find(any);
  }
  return found == table.inodes.end() ? 0 : found->second;
}

void ProcPeers::ReadTables(uint64_t now_ns) {
  read_ns_ = now_ns;
  addresses_.clear();
  std::unordered_map<uint64_t, uint32_t> before;
  before.swap(owners_);
  tcp_.inodes.clear();
  udp_.inodes.clear();
  ReadTable("/net/tcp", &tcp_);
  ReadTable("/net/tcp6", &tcp_);
  ReadTable("/net/udp", &udp_);
  ReadTable("/net/udp6", &udp_);
  for (auto& [inode, pid] : owners_) {
    const auto known = before.find(inode);
    if (known != before.end()) pid = known->second;
  }
}

void ProcPeers::ReadTable(const char* name, Table* table) {
  const std::string text = ReadBounded(options_.proc_root + name, kMaxTableBytes);
  std::string_view rest = text;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    NextWord(&line);  // slot
    const std::string_view local = NextWord(&line);
    for (int i = 0; i < 7; ++i) NextWord(&line);
    uint64_t inode = 0;
    model::Endpoint endpoint;
    if (!ParseNumber(NextWord(&line), &inode) || !ParseEndpoint(local, &endpoint)) continue;
    addresses_.insert(AddressOf(endpoint));
    if (inode == 0) continue;  // nobody has it any more
    if (table == &tcp_ && endpoint.address == decltype(endpoint.address){}) continue;  // listens
    table->inodes[endpoint] = inode;
    owners_.try_emplace(inode, 0);
  }
}

// Whoever had a socket before is looked at first: it is the likeliest to have opened another.
void ProcPeers::StartScan() {
  std::unordered_set<uint32_t> likely;
  for (const auto& [inode, pid] : owners_)
    if (pid != 0) likely.insert(pid);
  pids_.clear();
  const auto processes = OpenFolder(options_.proc_root);
  if (processes == nullptr) return;
  while (const dirent* process = readdir(processes.get())) {
    uint32_t pid = 0;
    if (ParseNumber(std::string_view(process->d_name), &pid) && !likely.contains(pid))
      pids_.push_back(pid);
  }
  pids_.insert(pids_.end(), likely.begin(), likely.end());
}

void ProcPeers::ScanProcess(uint32_t pid) {
  const auto folder = OpenFolder(options_.proc_root + "/" + std::to_string(pid) + "/fd");
  if (folder == nullptr) return;
  while (const dirent* descriptor = readdir(folder.get())) {
    const auto owner = owners_.find(SocketInode(dirfd(folder.get()), descriptor->d_name));
    if (owner != owners_.end()) owner->second = pid;
  }
}

bool ProcPeers::IsAbsent(const Table& table, const model::Endpoint& peer, uint64_t now_ns) const {
  const auto good = [&](const model::Endpoint& key) {
    const auto found = table.absent.find(key);
    return found != table.absent.end() && now_ns < found->second;
  };
  return good(peer) || good(AddressOf(peer));
}

// An address that nobody here has is that of another machine or container: so are its other ports.
void ProcPeers::NoteAbsent(Table& table, const model::Endpoint& peer, uint64_t now_ns) {
  if (table.absent.size() >= kMaxAbsent) table.absent.clear();
  const bool elsewhere = !peer.IsLoopback() && !addresses_.contains(AddressOf(peer));
  table.absent[elsewhere ? AddressOf(peer) : peer] = now_ns + kAbsentNs;
}

}  // namespace weft::workload
