// An independent collector: gRPC C++ serving Export, which keeps the span ids that it got and
// answers with the status it was told.
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "exporters/otlp_request.h"

namespace weft::exporters::collector {

class CountingServer {
 public:
  // Port 0 takes a free one.
  explicit CountingServer(int port = 0) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(),
                             &port_);
    builder.SetMaxReceiveMessageSize(max_message_bytes);
    builder.RegisterAsyncGenericService(&service_);
    queue_ = builder.AddCompletionQueue();
    server_ = builder.BuildAndStart();
    thread_ = std::thread([this] { Serve(); });
  }
  ~CountingServer() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    server_->Shutdown(std::chrono::system_clock::now());
    queue_->Shutdown();
    thread_.join();
  }

  int port() const { return port_; }
  std::vector<uint64_t> ids() const {
    std::lock_guard lock(mutex_);
    return ids_;
  }
  std::vector<std::string> methods() const {
    std::lock_guard lock(mutex_);
    return methods_;
  }
  std::string header() const {
    std::lock_guard lock(mutex_);
    return header_;
  }
  // So many calls are answered with UNAVAILABLE first.
  std::atomic<int> unavailable{0};
  static constexpr int max_message_bytes = 4 << 20;

 private:
  struct Call {
    grpc::GenericServerContext context;
    grpc::GenericServerAsyncReaderWriter stream{&context};
    grpc::ByteBuffer request;
    enum { kAccept, kRead, kFinish } state = kAccept;
  };

  void Accept() {
    std::lock_guard lock(mutex_);
    if (stopping_) return;  // gRPC aborts on a request for calls after Shutdown
    auto* call = new Call;
    service_.RequestCall(&call->context, &call->stream, queue_.get(), queue_.get(), call);
  }

  void Serve() {
    Accept();
    void* tag = nullptr;
    bool ok = false;
    while (queue_->Next(&tag, &ok)) {
      auto* call = static_cast<Call*>(tag);
      if (!ok && call->state != Call::kRead) {
        delete call;
        continue;
      }
      if (call->state == Call::kAccept) {
        Accept();
        call->state = Call::kRead;
        call->stream.Read(&call->request, call);
      } else if (call->state == Call::kRead) {
        call->state = Call::kFinish;
        Answer(call, ok);
      } else {
        delete call;
      }
    }
  }

  void Answer(Call* call, bool read) {
    if (!read) {
      call->stream.Finish({grpc::StatusCode::INVALID_ARGUMENT, "no message"}, call);
      return;
    }
    if (unavailable > 0) {
      --unavailable;
      call->stream.Finish({grpc::StatusCode::UNAVAILABLE, "not now"}, call);
      return;
    }
    grpc::Slice slice;
    (void)call->request.DumpToSingleSlice(&slice);
    std::vector<uint64_t> ids = SpanIds({slice.begin(), slice.size()});
    {
      std::lock_guard lock(mutex_);
      ids_.insert(ids_.end(), ids.begin(), ids.end());
      methods_.push_back(call->context.method());
      auto found = call->context.client_metadata().find("x-tenant");
      if (found != call->context.client_metadata().end())
        header_.assign(found->second.data(), found->second.size());
    }
    grpc::Slice empty("", 0);
    call->stream.WriteAndFinish(grpc::ByteBuffer(&empty, 1), {}, grpc::Status::OK, call);
  }

  int port_ = 0;
  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::thread thread_;
  mutable std::mutex mutex_;
  bool stopping_ = false;
  std::vector<uint64_t> ids_;
  std::vector<std::string> methods_;
  std::string header_;
};

}  // namespace weft::exporters::collector
