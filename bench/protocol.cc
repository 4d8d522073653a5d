#include "protocol.h"

#include <algorithm>

namespace weft::bench {

std::span<const Protocol> Protocols() {
  static constexpr Protocol kAll[] = {
      {"otlp_grpc", Transport::kGrpc, "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
       "", OtlpProto},
      {"otlp_http", Transport::kHttp, "/v1/traces", "application/x-protobuf", OtlpProto},
      {"otlp_json", Transport::kHttp, "/v1/traces", "application/json", OtlpJson},
      {"jaeger_compact", Transport::kUdp, "", "", JaegerCompact},
      {"jaeger_binary", Transport::kUdp, "", "", JaegerBinary},
      {"jaeger_http", Transport::kHttp, "/api/traces", "application/x-thrift", JaegerHttp},
      {"jaeger_grpc", Transport::kGrpc, "/jaeger.api_v2.CollectorService/PostSpans", "",
       JaegerProto},
      {"zipkin", Transport::kHttp, "/api/v2/spans", "application/json", ZipkinJson},
  };
  return kAll;
}

std::vector<std::string> ProtocolNames() {
  std::vector<std::string> names;
  for (const Protocol& p : Protocols()) names.emplace_back(p.name);
  return names;
}

const Protocol& FindProtocol(std::string_view name) {
  return *std::find_if(Protocols().begin(), Protocols().end(),
                       [name](const Protocol& p) { return p.name == name; });
}

}  // namespace weft::bench
