#include "workload/proc_peers.h"

#include <arpa/inet.h>
#include <dirent.h>

#include <charconv>
#include <cstring>
#include <memory>
#include <sstream>

#include "workload/proc_files.h"

namespace weft::workload {
namespace {

constexpr uint64_t kScanPeriodNs = 1'000'000'000;
constexpr size_t kMaxTableBytes = 16 << 20;
using Inodes = std::unordered_map<uint64_t, uint32_t>;  // socket inode → pid

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

std::unique_ptr<DIR, int (*)(DIR*)> OpenFolder(const std::string& path) {
  return {opendir(path.c_str()), closedir};
}

Inodes ScanDescriptors(const std::string& proc_root) {
  Inodes out;
  auto processes = OpenFolder(proc_root);
  if (processes == nullptr) return out;
  while (dirent* process = readdir(processes.get())) {
    uint32_t pid = 0;
    const char* end = process->d_name + std::strlen(process->d_name);
    if (std::from_chars(process->d_name, end, pid).ptr != end) continue;
    const std::string folder = proc_root + "/" + process->d_name + "/fd/";
    auto descriptors = OpenFolder(folder);
    if (descriptors == nullptr) continue;
    while (dirent* descriptor = readdir(descriptors.get())) {
      const std::string target = ReadLink(folder + descriptor->d_name);
      constexpr std::string_view kSocket = "socket:[";
      if (!target.starts_with(kSocket)) continue;
      uint64_t inode = 0;
      std::from_chars(target.data() + kSocket.size(), target.data() + target.size(), inode);
      out[inode] = pid;
    }
  }
  return out;
}

void ReadTable(const std::string& path, const Inodes& inodes,
               std::unordered_map<model::Endpoint, uint32_t, model::EndpointHash>* out) {
  std::istringstream lines(ReadBounded(path, kMaxTableBytes));
  std::string line;
  std::getline(lines, line);  // headings
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string slot, local, skip;
    uint64_t inode = 0;
    fields >> slot >> local;
    for (int i = 0; i < 7; ++i) fields >> skip;
    fields >> inode;
    model::Endpoint endpoint;
    auto owner = inodes.find(inode);
    if (owner != inodes.end() && ParseEndpoint(local, &endpoint)) (*out)[endpoint] = owner->second;
  }
}

}  // namespace

ProcPeers::ProcPeers(ProcPeersOptions options, model::WorkloadLookup& processes,
                     const base::Clock& clock)
    : options_(std::move(options)), processes_(processes), clock_(clock) {}

void ProcPeers::Scan() {
  tcp_.clear();
  udp_.clear();
  const Inodes inodes = ScanDescriptors(options_.proc_root);
  for (const char* table : {"/net/tcp", "/net/tcp6"})
    ReadTable(options_.proc_root + table, inodes, &tcp_);
  for (const char* table : {"/net/udp", "/net/udp6"})
    ReadTable(options_.proc_root + table, inodes, &udp_);
}

model::ProcessRef ProcPeers::Find(Owners& owners, const model::Endpoint& peer) {
  auto look = [&]() -> model::ProcessRef {
    auto it = owners.find(peer);
    if (it == owners.end()) {
      // A socket that is bound to every address is listed with the zero address.
      model::Endpoint any = peer;
      any.address = {};
      it = owners.find(any);
    }
    return it == owners.end() ? nullptr : processes_.Find({it->second, 0}, {});
  };
  if (model::ProcessRef known = look()) return known;
  const uint64_t now = clock_.MonotonicNs();
  if (scanned_ns_ != 0 && now - scanned_ns_ < kScanPeriodNs) return nullptr;
  scanned_ns_ = now;
  Scan();
  return look();
}

model::ProcessRef ProcPeers::TcpPeer(const model::Endpoint& peer) { return Find(tcp_, peer); }
model::ProcessRef ProcPeers::UdpPeer(const model::Endpoint& peer) { return Find(udp_, peer); }

}  // namespace weft::workload
