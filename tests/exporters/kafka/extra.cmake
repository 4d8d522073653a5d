# The brokers that the library plays.
target_link_libraries(test_exporters_kafka PRIVATE PkgConfig::rdkafka)
