// FileLayer: the few calls by which the spool touches a disk, so that a test can record them, make
// each of them fail and play what a crash between two of them leaves behind.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace weft::spool {

struct FileInfo {
  std::string name;
  uint64_t size = 0;
  bool regular = false;
};

// Results below zero are -errno. Calls interrupted by a signal are repeated inside.
// Threads: any; one thread per descriptor.
class FileLayer {
 public:
  enum class Mode { kRead, kReadWrite, kCreate };  // kCreate: must not exist; for writing
  virtual ~FileLayer() = default;

  virtual int Open(const std::string& path, Mode mode) = 0;
  virtual void Close(int fd) = 0;
  // May write less than asked, never nothing.
  virtual int64_t Write(int fd, std::span<const iovec> pieces, uint64_t offset) = 0;
  // May read less than asked; 0 at the end of the file.
  virtual int64_t Read(int fd, std::span<uint8_t> out, uint64_t offset) = 0;
  virtual int Sync(int fd) = 0;
  virtual int Truncate(int fd, uint64_t size) = 0;
  // An exclusive lock that goes with the process; -EWOULDBLOCK when another has it.
  virtual int Lock(int fd) = 0;

  virtual int SyncFolder(const std::string& path) = 0;
  virtual int Rename(const std::string& from, const std::string& to) = 0;
  virtual int Unlink(const std::string& path) = 0;
  // Also the folders above it; fine if it exists.
  virtual int MakeFolder(const std::string& path) = 0;
  virtual int List(const std::string& folder, std::vector<FileInfo>* out) = 0;
};

// The kernel's.
FileLayer& PosixFiles();

// "append to segment-1: No space left on device" from a result below zero.
base::Status FileError(const std::string& what, int64_t result);

// The whole of `out`, or less at the end of the file; -errno.
int64_t ReadFully(FileLayer& files, int fd, std::span<uint8_t> out, uint64_t offset);

}  // namespace weft::spool
