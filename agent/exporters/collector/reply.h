// What an answer of the peer means for the spans of a request, by the rules of the OTLP
// specification for clients. Pure, so that the whole table is tested in one place.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "exporters/collector/transport.h"

namespace weft::exporters::collector {

enum class Verdict : uint8_t {
  kDelivered,        // `rejected_spans` of them were refused for good
  kRetry,            // not now
  kRetryConnection,  // there was no peer
  kRetrySlowly,      // the peer does not accept our credentials: a fault of configuration
  kTooLarge,         // the same spans in smaller requests
  kUnreadable,       // the peer may lack our compression; else kRejected
  kRejected,         // never, as a whole
};

struct Outcome {
  Verdict verdict = Verdict::kRejected;
  std::string_view reason;      // lower_snake, for the ledger and metric labels; static text
  uint64_t rejected_spans = 0;  // of a partial success
  std::string message;          // of the peer, made fit for a log line
};

// By `http_status` where there is one, else by the gRPC status.
// `retry_exhausted`: a RESOURCE_EXHAUSTED that promises no recovery (no RetryInfo) is tried again
// all the same; else it is final, as the specification advises.
Outcome Judge(const CallReply& reply, bool retry_exhausted);

// The fields of partial_success of an Export…ServiceResponse (the same for every signal); false
// when `body` is not a message.
bool ParsePartialSuccess(base::ByteView body, uint64_t* rejected_spans, std::string* message);

}  // namespace weft::exporters::collector
