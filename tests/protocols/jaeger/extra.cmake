# The oracle: the same messages by protobuf itself.
set(jaeger_oracle ${CMAKE_CURRENT_BINARY_DIR}/jaeger_oracle)
file(MAKE_DIRECTORY ${jaeger_oracle}/oracle)
add_custom_command(
  OUTPUT ${jaeger_oracle}/oracle/api_v2.pb.cc ${jaeger_oracle}/oracle/api_v2.pb.h
  COMMAND protobuf::protoc --proto_path=${CMAKE_CURRENT_SOURCE_DIR}/protocols/jaeger
          --cpp_out=${jaeger_oracle}/oracle api_v2.proto
  DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/protocols/jaeger/api_v2.proto
  VERBATIM)
add_library(jaeger_oracle STATIC ${jaeger_oracle}/oracle/api_v2.pb.cc)
target_include_directories(jaeger_oracle SYSTEM PUBLIC ${jaeger_oracle})
target_link_libraries(jaeger_oracle PUBLIC protobuf::libprotobuf)
target_compile_options(jaeger_oracle PRIVATE -w)
target_link_libraries(test_protocols_jaeger PRIVATE jaeger_oracle)
