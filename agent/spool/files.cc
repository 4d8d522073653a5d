#include "spool/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

namespace weft::spool {
namespace {

// The result of `call`, repeated while a signal interrupts it; -errno.
template <typename Call>
auto Repeat(Call call) -> decltype(call()) {
  for (;;) {
    auto result = call();
    if (result >= 0) return result;
    if (errno != EINTR) return static_cast<decltype(call())>(-errno);
  }
}

class KernelFiles final : public FileLayer {
 public:
  int Open(const std::string& path, Mode mode) override {
    // No link is followed and nothing blocks: the folder may be writable by others.
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    if (mode == Mode::kRead) flags |= O_RDONLY;
    if (mode == Mode::kReadWrite) flags |= O_RDWR | O_CREAT;
    if (mode == Mode::kCreate) flags |= O_RDWR | O_CREAT | O_EXCL;
    return Repeat([&] { return open(path.c_str(), flags, 0640); });
  }
  void Close(int fd) override { close(fd); }
  int64_t Write(int fd, std::span<const iovec> pieces, uint64_t offset) override {
    return Repeat([&] {
      return pwritev(fd, pieces.data(), static_cast<int>(pieces.size()),
                     static_cast<off_t>(offset));
    });
  }
  int64_t Read(int fd, std::span<uint8_t> out, uint64_t offset) override {
    return Repeat([&] { return pread(fd, out.data(), out.size(), static_cast<off_t>(offset)); });
  }
  int Sync(int fd) override {
    return Repeat([&] { return fdatasync(fd); });
  }
  int Truncate(int fd, uint64_t size) override {
    return Repeat([&] { return ftruncate(fd, static_cast<off_t>(size)); });
  }
  int Lock(int fd) override {
    return Repeat([&] { return flock(fd, LOCK_EX | LOCK_NB); });
  }
  int SyncFolder(const std::string& path) override {
    const int fd = Repeat([&] { return open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (fd < 0) return fd;
    const int result = Repeat([&] { return fsync(fd); });
    close(fd);
    return result;
  }
  int Rename(const std::string& from, const std::string& to) override {
    return Repeat([&] { return rename(from.c_str(), to.c_str()); });
  }
  int Unlink(const std::string& path) override {
    return Repeat([&] { return unlink(path.c_str()); });
  }
  int MakeFolder(const std::string& path) override {
    for (size_t end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1)) {
      const std::string above = path.substr(0, end);
      if (mkdir(above.c_str(), 0755) == 0) (void)SyncFolder(above + "/..");
    }
    if (mkdir(path.c_str(), 0750) != 0) return errno == EEXIST ? 0 : -errno;
    // Its name must be as durable as what will be in it.
    return SyncFolder(path + "/..");
  }
  int List(const std::string& folder, std::vector<FileInfo>* out) override {
    DIR* dir = opendir(folder.c_str());
    if (dir == nullptr) return -errno;
    while (const dirent* entry = readdir(dir)) {
      struct stat facts {};
      if (fstatat(dirfd(dir), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0) continue;
      out->push_back({entry->d_name, static_cast<uint64_t>(facts.st_size), S_ISREG(facts.st_mode)});
    }
    closedir(dir);
    return 0;
  }
};

}  // namespace

FileLayer& PosixFiles() {
  static KernelFiles files;
  return files;
}

base::Status FileError(const std::string& what, int64_t result) {
  return base::Error(what + ": " + std::generic_category().message(static_cast<int>(-result)));
}

int64_t ReadFully(FileLayer& files, int fd, std::span<uint8_t> out, uint64_t offset) {
  size_t done = 0;
  while (done < out.size()) {
    const int64_t n = files.Read(fd, out.subspan(done), offset + done);
    if (n < 0) return n;
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return static_cast<int64_t>(done);
}

}  // namespace weft::spool
