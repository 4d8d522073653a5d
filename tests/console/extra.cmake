# The page with made-up traces, for a browser: built only when asked for (`ninja console_page_demo`).
add_executable(console_page_demo EXCLUDE_FROM_ALL ${CMAKE_CURRENT_SOURCE_DIR}/console/demo/page_demo.cc)
target_link_libraries(console_page_demo PRIVATE weft_console)
target_include_directories(console_page_demo PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})

# The page's own logic, where there is a node to run it; else reported as skipped.
add_test(NAME console.page
         COMMAND sh -c "command -v node >/dev/null || { echo 'SKIPPED: there is no node'; exit 77; }; exec node --test ${CMAKE_CURRENT_SOURCE_DIR}/console/page_test.mjs")
set_tests_properties(console.page PROPERTIES SKIP_RETURN_CODE 77)
