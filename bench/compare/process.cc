#include "compare/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "socket.h"

namespace weft::bench {
namespace {

using Clock = std::chrono::steady_clock;

// The child's side of Start; returns only when exec failed. Between fork and exec of a process
// with one thread anything is allowed.
void Exec(const Process::Options& options, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it died before the line above
  const int output = open(options.output_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const int error = options.error_file.empty()
                        ? output
                        : open(options.error_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (output < 0 || error < 0) return;
  dup2(output, STDOUT_FILENO);
  dup2(error, STDERR_FILENO);
  for (const auto& [name, value] : options.env) setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> arguments;
  for (const std::string& text : options.command)
    arguments.push_back(const_cast<char*>(text.c_str()));
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
}

void AddUsage(pid_t pid, Usage* usage) {
  const std::string folder = "/proc/" + std::to_string(pid);
  const std::string stat = ReadFile(folder + "/stat");
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return;
  std::istringstream fields(stat.substr(name_end + 2));
  std::string field;
  double ticks = 0;
  // From the third field on: utime, stime, and those of children already waited for, are the
  // twelfth to the fifteenth of these.
  for (int i = 1; i <= 15 && fields >> field; ++i)
    if (i >= 12) ticks += std::strtod(field.c_str(), nullptr);
  usage->cpu_seconds += ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
  const std::string status = ReadFile(folder + "/status");
  if (const size_t at = status.find("VmHWM:"); at != std::string::npos)
    usage->peak_rss_kib += std::strtoull(status.c_str() + at + 6, nullptr, 10);
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator(folder + "/task", gone)) {
    std::istringstream children(ReadFile(task.path() / "children"));
    for (pid_t child; children >> child;) AddUsage(child, usage);
  }
}

}  // namespace

std::string Process::Start(const Options& options) {
  int failed[2];  // carries errno of exec; closed by a successful one
  if (pipe2(failed, O_CLOEXEC) != 0) return std::strerror(errno);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    Exec(options, parent);
    const int reason = errno;
    [[maybe_unused]] ssize_t written = write(failed[1], &reason, sizeof reason);
    _exit(127);
  }
  close(failed[1]);
  int reason = pid_ < 0 ? errno : 0;
  const bool started = pid_ > 0 && read(failed[0], &reason, sizeof reason) == 0;
  close(failed[0]);
  if (started) return "";
  Wait(1);
  return options.command[0] + ": " + std::strerror(reason);
}

bool Process::Running() {
  if (pid_ <= 0) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == 0) return true;
  exit_ = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  pid_ = -1;
  return false;
}

int Process::Wait(double seconds) {
  const auto deadline = Clock::now() + std::chrono::duration<double>(seconds);
  while (Running()) {
    if (Clock::now() >= deadline) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
      pid_ = -1;
      return -1;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return exit_;
}

int Process::Stop(double seconds) {
  if (pid_ > 0) kill(pid_, SIGTERM);
  return Wait(seconds);
}

Usage Process::Measure() const {
  Usage usage;
  if (pid_ > 0) AddUsage(pid_, &usage);
  return usage;
}

uint16_t FreePort() {
  // Ports are handed out once: two names of one run must not meet.
  for (int attempt = 0; attempt < 100; ++attempt) {
    const int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    const bool both =
        bind(tcp, any, size) == 0 && getsockname(tcp, any, &size) == 0 && bind(udp, any, size) == 0;
    close(tcp), close(udp);
    if (both) return ntohs(address.sin_port);
  }
  return 0;
}

bool Accepts(const std::string& endpoint) {
  const int fd = Connect(endpoint, SOCK_STREAM);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

std::string ReadFile(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream out;
  if (in) out << in.rdbuf();
  return out.str();
}

bool WriteFile(const std::string& file, const std::string& content) {
  std::ofstream out(file, std::ios::binary);
  out << content;
  out.close();
  return out.good();
}

}  // namespace weft::bench
