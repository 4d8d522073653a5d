#include "protocols/otlp/json/schema.h"

#include <utility>

#include "protocols/otlp/write.h"

namespace weft::protocols::otlp {
namespace {

using enum JsonKind;
using F = JsonField;

constexpr F One(std::string_view key, uint32_t number, const JsonMessage& child) {
  return {key, number, kMessage, &child, false};
}
constexpr F Many(std::string_view key, uint32_t number, const JsonMessage& child) {
  return {key, number, kMessage, &child, true};
}
constexpr F Many(std::string_view key, uint32_t number, JsonKind kind) {
  return {key, number, kind, nullptr, true};
}

// A value may contain values.
extern const JsonMessage kAnyValue;
extern const JsonMessage kKeyValue;

constexpr F kArrayFields[] = {Many("values", field::kItem, kAnyValue)};
constexpr JsonMessage kArray{kArrayFields, true};
constexpr F kMapFields[] = {Many("values", field::kItem, kKeyValue)};
constexpr JsonMessage kMap{kMapFields, true};
constexpr F kAnyValueFields[] = {
    {"stringValue", field::kTextValue, kText},     {"intValue", field::kIntValue, kInteger},
    {"boolValue", field::kBoolValue, kBool},       {"doubleValue", field::kDoubleValue, kDouble},
    One("arrayValue", field::kArrayValue, kArray), One("kvlistValue", field::kMapValue, kMap),
    {"bytesValue", field::kBytesValue, kBase64},
};
constexpr JsonMessage kAnyValue{kAnyValueFields};
constexpr F kKeyValueFields[] = {
    {"key", field::kKey, kText},
    One("value", field::kValue, kAnyValue),
};
constexpr JsonMessage kKeyValue{kKeyValueFields};

constexpr F kEntityFields[] = {
    {"schemaUrl", 1, kText},
    {"type", 2, kText},
    Many("idKeys", 3, kText),
    Many("descriptionKeys", 4, kText),
};
constexpr JsonMessage kEntity{kEntityFields};
constexpr F kResourceFields[] = {
    Many("attributes", field::kResourceAttribute, kKeyValue),
    {"droppedAttributesCount", field::kResourceDropped, kInteger},
    Many("entityRefs", field::kEntityRef, kEntity),
};
constexpr JsonMessage kResource{kResourceFields};
constexpr F kScopeFields[] = {
    {"name", field::kScopeName, kText},
    {"version", field::kScopeVersion, kText},
    Many("attributes", field::kScopeAttribute, kKeyValue),
    {"droppedAttributesCount", field::kScopeDropped, kInteger},
};
constexpr JsonMessage kScope{kScopeFields};

// Traces.
constexpr F kEventFields[] = {
    Many("attributes", field::kEventAttribute, kKeyValue),
    {"name", field::kEventName, kText},
    {"timeUnixNano", field::kEventTime, kFixed64},
    {"droppedAttributesCount", field::kEventDropped, kInteger},
};
constexpr JsonMessage kEvent{kEventFields};
constexpr F kLinkFields[] = {
    {"traceId", field::kLinkTraceId, kId},
    {"spanId", field::kLinkSpanId, kId},
    {"traceState", field::kLinkTraceState, kText},
    Many("attributes", field::kLinkAttribute, kKeyValue),
    {"droppedAttributesCount", field::kLinkDropped, kInteger},
    {"flags", field::kLinkFlags, kFixed32},
};
constexpr JsonMessage kLink{kLinkFields};
constexpr F kStatusFields[] = {
    {"code", field::kStatusCode, kEnum},
    {"message", field::kStatusMessage, kText},
};
constexpr JsonMessage kStatus{kStatusFields};
constexpr F kSpanFields[] = {
    {"traceId", field::kTraceId, kId},
    {"spanId", field::kSpanId, kId},
    {"parentSpanId", field::kParentSpanId, kId},
    {"name", field::kName, kText},
    {"kind", field::kKind, kEnum},
    {"startTimeUnixNano", field::kStart, kFixed64},
    {"endTimeUnixNano", field::kEnd, kFixed64},
    Many("attributes", field::kAttribute, kKeyValue),
    {"droppedAttributesCount", field::kDroppedAttributes, kInteger},
    Many("events", field::kEvent, kEvent),
    {"droppedEventsCount", field::kDroppedEvents, kInteger},
    One("status", field::kStatus, kStatus),
    Many("links", field::kLink, kLink),
    {"droppedLinksCount", field::kDroppedLinks, kInteger},
    {"traceState", field::kTraceState, kText},
    {"flags", field::kFlags, kFixed32},
};
constexpr JsonMessage kSpan{kSpanFields};
constexpr F kScopeSpansFields[] = {
    One("scope", field::kScope, kScope),
    Many("spans", field::kSpan, kSpan),
    {"schemaUrl", field::kSchemaUrl, kText},
};
constexpr JsonMessage kScopeSpans{kScopeSpansFields};
constexpr F kResourceSpansFields[] = {
    One("resource", field::kResource, kResource),
    Many("scopeSpans", field::kScopeSpans, kScopeSpans),
    {"schemaUrl", field::kSchemaUrl, kText},
};
constexpr JsonMessage kResourceSpans{kResourceSpansFields};
constexpr F kTracesFields[] = {Many("resourceSpans", field::kResourceSpans, kResourceSpans)};
constexpr JsonMessage kTraces{kTracesFields};

// Metrics: the numbers of opentelemetry/proto/metrics/v1/metrics.proto.
constexpr F kExemplarFields[] = {
    Many("filteredAttributes", 7, kKeyValue),
    {"timeUnixNano", 2, kFixed64},
    {"asDouble", 3, kDouble},
    {"asInt", 6, kFixed64},
    {"spanId", 4, kId},
    {"traceId", 5, kId},
};
constexpr JsonMessage kExemplar{kExemplarFields};
constexpr F kNumberFields[] = {
    Many("attributes", 7, kKeyValue), {"startTimeUnixNano", 2, kFixed64},
    {"timeUnixNano", 3, kFixed64},    {"asDouble", 4, kDouble},
    {"asInt", 6, kFixed64},           Many("exemplars", 5, kExemplar),
    {"flags", 8, kInteger},
};
constexpr JsonMessage kNumber{kNumberFields};
constexpr F kHistogramPointFields[] = {
    Many("attributes", 9, kKeyValue),
    {"startTimeUnixNano", 2, kFixed64},
    {"timeUnixNano", 3, kFixed64},
    {"count", 4, kFixed64},
    {"sum", 5, kDouble},
    Many("bucketCounts", 6, kFixed64),
    Many("explicitBounds", 7, kDouble),
    Many("exemplars", 8, kExemplar),
    {"flags", 10, kInteger},
    {"min", 11, kDouble},
    {"max", 12, kDouble},
};
constexpr JsonMessage kHistogramPoint{kHistogramPointFields};
constexpr F kBucketsFields[] = {
    {"offset", 1, kSigned},
    Many("bucketCounts", 2, kInteger),
};
constexpr JsonMessage kBuckets{kBucketsFields};
constexpr F kExponentialPointFields[] = {
    Many("attributes", 1, kKeyValue),
    {"startTimeUnixNano", 2, kFixed64},
    {"timeUnixNano", 3, kFixed64},
    {"count", 4, kFixed64},
    {"sum", 5, kDouble},
    {"scale", 6, kSigned},
    {"zeroCount", 7, kFixed64},
    One("positive", 8, kBuckets),
    One("negative", 9, kBuckets),
    {"flags", 10, kInteger},
    Many("exemplars", 11, kExemplar),
    {"min", 12, kDouble},
    {"max", 13, kDouble},
    {"zeroThreshold", 14, kDouble},
};
constexpr JsonMessage kExponentialPoint{kExponentialPointFields};
constexpr F kQuantileFields[] = {
    {"quantile", 1, kDouble},
    {"value", 2, kDouble},
};
constexpr JsonMessage kQuantile{kQuantileFields};
constexpr F kSummaryPointFields[] = {
    Many("attributes", 7, kKeyValue),
    {"startTimeUnixNano", 2, kFixed64},
    {"timeUnixNano", 3, kFixed64},
    {"count", 4, kFixed64},
    {"sum", 5, kDouble},
    Many("quantileValues", 6, kQuantile),
    {"flags", 8, kInteger},
};
constexpr JsonMessage kSummaryPoint{kSummaryPointFields};
constexpr F kGaugeFields[] = {Many("dataPoints", 1, kNumber)};
constexpr JsonMessage kGauge{kGaugeFields};
constexpr F kSumFields[] = {
    Many("dataPoints", 1, kNumber),
    {"aggregationTemporality", 2, kEnum},
    {"isMonotonic", 3, kBool},
};
constexpr JsonMessage kSum{kSumFields};
constexpr F kHistogramFields[] = {
    Many("dataPoints", 1, kHistogramPoint),
    {"aggregationTemporality", 2, kEnum},
};
constexpr JsonMessage kHistogram{kHistogramFields};
constexpr F kExponentialFields[] = {
    Many("dataPoints", 1, kExponentialPoint),
    {"aggregationTemporality", 2, kEnum},
};
constexpr JsonMessage kExponential{kExponentialFields};
constexpr F kSummaryFields[] = {Many("dataPoints", 1, kSummaryPoint)};
constexpr JsonMessage kSummary{kSummaryFields};
constexpr F kMetricFields[] = {
    {"name", 1, kText},
    {"description", 2, kText},
    {"unit", 3, kText},
    One("gauge", 5, kGauge),
    One("sum", 7, kSum),
    One("histogram", 9, kHistogram),
    One("exponentialHistogram", 10, kExponential),
    One("summary", 11, kSummary),
    Many("metadata", 12, kKeyValue),
};
constexpr JsonMessage kMetric{kMetricFields};
constexpr F kScopeMetricsFields[] = {
    One("scope", field::kScope, kScope),
    Many("metrics", 2, kMetric),
    {"schemaUrl", field::kSchemaUrl, kText},
};
constexpr JsonMessage kScopeMetrics{kScopeMetricsFields};
constexpr F kResourceMetricsFields[] = {
    One("resource", field::kResource, kResource),
    Many("scopeMetrics", 2, kScopeMetrics),
    {"schemaUrl", field::kSchemaUrl, kText},
};
constexpr JsonMessage kResourceMetrics{kResourceMetricsFields};
constexpr F kMetricsFields[] = {Many("resourceMetrics", 1, kResourceMetrics)};
constexpr JsonMessage kMetrics{kMetricsFields};

// Logs: the numbers of opentelemetry/proto/logs/v1/logs.proto.
constexpr F kLogRecordFields[] = {
    {"timeUnixNano", 1, kFixed64},
    {"observedTimeUnixNano", 11, kFixed64},
    {"severityNumber", 2, kEnum},
    {"severityText", 3, kText},
    One("body", 5, kAnyValue),
    {"eventName", 12, kText},
    Many("attributes", 6, kKeyValue),
    {"droppedAttributesCount", 7, kInteger},
    {"flags", 8, kFixed32},
    {"traceId", 9, kId},
    {"spanId", 10, kId},
};
constexpr JsonMessage kLogRecord{kLogRecordFields};
constexpr F kScopeLogsFields[] = {
    One("scope", field::kScope, kScope),
    Many("logRecords", 2, kLogRecord),
    {"schemaUrl", field::kSchemaUrl, kText},
};
constexpr JsonMessage kScopeLogs{kScopeLogsFields};
constexpr F kResourceLogsFields[] = {
    One("resource", field::kResource, kResource),
    Many("scopeLogs", 2, kScopeLogs),
    {"schemaUrl", field::kSchemaUrl, kText},
};
constexpr JsonMessage kResourceLogs{kResourceLogsFields};
constexpr F kLogsFields[] = {Many("resourceLogs", 1, kResourceLogs)};
constexpr JsonMessage kLogs{kLogsFields};

constexpr std::pair<std::string_view, uint64_t> kEnumNames[] = {
    {"SPAN_KIND_UNSPECIFIED", 0},
    {"SPAN_KIND_INTERNAL", 1},
    {"SPAN_KIND_SERVER", 2},
    {"SPAN_KIND_CLIENT", 3},
    {"SPAN_KIND_PRODUCER", 4},
    {"SPAN_KIND_CONSUMER", 5},
    {"STATUS_CODE_UNSET", 0},
    {"STATUS_CODE_OK", 1},
    {"STATUS_CODE_ERROR", 2},
    {"AGGREGATION_TEMPORALITY_UNSPECIFIED", 0},
    {"AGGREGATION_TEMPORALITY_DELTA", 1},
    {"AGGREGATION_TEMPORALITY_CUMULATIVE", 2},
    {"SEVERITY_NUMBER_UNSPECIFIED", 0},
};

// SEVERITY_NUMBER_TRACE, _TRACE2 to _TRACE4, then the same of the next.
constexpr std::string_view kSeverity = "SEVERITY_NUMBER_";
constexpr std::string_view kSeverities[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"};

bool Severity(std::string_view name, uint64_t* number) {
  uint64_t step = 1;
  if (!name.empty() && name.back() >= '2' && name.back() <= '4') {
    step = static_cast<uint64_t>(name.back() - '0');
    name.remove_suffix(1);
  }
  for (size_t i = 0; i < std::size(kSeverities); ++i) {
    if (name == kSeverities[i]) return *number = 4 * i + step, true;
  }
  return false;
}

}  // namespace

const JsonMessage* JsonRequest(model::Signal signal) {
  switch (signal) {
    case model::Signal::kTraces:
      return &kTraces;
    case model::Signal::kMetrics:
      return &kMetrics;
    case model::Signal::kLogs:
      return &kLogs;
    case model::Signal::kProfiles:
      break;
  }
  return nullptr;
}

bool JsonEnum(std::string_view name, uint64_t* number) {
  if (name.starts_with(kSeverity) && Severity(name.substr(kSeverity.size()), number)) return true;
  for (const auto& [known, value] : kEnumNames) {
    if (name == known) return *number = value, true;
  }
  return false;
}

}  // namespace weft::protocols::otlp
