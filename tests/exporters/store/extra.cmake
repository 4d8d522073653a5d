# The tests name only the fields of a filter that matter.
target_compile_options(test_exporters_store PRIVATE -Wno-missing-field-initializers)
