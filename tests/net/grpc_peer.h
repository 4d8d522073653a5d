// gRPC C++ as an independent peer: a generic unary client and a generic server, both on raw bytes.
#pragma once

#include <grpc/grpc.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <functional>
#include <future>
#include <memory>
#include <string>

namespace weft::net {

// The library stays initialised: its last shutdown may wait 10 s for a poller that nobody wakes.
inline const bool kGrpcStays = (grpc_init(), true);

inline grpc::ByteBuffer ToGrpc(const std::string& text) {
  grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

inline std::string FromGrpc(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string out;
  if (!buffer.Valid() || !buffer.Dump(&slices).ok()) return out;
  for (const auto& slice : slices) {
    out.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return out;
}

class GrpcClient {
 public:
  explicit GrpcClient(const std::string& endpoint,
                      const std::shared_ptr<grpc::ChannelCredentials>& credentials =
                          grpc::InsecureChannelCredentials()) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    stub_ = std::make_unique<grpc::GenericStub>(
        grpc::CreateCustomChannel(endpoint, credentials, arguments));
  }

  grpc::Status Call(const std::string& request, std::string* reply,
                    grpc_compression_algorithm compression = GRPC_COMPRESS_NONE) {
    grpc::ClientContext context;
    context.set_compression_algorithm(compression);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    grpc::ByteBuffer in = ToGrpc(request), out;
    std::promise<grpc::Status> done;
    stub_->UnaryCall(&context, "/test.Service/Method", grpc::StubOptions(), &in, &out,
                     [&](grpc::Status status) { done.set_value(std::move(status)); });
    grpc::Status status = done.get_future().get();
    *reply = FromGrpc(out);
    return status;
  }

 private:
  std::unique_ptr<grpc::GenericStub> stub_;
};

// Answers every call by `handler`, on gRPC's own threads.
class GrpcServer final : public grpc::CallbackGenericService {
 public:
  using Handler = std::function<grpc::Status(grpc::GenericCallbackServerContext*,
                                             const std::string& request, std::string* reply)>;

  explicit GrpcServer(Handler handler, int port = 0,
                      const std::shared_ptr<grpc::ServerCredentials>& credentials =
                          grpc::InsecureServerCredentials())
      : handler_(std::move(handler)) {
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(-1);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), credentials, &port_);
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
  }
  ~GrpcServer() override {
    if (server_) Stop(std::chrono::milliseconds(200));
  }
  // GOAWAY, then running calls have `grace` to end.
  void Stop(std::chrono::milliseconds grace) {
    server_->Shutdown(std::chrono::system_clock::now() + grace);
    server_.reset();
  }
  int port() const { return port_; }
  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    struct Reactor final : grpc::ServerGenericBidiReactor {
      Reactor(GrpcServer* owner, grpc::GenericCallbackServerContext* context)
          : owner(owner), context(context) {
        StartRead(&in);
      }
      void OnReadDone(bool ok) override {
        if (!ok) return Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no message"));
        std::string reply;
        grpc::Status status = owner->handler_(context, FromGrpc(in), &reply);
        if (!status.ok()) return Finish(status);
        out = ToGrpc(reply);
        StartWriteAndFinish(&out, grpc::WriteOptions(), status);
      }
      void OnDone() override { delete this; }
      GrpcServer* owner;
      grpc::GenericCallbackServerContext* context;
      grpc::ByteBuffer in, out;
    };
    return new Reactor(this, context);
  }

 private:
  Handler handler_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace weft::net
