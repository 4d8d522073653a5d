// A disk in memory that knows what has been synced. It can fail any call, die before any change,
// and then be turned into what a crash may have left: of all that was not synced, any part.
#pragma once

#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "spool/files.h"

namespace weft::spool {

class ModelFiles final : public FileLayer {
 public:
  // Called before each call that changes something; a result below zero is its result. For "write"
  // a positive one shortens it.
  std::function<int64_t(const std::string& call, const std::string& path)> before;
  std::function<int64_t(const std::string& path, uint64_t offset)> before_read;
  int open_for_reading = 0;      // below zero: its result
  uint64_t changes = 0;          // calls that changed something
  uint64_t die_at = UINT64_MAX;  // from this change on, nothing works any more
  uint64_t syncs = 0;
  std::vector<std::string> calls;  // of changes: "write segment-…"

  int Open(const std::string& path, Mode mode) override {
    if (mode == Mode::kRead && open_for_reading < 0) return open_for_reading;
    auto it = names_.find(path);
    if (mode == Mode::kCreate && it != names_.end()) return -EEXIST;
    if (it == names_.end()) {
      if (mode == Mode::kRead) return -ENOENT;
      if (int64_t rc = Change("create", path); rc < 0) return static_cast<int>(rc);
      it = names_.emplace(path, std::make_shared<Node>()).first;
      folder_changes_.push_back({path, it->second});
    }
    if (dead()) return -EIO;
    fds_[++last_fd_] = {path, it->second};
    return last_fd_;
  }
  void Close(int fd) override { fds_.erase(fd); }
  int64_t Write(int fd, std::span<const iovec> pieces, uint64_t offset) override {
    Handle& file = fds_.at(fd);
    const int64_t rc = Change("write", file.path);
    if (rc < 0) return rc;
    std::string bytes;
    for (const iovec& piece : pieces)
      bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    if (rc > 0 && static_cast<size_t>(rc) < bytes.size()) bytes.resize(static_cast<size_t>(rc));
    file.node->unsynced.push_back({offset, bytes, false});
    Apply({offset, bytes, false}, &file.node->now);
    return static_cast<int64_t>(bytes.size());
  }
  int64_t Read(int fd, std::span<uint8_t> out, uint64_t offset) override {
    if (dead()) return -EIO;
    const Handle& file = fds_.at(fd);
    if (before_read)
      if (int64_t rc = before_read(file.path, offset); rc < 0) return rc;
    const std::string& now = file.node->now;
    if (offset >= now.size()) return 0;
    const size_t n = std::min(out.size(), now.size() - offset);
    std::memcpy(out.data(), now.data() + offset, n);
    return static_cast<int64_t>(n);
  }
  int Sync(int fd) override {
    Handle& file = fds_.at(fd);
    if (int64_t rc = Change("sync", file.path); rc < 0) return static_cast<int>(rc);
    ++syncs;
    file.node->durable = file.node->now;
    file.node->unsynced.clear();
    return 0;
  }
  int Truncate(int fd, uint64_t size) override {
    Handle& file = fds_.at(fd);
    if (int64_t rc = Change("truncate", file.path); rc < 0) return static_cast<int>(rc);
    file.node->unsynced.push_back({size, "", true});
    file.node->now.resize(size);
    return 0;
  }
  int Lock(int fd) override {
    std::shared_ptr<Node>& node = fds_.at(fd).node;
    for (const auto& [other, handle] : fds_)
      if (other != fd && handle.node == node && handle.locked) return -EWOULDBLOCK;
    fds_.at(fd).locked = true;
    return 0;
  }
  int SyncFolder(const std::string& path) override {
    if (int64_t rc = Change("sync", path); rc < 0) return static_cast<int>(rc);
    folder_changes_.clear();
    durable_names_ = names_;
    return 0;
  }
  int Rename(const std::string& from, const std::string& to) override {
    if (int64_t rc = Change("rename", from); rc < 0) return static_cast<int>(rc);
    names_[to] = names_.at(from);
    names_.erase(from);
    folder_changes_.push_back({from, nullptr});
    folder_changes_.push_back({to, names_[to]});
    return 0;
  }
  int Unlink(const std::string& path) override {
    if (int64_t rc = Change("unlink", path); rc < 0) return static_cast<int>(rc);
    if (names_.erase(path) == 0) return -ENOENT;
    folder_changes_.push_back({path, nullptr});
    return 0;
  }
  int MakeFolder(const std::string&) override { return dead() ? -EIO : 0; }
  int List(const std::string& folder, std::vector<FileInfo>* out) override {
    if (dead()) return -EIO;
    for (const auto& [path, node] : names_)
      if (path.starts_with(folder + "/"))
        out->push_back({path.substr(folder.size() + 1), node->now.size(), true});
    return 0;
  }

