# nghttp2's sessions and deflater are the independent peer.
target_link_libraries(test_protocols_http2 PRIVATE PkgConfig::libnghttp2)
target_sources(test_protocols_http2 PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/protocols/http2/entry_points.cc)
