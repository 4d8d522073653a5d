// What the connections of one Normalizer share: the pass counter, the batch being filled, the
// counts of this pass, and what bounds HTTP/2. Only for the sources of this room.
#pragma once

#include <cstdint>
#include <list>
#include <string_view>

#include "model/span.h"
#include "normalize/conventions/semantic_conventions.h"
#include "normalize/normalizer.h"
#include "protocols/http1/message_parser.h"
#include "protocols/http2/events.h"

namespace weft::normalize {

class Http2Pairing;
class Pairing;

// Events of one pass; added to metrics and ledger when it ends.
struct Counts {
  uint64_t opened = 0, finished = 0;
  uint64_t rejected_gap = 0, rejected_garbage = 0,
           rejected_overflow = 0;  // requests that never became an exchange
  uint64_t segments = 0, duplicate_segments = 0, late_segments = 0;
  uint64_t lost_bytes = 0, framing_lost = 0, heads_truncated = 0, orphan_responses = 0;
  uint64_t telemetry_exports = 0, upgrades = 0, unanswered = 0, smuggling_suspects = 0;
  uint64_t pipelines_evicted = 0, streams_evicted = 0, tables_evicted = 0, unknown_fields = 0,
           calls = 0;
};

// The open streams of all HTTP/2 connections and the connections themselves, least recently used
// first, and what the latter hold.
struct Http2Bounds {
  struct Stream {
    Http2Pairing* pairing;
    uint32_t id;
  };
  std::list<Stream> streams;
  std::list<Http2Pairing*> connections;
  size_t bytes = 0;
};

// The HTTP/1 connections that hold more than one open exchange, least recently used first, and what
// that is.
struct Http1Bounds {
  std::list<Pairing*> connections;
  size_t bytes = 0;
};

struct Shared {
  Shared(const Options& options_in, const Deps& deps_in)
      : options(options_in), deps(deps_in), conventions(options_in) {}

  // Announces an exchange: everything but the attributes.
  void Open(const model::Span& span);
  void Finish(model::Span&& span);

  const Options& options;
  const Deps& deps;
  SemanticConventions conventions;
  uint64_t pass = 1;
  int64_t unix_offset_ns = 0;  // sampled once a pass
  uint64_t next_exchange_id = 1;
  Counts counts;
  model::SpanBatch out;
  protocols::http1::Output parsed;  // reused by every Feed
  protocols::http2::Output parsed2;
  Http1Bounds http1;
  Http2Bounds http2;
};

}  // namespace weft::normalize
