target_sources(test_protocols_http1 PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/protocols/http1/entry_points.cc)
