# record_view.h is the C++ face of the kernel's contract.
target_include_directories(test_sources_ebpf PRIVATE ${CMAKE_SOURCE_DIR}/bpf)
