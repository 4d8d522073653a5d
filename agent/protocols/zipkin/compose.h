// Private to protocols/zipkin: the rules by which a Zipkin span becomes an OTLP span, and the
// grouping of a request's spans by resource and scope.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "protocols/otlp/write.h"
#include "protocols/zipkin/span.h"
#include "protocols/zipkin/transcode.h"

namespace weft::protocols::zipkin {

// The attributes of a JSON object (of an annotation that an OTLP exporter wrote) into the repeated
// field `field`. False, and nothing written, if it is none.
bool AppendJsonAttributes(std::string_view json, uint32_t field, base::ByteBuffer* out);

// One per request. Add writes the span down, Finish the request around all of them.
class Composer {
 public:
  Composer(const Options& options, uint64_t input_bytes, Report& report)
      : options_(options), limit_(kMaxExpansion * input_bytes + kFreeBytes), report_(report) {}

  // False when the bound is reached.
  bool Add(const Span& span);
  bool expanded() const { return expanded_; }
  void Finish(base::ByteBuffer* out);

 private:
  struct Placed {
    size_t offset, size;
    size_t next;  // of the same group
  };
  struct Group {
    size_t first, last;
    size_t resource_end;  // in its key: there the Scope begins
  };
  struct Facts {
    std::string_view scope_name, scope_version, trace_state, status_code, description, service_key;
    bool has_error = false, is_internal = false, has_peer_service = false;
  };

  // True when the tag is no attribute of the span.
  bool Consume(const Span& span, const Tag& tag, Facts* facts);
  void Attribute(std::string_view key, const Value& value);
  void Endpoints(const Span& span, const Facts& facts);
  void Scalars(const Span& span, const Facts& facts);
  void Event(const Annotation& annotation);
  bool Link(std::string_view text);
  void Status(const Facts& facts);
  void Place(size_t begin, const Span& span, const Facts& facts);

  const Options options_;
  const uint64_t limit_;
  Report& report_;
  bool expanded_ = false;
  base::ByteBuffer spans_;     // encoded Span fields, one behind the other
  base::ByteBuffer resource_;  // of the span that is being added, without its service
  std::string key_;            // of its group: Resource and Scope fields as they will be written
  std::vector<Placed> placed_;
  std::vector<Group> groups_;
  std::vector<std::string> keys_;
  uint64_t key_bytes_ = 0;
  std::unordered_map<std::string, size_t> by_key_;
  size_t last_group_ = 0;
};

}  // namespace weft::protocols::zipkin
