# The oracle: the same messages by protobuf itself.
set(otlp_oracle ${CMAKE_CURRENT_BINARY_DIR}/otlp_oracle)
file(MAKE_DIRECTORY ${otlp_oracle}/oracle)
foreach(name IN ITEMS trace signals)
  add_custom_command(
    OUTPUT ${otlp_oracle}/oracle/${name}.pb.cc ${otlp_oracle}/oracle/${name}.pb.h
    COMMAND protobuf::protoc --proto_path=${CMAKE_CURRENT_SOURCE_DIR}/protocols/otlp
            --cpp_out=${otlp_oracle}/oracle ${name}.proto
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/protocols/otlp/trace.proto
            ${CMAKE_CURRENT_SOURCE_DIR}/protocols/otlp/${name}.proto
    VERBATIM)
endforeach()
add_library(otlp_oracle STATIC ${otlp_oracle}/oracle/trace.pb.cc ${otlp_oracle}/oracle/signals.pb.cc)
target_include_directories(otlp_oracle SYSTEM PUBLIC ${otlp_oracle})
target_link_libraries(otlp_oracle PUBLIC protobuf::libprotobuf)
target_compile_options(otlp_oracle PRIVATE -w)
target_sources(test_protocols_otlp PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/protocols/otlp/oracle.cc
               ${CMAKE_CURRENT_SOURCE_DIR}/protocols/otlp/entry_points.cc)
target_link_libraries(test_protocols_otlp PRIVATE otlp_oracle)
