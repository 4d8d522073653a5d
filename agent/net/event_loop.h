// EventLoop: one thread's loop over sockets, timers and posted tasks. Everything in this room runs
// on one; the data thread and the console thread each own one. It hides Boost.Asio, so that
// including it costs nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

namespace boost::asio {
class io_context;
}

namespace weft::net {

// Threads: one (the one inside Run, or any single thread before Run and after it returned); Post
// and Stop from any. Owns: timers and watches; never the watched fds. Must outlive every Listener
// and GrpcChannel made on it.
class EventLoop {
 public:
  using Task = std::function<void()>;
  using TimerId = uint64_t;  // never 0

  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Runs until Stop, also while there is nothing to do. May be called again afterwards. A Stop that
  // came before Run ends that Run at once.
  void Run();
  // Any thread; safe in a signal-handling thread, not in a signal handler.
  void Stop();
  // Any thread. Tasks of one thread run in the order posted.
  void Post(Task task);

  TimerId RunAfter(std::chrono::nanoseconds delay, Task task);
  // The first run is one period from now; a period that was missed is skipped, not made up for.
  TimerId RunEvery(std::chrono::nanoseconds period, Task task);
  // After this the task will not run. Unknown ids and 0 are ignored; a task may cancel itself.
  void Cancel(TimerId id);

  // Calls `on_readable` as long as `fd` is readable (level-triggered) or at its end. One watch per
  // fd. The fd stays the caller's: Unwatch before closing it.
  void WatchReadable(int fd, Task on_readable);
  void Unwatch(int fd);

  // For this room only: the context for sockets, and one receive buffer that all of the loop's
  // sockets share; its content lives until the handler that filled it returns.
  boost::asio::io_context& context();
  std::span<uint8_t> receive_buffer();
  // The same for what TLS has decrypted.
  std::span<uint8_t> plaintext_buffer();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weft::net
