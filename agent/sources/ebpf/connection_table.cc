#include "sources/ebpf/connection_table.h"

#include <algorithm>
#include <utility>

namespace weft::sources::ebpf {

void ConnectionTable::Add(Announcement announcement) {
  const model::ConnectionId id = announcement.connection.id;
  Remove(id);
  MakeRoom(announcement.is_udp);
  Entry entry;
  entry.connection = std::make_shared<const model::Connection>(announcement.connection);
  entry.process = std::move(announcement.process);
  entry.is_udp = announcement.is_udp;
  entry.indexed = !announcement.is_server_side;
  Transport& transport = TransportOf(entry);
  entry.order = transport.order.insert(transport.order.end(), id);
  if (entry.indexed) {
    std::vector<Owner>& owners = transport.index[entry.connection->local];
    const uint64_t netns = entry.connection->netns;
    auto same = std::find_if(owners.begin(), owners.end(),
                             [netns](const Owner& o) { return o.netns == netns; });
    if (same != owners.end()) {
      same->id = id;
    } else {
      owners.push_back({netns, id});
    }
  }
  entries_.emplace(id, std::move(entry));
}

void ConnectionTable::MakeRoom(bool is_udp) {
  Transport& transport = is_udp ? udp_ : tcp_;
  while (!transport.order.empty() && transport.order.size() >= transport.max_entries) {
    if (is_udp || !ForgetClosing()) ForgetIdle(transport);
    if (!is_udp) ++evicted_;
  }
}

// What is left of a closed socket is at most a late record.
bool ConnectionTable::ForgetClosing() {
  while (!closing_.empty()) {
    const auto it = entries_.find(closing_.front().second);
    closing_.pop_front();
    if (it == entries_.end() || !it->second.closing) continue;
    Remove(it->first);
    return true;
  }
  return false;
}

// A second chance for whoever was asked for: it goes to the end of the line, as if it was new.
void ConnectionTable::ForgetIdle(Transport& transport) {
  while (true) {
    const model::ConnectionId id = transport.order.front();
    Entry& entry = entries_.find(id)->second;
    if (!std::exchange(entry.in_use, false)) return Remove(id);
    transport.order.splice(transport.order.end(), transport.order, entry.order);
  }
}

std::shared_ptr<const model::Connection> ConnectionTable::Find(model::ConnectionId id) {
  auto it = entries_.find(id);
  if (it == entries_.end()) return nullptr;
  it->second.in_use = true;
  return it->second.connection;
}

void ConnectionTable::Close(model::ConnectionId id, uint64_t now_ns) {
  auto it = entries_.find(id);
  if (it == entries_.end() || it->second.closing) return;
  it->second.closing = true;
  closing_.emplace_back(now_ns + kLingerNs, id);
}

bool ConnectionTable::MarkMessageEnd(model::ConnectionId id) {
  auto it = entries_.find(id);
  if (it == entries_.end()) return false;
  it->second.has_message_end = true;
  return true;
}

void ConnectionTable::Expire(uint64_t now_ns) {
  while (!closing_.empty() && closing_.front().first <= now_ns) {
    const auto it = entries_.find(closing_.front().second);
    closing_.pop_front();
    // Announced anew meanwhile, it lives.
    if (it != entries_.end() && it->second.closing) Remove(it->first);
  }
}

void ConnectionTable::Remove(model::ConnectionId id) {
  auto it = entries_.find(id);
  if (it == entries_.end()) return;
  Entry& entry = it->second;
  Transport& transport = TransportOf(entry);
  if (entry.indexed) {
    auto owners = transport.index.find(entry.connection->local);
    if (owners != transport.index.end()) {
      std::erase_if(owners->second, [id](const Owner& o) { return o.id == id; });
      if (owners->second.empty()) transport.index.erase(owners);
    }
  }
  if (entry.has_message_end && forget_) forget_(id);
  transport.order.erase(entry.order);
  entries_.erase(it);
}

model::ProcessRef ConnectionTable::Ask(const Index& index, const model::Endpoint& address) {
  auto it = index.find(address);
  if (it == index.end()) return nullptr;
  const std::vector<Owner>& owners = it->second;
  auto process = [this](const Owner& o) -> model::ProcessRef {
    auto entry = entries_.find(o.id);
    if (entry == entries_.end()) return nullptr;
    entry->second.in_use = true;
    return entry->second.process;
  };
  if (owners.size() == 1) return process(owners.front());
  for (const Owner& o : owners) {
    if (o.netns == own_netns_) return process(o);
  }
  return nullptr;
}

model::ProcessRef ConnectionTable::TcpPeer(const model::Endpoint& peer) {
  return Ask(tcp_.index, peer);
}

model::ProcessRef ConnectionTable::UdpPeer(const model::Endpoint& peer) {
  if (model::ProcessRef exact = Ask(udp_.index, peer)) return exact;
  model::Endpoint any;
  any.family = peer.family;
  any.port = peer.port;
  if (model::ProcessRef bound = Ask(udp_.index, any)) return bound;
  // A dual-stack socket sends to IPv4 with "::" as its own address.
  any.family = 6;
  return Ask(udp_.index, any);
}

}  // namespace weft::sources::ebpf
