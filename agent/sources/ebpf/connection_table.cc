#include "sources/ebpf/connection_table.h"

#include <algorithm>
#include <utility>

namespace weft::sources::ebpf {

void ConnectionTable::Add(Announcement announcement) {
  const model::ConnectionId id = announcement.connection.id;
  Remove(id);
  while (!order_.empty() && entries_.size() >= max_entries_) {
    ++evicted_;
    Remove(order_.front());
  }
  Entry entry;
  entry.connection = std::make_shared<const model::Connection>(announcement.connection);
  entry.process = std::move(announcement.process);
  entry.is_udp = announcement.is_udp;
  entry.indexed = !announcement.is_server_side;
  entry.order = order_.insert(order_.end(), id);
  if (entry.indexed) {
    std::vector<Owner>& owners = (entry.is_udp ? udp_ : tcp_)[entry.connection->local];
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

std::shared_ptr<const model::Connection> ConnectionTable::Find(model::ConnectionId id) const {
  auto it = entries_.find(id);
  return it == entries_.end() ? nullptr : it->second.connection;
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
    const model::ConnectionId id = closing_.front().second;
    closing_.pop_front();
    Remove(id);
  }
}

void ConnectionTable::Remove(model::ConnectionId id) {
  auto it = entries_.find(id);
  if (it == entries_.end()) return;
  Entry& entry = it->second;
  if (entry.indexed) {
    Index& index = entry.is_udp ? udp_ : tcp_;
    auto owners = index.find(entry.connection->local);
    if (owners != index.end()) {
      std::erase_if(owners->second, [id](const Owner& o) { return o.id == id; });
      if (owners->second.empty()) index.erase(owners);
    }
  }
  if (entry.has_message_end && forget_) forget_(id);
  order_.erase(entry.order);
  entries_.erase(it);
}

model::ProcessRef ConnectionTable::Ask(const Index& index, const model::Endpoint& address) const {
  auto it = index.find(address);
  if (it == index.end()) return nullptr;
  const std::vector<Owner>& owners = it->second;
  auto process = [this](const Owner& o) {
    auto entry = entries_.find(o.id);
    return entry == entries_.end() ? nullptr : entry->second.process;
  };
  if (owners.size() == 1) return process(owners.front());
  for (const Owner& o : owners) {
    if (o.netns == own_netns_) return process(o);
  }
  return nullptr;
}

model::ProcessRef ConnectionTable::TcpPeer(const model::Endpoint& peer) const {
  return Ask(tcp_, peer);
}

model::ProcessRef ConnectionTable::UdpPeer(const model::Endpoint& peer) const {
  if (model::ProcessRef exact = Ask(udp_, peer)) return exact;
  model::Endpoint any;
  any.family = peer.family;
  any.port = peer.port;
  if (model::ProcessRef bound = Ask(udp_, any)) return bound;
  // A dual-stack socket sends to IPv4 with "::" as its own address.
  any.family = 6;
  return Ask(udp_, any);
}

}  // namespace weft::sources::ebpf
