// Settings: the Options of every room in one place, with their defaults, and the table that binds
// them to keys.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/config_view.h"
#include "console/console.h"
#include "exporters/collector/options.h"
#include "exporters/file/file.h"
#include "exporters/kafka/kafka.h"
#include "exporters/resource/stamper.h"
#include "exporters/sampling/sampler.h"
#include "exporters/store/store.h"
#include "merge/merge.h"
#include "normalize/normalizer.h"
#include "sources/ebpf/capture.h"
#include "sources/jaeger_grpc/jaeger_grpc.h"
#include "sources/jaeger_http/jaeger_http.h"
#include "sources/jaeger_udp/jaeger_udp.h"
#include "sources/otlp/otlp.h"
#include "sources/sampling/sampling.h"
#include "sources/zipkin/zipkin.h"
#include "spool/spool.h"

namespace weft::app {

struct LimitSettings {
  int64_t credit_bytes = 128 << 20;  // bytes that have entered and not left, over all receivers
  int64_t drain_seconds = 20;        // given to the exporters when weft is told to stop
};

struct NoneSettings {
  bool enabled = false;
};

struct Settings {
  Settings() { otlp_http.endpoint = "127.0.0.1:4318"; }

  sources::ebpf::Options capture;
  normalize::Options http;
  sources::otlp::Options otlp_grpc, otlp_http;
  sources::jaeger_udp::Options jaeger_udp;
  sources::jaeger_http::Options jaeger_http;
  sources::jaeger_grpc::Options jaeger_grpc;
  sources::zipkin::Options zipkin;
  sources::sampling::Options remote_sampling;
  merge::Options merge;
  exporters::sampling::Options sampling;
  exporters::resource::Options resource;
  spool::Options spool;
  exporters::collector::Options collector;
  exporters::kafka::Options kafka;
  exporters::file::Options file;
  exporters::store::Options store;
  NoneSettings none;
  console::Options console;
  LimitSettings limits;
};

// The fields point into `settings`, which must outlive the blocks.
std::vector<base::ConfigBlock> Describe(Settings& settings);

}  // namespace weft::app
