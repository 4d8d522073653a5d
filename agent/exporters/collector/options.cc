#include "exporters/collector/collector.h"

namespace weft::exporters::collector {

base::ConfigBlock Describe(Options& o) {
  return {"exporters.collector",
          {
              {.key = "endpoint",
               .value = &o.endpoint,
               .doc = "host:port of an OTLP/gRPC receiver; empty = off"},
              {.key = "protocol",
               .value = &o.protocol,
               .doc = "how spans are sent",
               .choices = {"grpc"}},
              {.key = "compression",
               .value = &o.compression,
               .doc = "of the requests",
               .choices = {"none", "gzip", "zstd"}},
              {.key = "max_batch_bytes",
               .value = &o.max_batch_bytes,
               .doc = "bytes; size of a request before compression",
               .min = 4096,
               .max = 64 << 20},
              {.key = "flush_milliseconds",
               .value = &o.flush_milliseconds,
               .doc = "ms; longest time that a span waits for its request to fill",
               .min = 1,
               .max = 60'000},
              {.key = "queue_bytes",
               .value = &o.queue_bytes,
               .doc = "bytes; held until delivered, beyond it receivers answer \"retry later\"",
               .min = 64 << 10},
              {.key = "timeout_seconds",
               .value = &o.timeout_seconds,
               .doc = "s; for the answer to one request",
               .min = 1,
               .max = 3600},
              {.key = "max_in_flight",
               .value = &o.max_in_flight,
               .doc = "requests sent and not yet answered",
               .min = 1,
               .max = 1024},
              {.key = "retry_exhausted",
               .value = &o.retry_exhausted,
               .doc = "keep what a collector over its limit refuses without saying when to retry"},
              {.key = "headers",
               .value = &o.headers,
               .doc = "list of \"name: value\" sent with every request",
               .secret = true},
          }};
}

}  // namespace weft::exporters::collector
