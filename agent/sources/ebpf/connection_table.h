// ConnectionTable: every socket that the kernel side has announced, by cookie, and an index of
// local addresses that answers "which process is behind this address?". Bounded, TCP and UDP apart:
// nobody says that a UDP socket is gone, and every lookup of a name makes one. What is closing
// makes room first, then what was not asked for since it last stood at the end of the line.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "model/endpoint.h"
#include "model/process.h"
#include "model/segment.h"

namespace weft::sources::ebpf {

// What an announcement says, out of its record.
struct Announcement {
  model::Connection connection;
  model::ProcessRef process;
  bool is_udp = false;
  bool is_server_side = false;  // accepted: its local address says nothing about a client
};

// Threads: one. Cost: a hash hit per lookup.
class ConnectionTable {
 public:
  // `max_entries`: TCP sockets; of UDP sockets a quarter as many. `own_netns`: inode of the
  // namespace preferred when an address exists in several.
  ConnectionTable(size_t max_entries, uint64_t own_netns)
      : own_netns_(own_netns), tcp_{max_entries}, udp_{(max_entries + 3) / 4} {}

  // An entry of the same cookie is replaced.
  void Add(Announcement announcement);
  // Null when unknown. Whoever is found is in use.
  std::shared_ptr<const model::Connection> Find(model::ConnectionId id);
  // The entry dies `kLingerNs` later; late records still find it.
  void Close(model::ConnectionId id, uint64_t now_ns);
  // Remembers that the kernel side holds message ends of this connection.
  bool MarkMessageEnd(model::ConnectionId id);
  // Removes what was closed long enough ago.
  void Expire(uint64_t now_ns);
  // Called with the id of every removed entry that was marked.
  void OnForget(std::function<void(model::ConnectionId)> forget) { forget_ = std::move(forget); }

  // Null when unknown, or in several namespaces and none of them ours.
  model::ProcessRef TcpPeer(const model::Endpoint& peer);
  // A socket bound to any address counts when nothing more exact is known.
  model::ProcessRef UdpPeer(const model::Endpoint& peer);

  size_t size() const { return entries_.size(); }
  // TCP sockets forgotten for want of room: what they say from then on is nobody's.
  uint64_t evicted() const { return evicted_; }

  static constexpr uint64_t kLingerNs = 5'000'000'000;

 private:
  struct Entry {
    std::shared_ptr<const model::Connection> connection;
    model::ProcessRef process;
    std::list<model::ConnectionId>::iterator order;
    bool is_udp = false;
    bool indexed = false;
    bool closing = false;
    bool in_use = false;  // asked for since it last stood at the end of the line
    bool has_message_end = false;
  };
  struct Owner {
    uint64_t netns;
    model::ConnectionId id;
  };
  using Index = std::unordered_map<model::Endpoint, std::vector<Owner>, model::EndpointHash>;

  struct Transport {
    size_t max_entries;
    std::list<model::ConnectionId> order = {};  // the next to be forgotten first
    Index index = {};  // by local address; one owner per namespace, the newest
  };

  Transport& TransportOf(const Entry& entry) { return entry.is_udp ? udp_ : tcp_; }
  void MakeRoom(bool is_udp);
  bool ForgetClosing();
  void ForgetIdle(Transport& transport);
  void Remove(model::ConnectionId id);
  model::ProcessRef Ask(const Index& index, const model::Endpoint& address);

  const uint64_t own_netns_;
  std::unordered_map<model::ConnectionId, Entry> entries_;
  Transport tcp_, udp_;
  std::deque<std::pair<uint64_t, model::ConnectionId>> closing_;
  std::function<void(model::ConnectionId)> forget_;
  uint64_t evicted_ = 0;
};

}  // namespace weft::sources::ebpf
