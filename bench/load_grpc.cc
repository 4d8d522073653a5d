#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "load_run.h"
#include "net/event_loop.h"
#include "net/grpc_channel.h"

namespace weft::bench {
namespace {

// A refused request of a closed loop is sent again after this, when the receiver does not say when.
constexpr std::chrono::milliseconds kRetryPause{5};

// Payload bytes that a call in flight holds: stamped copies, one per slot, reused when the call is
// done.
struct Slot {
  std::shared_ptr<Payload> payload;
  std::shared_ptr<base::ByteBuffer> compressed;
  SteadyClock::time_point due{};
};

class GrpcLoad {
 public:
  GrpcLoad(const LoadOptions& options, std::vector<Payload> payloads, const Schedule& schedule)
      : options_(options),
        schedule_(schedule),
        method_(FindProtocol(options.protocol).target),
        encoding_(options.compression == "none" ? "" : options.compression) {
    net::GrpcChannel::Options channel;
    channel.endpoint = options.endpoint;
    channel.max_in_flight = options.in_flight;
    channel_ = std::make_unique<net::GrpcChannel>(loop_, channel);
    for (Payload& payload : payloads) {
      free_.push_back(static_cast<uint32_t>(slots_.size()));
      slots_.push_back(
          {std::make_shared<Payload>(std::move(payload)), std::make_shared<base::ByteBuffer>()});
    }
  }

  Totals Run() {
    loop_.Post([this] { Fill(); });
    loop_.Run();
    channel_.reset();
    return std::move(totals_);
  }

 private:
  void Fill() {
    while (!free_.empty() && !schedule_.Over(totals_.sent)) {
      const auto due = schedule_.Due(totals_.sent);
      if (const auto now = SteadyClock::now(); due > now) {
        if (!waiting_) loop_.RunAfter(due - now, [this] { waiting_ = false, Fill(); });
        waiting_ = true;
        return;
      }
      const uint32_t index = free_.back();
      free_.pop_back();
      Slot& slot = slots_[index];
      slot.due = due;
      slot.payload->Stamp(Serial(options_, totals_.sent++));
      if (!encoding_.empty()) Compress(options_, slot.payload->bytes, slot.compressed.get());
      Send(index);
    }
    if (free_.size() == slots_.size() && schedule_.Over(totals_.sent)) loop_.Stop();
  }

  void Send(uint32_t index) {
    Slot& slot = slots_[index];
    base::Gathered message;
    if (encoding_.empty()) {
      message.Add(base::AsBytes(slot.payload->bytes));
      message.owners.push_back(slot.payload);
    } else {
      message.Add(slot.compressed->view());
      message.owners.push_back(slot.compressed);
    }
    channel_->Call(method_, std::move(message), encoding_,
                   [this, index](net::GrpcReply&& reply) { Done(index, reply); });
  }

  void Done(uint32_t index, const net::GrpcReply& reply) {
    const bool refused = (reply.status == 14 || reply.status == 8) && !reply.transport_error;
    if (reply.status == 0) {
      ++totals_.acknowledged;
      const auto took = SteadyClock::now() - slots_[index].due;
      totals_.latency.Record(static_cast<uint64_t>(took.count()));
    } else {
      ++(refused ? totals_.refused : totals_.errors);
    }
    if (refused && options_.rate <= 0 && !schedule_.TimeIsUp()) {
      loop_.RunAfter(reply.retry_delay.value_or(kRetryPause), [this, index] { Send(index); });
      return;
    }
    free_.push_back(index);
    Fill();
  }

  const LoadOptions& options_;
  const Schedule& schedule_;
  const std::string_view method_;
  const std::string encoding_;
  net::EventLoop loop_;
  std::unique_ptr<net::GrpcChannel> channel_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;  // slots without a call
  Totals totals_;
  bool waiting_ = false;
};

}  // namespace

Totals RunGrpcLoad(const LoadOptions& options, std::vector<Payload> payloads,
                   const Schedule& schedule) {
  return GrpcLoad(options, std::move(payloads), schedule).Run();
}

}  // namespace weft::bench
