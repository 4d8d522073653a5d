// The gRPC C++ peer: echo server PORT | echo client PORT METHOD COUNT. Messages are bytes; Fail
// answers NOT_FOUND, everything else what it was sent.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <iostream>
#include <string>

namespace {

class Echo final : public grpc::ServerGenericBidiReactor {
 public:
  explicit Echo(const std::string& method) : is_failure_(method.ends_with("/Fail")) {
    StartRead(&message_);
  }
  void OnReadDone(bool ok) override {
    if (is_failure_) {
      Finish(grpc::Status(grpc::StatusCode::NOT_FOUND, "no such thing"));
    } else if (!ok) {
      Finish(grpc::Status::OK);
    } else {
      StartWrite(&message_);
    }
  }
  void OnWriteDone(bool ok) override {
    if (ok) StartRead(&message_);
  }
  void OnDone() override { delete this; }

 private:
  const bool is_failure_;
  grpc::ByteBuffer message_;
};

class Service final : public grpc::CallbackGenericService {
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return new Echo(context->method());
  }
};

void Serve(const std::string& address) {
  Service service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.RegisterCallbackGenericService(&service);
  builder.BuildAndStart()->Wait();
}

void Call(const std::string& address, const std::string& method, int count) {
  grpc::GenericStub stub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::CompletionQueue queue;
  for (; count > 0; --count) {
    grpc::ClientContext context;
    grpc::Slice slice("\x0a\x02hi");
    grpc::ByteBuffer request(&slice, 1), reply;
    auto call = stub.PrepareUnaryCall(&context, "/weft.test.Echo/" + method, request, &queue);
    grpc::Status status;
    call->StartCall();
    call->Finish(&reply, &status, nullptr);
    void* tag;
    bool ok;
    queue.Next(&tag, &ok);
    if (!status.ok()) std::cout << status.error_code() << "\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::string address = "127.0.0.1:" + std::string(argv[2]);
  if (std::string(argv[1]) == "server") Serve(address);
  if (std::string(argv[1]) == "client" && argc == 5) Call(address, argv[3], std::atoi(argv[4]));
}
