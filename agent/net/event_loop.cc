#include "net/event_loop.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <unordered_map>
#include <vector>

namespace weft::net {
namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

namespace {

// With nghttp2 on top, larger reads bought nothing in measurements.
constexpr size_t kReceiveBufferBytes = 128 << 10;

struct Timer {
  explicit Timer(asio::io_context& context) : timer(context) {}
  asio::steady_timer timer;
  EventLoop::Task task;
  std::chrono::nanoseconds period{0};  // 0: once
  bool active = true;
};

struct Watch {
  Watch(asio::io_context& context, int fd) : descriptor(context, fd) {}
  ~Watch() { descriptor.release(); }
  asio::posix::stream_descriptor descriptor;
  EventLoop::Task on_readable;
  bool active = true;
};

void Arm(const std::shared_ptr<Watch>& watch) {
  watch->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                               [watch](const ErrorCode& error) {
                                 if (error || !watch->active) return;
                                 watch->on_readable();
                                 if (watch->active) Arm(watch);
                               });
}

}  // namespace

struct EventLoop::Impl {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard{context.get_executor()};
  std::unordered_map<TimerId, std::shared_ptr<Timer>> timers;
  std::unordered_map<int, std::shared_ptr<Watch>> watches;
  TimerId next_timer = 1;
  std::vector<uint8_t> receive_buffer = std::vector<uint8_t>(kReceiveBufferBytes);

  std::vector<uint8_t> plaintext_buffer;  // made when first needed

  TimerId Add(std::chrono::nanoseconds delay, std::chrono::nanoseconds period, Task task) {
    auto timer = std::make_shared<Timer>(context);
    timer->task = std::move(task);
    timer->period = period;
    timer->timer.expires_after(delay);
    TimerId id = next_timer++;
    timers.emplace(id, timer);
    Wait(id, timer);
    return id;
  }

  void Wait(TimerId id, const std::shared_ptr<Timer>& timer) {
    timer->timer.async_wait([this, id, timer](const ErrorCode& error) {
      if (error || !timer->active) return;
      if (timer->period.count() == 0) timers.erase(id);
      timer->task();
      if (!timer->active || timer->period.count() == 0) return;
      auto next = timer->timer.expiry() + timer->period;
      auto now = std::chrono::steady_clock::now();
      timer->timer.expires_at(next > now ? next : now + timer->period);
      Wait(id, timer);
    });
  }
};

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {}

EventLoop::~EventLoop() {
  for (auto& [id, timer] : impl_->timers) timer->active = false;
  for (auto& [fd, watch] : impl_->watches) watch->active = false;
}

void EventLoop::Run() {
  impl_->context.run();
  impl_->context.restart();
}

void EventLoop::Stop() { impl_->context.stop(); }

void EventLoop::Post(Task task) { asio::post(impl_->context, std::move(task)); }

EventLoop::TimerId EventLoop::RunAfter(std::chrono::nanoseconds delay, Task task) {
  return impl_->Add(delay, std::chrono::nanoseconds{0}, std::move(task));
}

EventLoop::TimerId EventLoop::RunEvery(std::chrono::nanoseconds period, Task task) {
  period = std::max(period, std::chrono::nanoseconds{1});
  return impl_->Add(period, period, std::move(task));
}

void EventLoop::Cancel(TimerId id) {
  auto found = impl_->timers.find(id);
  if (found == impl_->timers.end()) return;
  found->second->active = false;
  found->second->timer.cancel();
  impl_->timers.erase(found);
}

void EventLoop::WatchReadable(int fd, Task on_readable) {
  Unwatch(fd);
  auto watch = std::make_shared<Watch>(impl_->context, fd);
  watch->on_readable = std::move(on_readable);
  impl_->watches.emplace(fd, watch);
  Arm(watch);
}

void EventLoop::Unwatch(int fd) {
  auto found = impl_->watches.find(fd);
  if (found == impl_->watches.end()) return;
  auto watch = found->second;
  watch->active = false;
  // The fd must leave the reactor now: its number may be reused as soon as the caller closes it.
  watch->descriptor.release();
  impl_->watches.erase(found);
}

boost::asio::io_context& EventLoop::context() { return impl_->context; }

std::span<uint8_t> EventLoop::receive_buffer() { return impl_->receive_buffer; }

std::span<uint8_t> EventLoop::plaintext_buffer() {
  impl_->plaintext_buffer.resize(kReceiveBufferBytes);
  return impl_->plaintext_buffer;
}

}  // namespace weft::net
