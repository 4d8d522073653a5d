# The oracle: the same messages by protobuf itself.
set(zipkin_oracle ${CMAKE_CURRENT_BINARY_DIR}/zipkin_oracle)
file(MAKE_DIRECTORY ${zipkin_oracle}/oracle)
add_custom_command(
  OUTPUT ${zipkin_oracle}/oracle/zipkin.pb.cc ${zipkin_oracle}/oracle/zipkin.pb.h
  COMMAND protobuf::protoc --proto_path=${CMAKE_CURRENT_SOURCE_DIR}/protocols/zipkin
          --cpp_out=${zipkin_oracle}/oracle zipkin.proto
  DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/protocols/zipkin/zipkin.proto
  VERBATIM)
add_library(zipkin_oracle STATIC ${zipkin_oracle}/oracle/zipkin.pb.cc)
target_include_directories(zipkin_oracle SYSTEM PUBLIC ${zipkin_oracle})
target_link_libraries(zipkin_oracle PUBLIC protobuf::libprotobuf)
target_compile_options(zipkin_oracle PRIVATE -w)
target_sources(test_protocols_zipkin PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/protocols/zipkin/entry_points.cc)
target_link_libraries(test_protocols_zipkin PRIVATE zipkin_oracle)
