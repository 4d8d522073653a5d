# An independent server to export to.
target_link_libraries(test_exporters_collector PRIVATE gRPC::grpc++)
