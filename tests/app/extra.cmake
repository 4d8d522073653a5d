target_sources(test_app PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/app/entry_points.cc)
