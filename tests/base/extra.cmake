target_sources(test_base PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/base/entry_points.cc)
