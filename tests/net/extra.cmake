# gRPC C++ is the independent peer that both sides of the room are tested against.
target_link_libraries(test_net PRIVATE gRPC::grpc++)