  bool dead() const { return changes >= die_at; }

  // kill -9: all descriptors go, what was written stays.
  void Kill() {
    fds_.clear();
    Revive();
  }
  // Power loss: of what was not synced, `random` decides.
  void LosePower(std::minstd_rand& random) {
    fds_.clear();
    names_ = durable_names_;
    // What happened to the folder comes to disk in order, up to some point.
    const size_t kept = random() % (folder_changes_.size() + 1);
    for (size_t i = 0; i < kept; ++i) {
      if (folder_changes_[i].node != nullptr) {
        names_[folder_changes_[i].path] = folder_changes_[i].node;
      } else {
        names_.erase(folder_changes_[i].path);
      }
    }
    for (auto& [path, node] : names_) node->now = Torn(*node, random);
    for (auto& [path, node] : names_) {
      node->durable = node->now;
      node->unsynced.clear();
    }
    Revive();
  }

  std::string& Bytes(const std::string& path) { return names_.at(path)->now; }
  bool Exists(const std::string& path) const { return names_.contains(path); }
  void Put(const std::string& path, std::string bytes) {
    auto node = std::make_shared<Node>();
    node->now = node->durable = std::move(bytes);
    names_[path] = durable_names_[path] = node;
  }
  std::vector<std::string> Paths() const {
    std::vector<std::string> paths;
    for (const auto& [path, node] : names_) paths.push_back(path);
    return paths;
  }

 private:
  struct Change_ {
    uint64_t offset = 0;
    std::string bytes;
    bool truncate = false;  // to `offset`
  };
  struct Node {
    std::string now, durable;
    std::vector<Change_> unsynced;
  };
  struct Handle {
    std::string path;
    std::shared_ptr<Node> node;
    bool locked = false;
  };
  struct FolderChange {
    std::string path;
    std::shared_ptr<Node> node;  // null: removed
  };

  int64_t Change(const std::string& call, const std::string& path) {
    if (dead()) return -EIO;
    if (before)
      if (int64_t rc = before(call, path); rc != 0) return rc;
    ++changes;
    calls.push_back(call + " " + path.substr(path.rfind('/') + 1));
    return dead() ? -EIO : 0;
  }
  void Revive() {
    changes = 0;
    die_at = UINT64_MAX;
    durable_names_ = names_;
    folder_changes_.clear();
  }
  static void Apply(const Change_& change, std::string* bytes) {
    if (change.truncate) return bytes->resize(change.offset);
    if (bytes->size() < change.offset + change.bytes.size())
      bytes->resize(change.offset + change.bytes.size());
    bytes->replace(change.offset, change.bytes.size(), change.bytes);
  }
  static std::string Torn(const Node& node, std::minstd_rand& random) {
    std::string bytes = node.durable;
    const uint32_t mood = random() % 4;
    if (mood == 0) return bytes;     // nothing came to disk
    if (mood == 1) return node.now;  // everything
    for (const Change_& change : node.unsynced) {
      Change_ part = change;
      switch (random() % 4) {
        case 0:  // not at all, but the length did
          if (!part.truncate) part.bytes.assign(part.bytes.size(), '\0');
          break;
        case 1:  // up to some byte
          if (!part.truncate) part.bytes.resize(random() % (part.bytes.size() + 1));
          break;
        case 2:  // lost
          continue;
        default:
          break;
      }
      Apply(part, &bytes);
    }
    return bytes;
  }

  std::map<std::string, std::shared_ptr<Node>> names_, durable_names_;
  std::vector<FolderChange> folder_changes_;
  std::map<int, Handle> fds_;
  int last_fd_ = 100;
};

}  // namespace weft::spool
