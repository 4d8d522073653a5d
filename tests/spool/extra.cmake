# The same kill test as in the ordinary suite, many more times.
add_test(NAME spool.kill_a_thousand_times COMMAND test_spool --gtest_filter=SpoolKill.*)
set_tests_properties(spool.kill_a_thousand_times PROPERTIES ENVIRONMENT WEFT_SPOOL_KILLS=1000 LABELS slow TIMEOUT 600)

# Throughput, by hand: `ninja spool_bench && tests/spool_bench FOLDER 4`.
add_executable(spool_bench EXCLUDE_FROM_ALL ${CMAKE_CURRENT_SOURCE_DIR}/spool/bench/spool_bench.cc)
target_link_libraries(spool_bench PRIVATE weft_spool)
