#include "protocols/otlp/gather.h"

#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "protocols/otlp/wire.h"
#include "protocols/otlp/write.h"

namespace weft::protocols::otlp {
namespace {

using base::ByteView;
using model::OtlpBatch;
using model::Slice;
using model::SpanRef;

constexpr size_t kShortPiece = 256;  // shorter ones are copied: a slice costs more than that

// All tags here are field 1 or 2 with a length.
constexpr uint8_t kResourceSpansTag = 0x0a;
constexpr uint8_t kChildTag = 0x12;

uint64_t FieldSize(uint64_t content) { return 1 + VarintSize(content) + content; }

// Collects pieces; short ones and everything composed here go into one buffer, which may move while
// it grows: pieces of it are kept as offsets until the end.
class Composer {
 public:
  Composer(const OtlpBatch& batch, std::shared_ptr<const std::string> extra)
      : batch_(batch), extra_(std::move(extra)) {}

  void Header(uint8_t tag, uint64_t content_size) {
    uint8_t raw[11] = {tag};
    const uint8_t* end = PutVarint(raw + 1, content_size);
    Copy({raw, static_cast<size_t>(end - raw)});
  }
  void Copy(ByteView bytes) {
    if (bytes.empty()) return;
    if (pieces_.empty() || pieces_.back().outside != nullptr) {
      pieces_.push_back({nullptr, made_->size(), 0});
    }
    made_->Append(bytes);
    pieces_.back().size += bytes.size();
  }
  void Piece(ByteView bytes) {
    if (bytes.size() < kShortPiece) return Copy(bytes);
    pieces_.push_back({bytes.data(), 0, bytes.size()});
  }
  void Envelope(Slice slice) {
    if (slice.size == 0) return;
    if ((slice.offset & model::kExtra) == 0) {
      Piece(batch_.bytes->view().subspan(slice.offset, slice.size));
    } else {
      Piece(base::AsBytes(*extra_).subspan(slice.offset & ~model::kExtra, slice.size));
    }
  }
  base::Gathered Finish() {
    base::Gathered out;
    out.pieces.reserve(pieces_.size());
    for (const Part& part : pieces_) {
      out.Add({part.outside != nullptr ? part.outside : made_->data() + part.offset, part.size});
    }
    out.owners = {batch_.bytes, std::move(made_)};
    if (!extra_->empty()) out.owners.push_back(std::move(extra_));
    return out;
  }

 private:
  struct Part {
    const uint8_t* outside;  // null: in made_ at `offset`
    size_t offset, size;
  };
  const OtlpBatch& batch_;
  std::shared_ptr<const std::string> extra_;  // a copy of the batch's: the result outlives it
  std::vector<Part> pieces_;
  std::shared_ptr<base::ByteBuffer> made_ = std::make_shared<base::ByteBuffer>();
};

// A range of spans of one scope, as part of a request.
struct ScopeRange {
  uint32_t resource, scope;
  uint32_t first, last;  // spans; `last` is the one behind
  uint64_t content;      // size of the ScopeSpans message
};

uint64_t AppendSize(const OtlpBatch& batch, const SpanRef& span) {
  return span.append == 0 ? 0 : batch.appends[span.append - 1].size();
}

// Cuts the batch into requests, and composes each when it is full.
class Splitter {
 public:
  Splitter(const OtlpBatch& batch, uint64_t max_bytes) : batch_(batch), max_bytes_(max_bytes) {}

  std::vector<base::Gathered> Run() {
    for (uint32_t r = 0; r < batch_.resources.size(); ++r) {
      const model::ResourceGroup& resource = batch_.resources[r];
      for (uint32_t s = resource.first_scope; s < resource.first_scope + resource.scope_count;
           ++s) {
        const model::ScopeGroup& scope = batch_.scopes[s];
        for (uint32_t i = scope.first_span; i < scope.first_span + scope.span_count; ++i) {
          if (!batch_.spans[i].dropped) Add(r, s, i);
        }
      }
    }
    Flush();
    return std::move(requests_);
  }

 private:
  uint64_t EnvelopeSize(const auto& group) const {
    return uint64_t{group.head.size} + group.tail.size;
  }

  void Add(uint32_t r, uint32_t s, uint32_t i) {
    const SpanRef& span = batch_.spans[i];
    uint64_t size = FieldSize(span.body.size + AppendSize(batch_, span));
    if (!ranges_.empty() && SizeWith(r, s, size) > max_bytes_ && MayCut(r, s)) Flush();
    bool new_resource = ranges_.empty() || ranges_.back().resource != r;
    if (new_resource) {
      CloseResource();
      resource_ = EnvelopeSize(batch_.resources[r]);
    }
    if (new_resource || ranges_.back().scope != s) {
      if (!new_resource) resource_ += FieldSize(ranges_.back().content);
      ranges_.push_back({r, s, i, i, EnvelopeSize(batch_.scopes[s])});
    }
    ranges_.back().content += size;
    ranges_.back().last = i + 1;
  }
  // Repeating an envelope that fills most of a request for every span would multiply the bytes.
  bool MayCut(uint32_t r, uint32_t s) const {
    if (ranges_.back().scope != s) return true;
    return EnvelopeSize(batch_.resources[r]) + EnvelopeSize(batch_.scopes[s]) <= max_bytes_ / 2;
  }
  // Size of the request if a span of this size were added to it.
  uint64_t SizeWith(uint32_t r, uint32_t s, uint64_t span) const {
    const ScopeRange& open = ranges_.back();
    if (open.resource == r && open.scope == s) {
      return closed_ + FieldSize(resource_ + FieldSize(open.content + span));
    }
    uint64_t scope = FieldSize(EnvelopeSize(batch_.scopes[s]) + span);
    uint64_t before = resource_ + FieldSize(open.content);
    if (open.resource == r) return closed_ + FieldSize(before + scope);
    return closed_ + FieldSize(before) + FieldSize(EnvelopeSize(batch_.resources[r]) + scope);
  }
  void CloseResource() {
    if (ranges_.empty()) return;
    resource_ += FieldSize(ranges_.back().content);
    closed_ += FieldSize(resource_);
    resource_sizes_.push_back(resource_);
  }

  void Flush() {
    if (ranges_.empty()) return;
    CloseResource();
    if (extra_ == nullptr) extra_ = std::make_shared<const std::string>(batch_.extra);
    Composer composer(batch_, extra_);
    size_t r = 0;
    for (size_t i = 0; i < ranges_.size();) {
      const model::ResourceGroup& resource = batch_.resources[ranges_[i].resource];
      composer.Header(kResourceSpansTag, resource_sizes_[r++]);
      composer.Envelope(resource.head);
      for (uint32_t id = ranges_[i].resource; i < ranges_.size() && ranges_[i].resource == id;
           ++i) {
        const model::ScopeGroup& scope = batch_.scopes[ranges_[i].scope];
        composer.Header(kChildTag, ranges_[i].content);
        composer.Envelope(scope.head);
        Spans(ranges_[i], &composer);
        composer.Envelope(scope.tail);
      }
      composer.Envelope(resource.tail);
    }
    requests_.push_back(composer.Finish());
    ranges_.clear();
    resource_sizes_.clear();
    resource_ = closed_ = 0;
  }
  void Spans(const ScopeRange& range, Composer* composer) const;

  const OtlpBatch& batch_;
  const uint64_t max_bytes_;
  std::vector<ScopeRange> ranges_;        // of the request that is being filled
  std::vector<uint64_t> resource_sizes_;  // of its closed ResourceSpans
  uint64_t closed_ = 0;                   // their sum, with tags and lengths
  uint64_t resource_ = 0;                 // of the open one, without its open scope
  std::shared_ptr<const std::string> extra_;
  std::vector<base::Gathered> requests_;
};

// Spans that stand side by side with the very tag and length that would be written go as one run.
void Splitter::Spans(const ScopeRange& range, Composer* composer) const {
  const ByteView bytes = batch_.bytes->view();
  size_t run_begin = 0, run_end = 0;
  auto flush = [&] {
    composer->Piece(bytes.subspan(run_begin, run_end - run_begin));
    run_begin = run_end = 0;
  };
  for (uint32_t i = range.first; i < range.last; ++i) {
    const SpanRef& span = batch_.spans[i];
    if (span.dropped) continue;
    uint64_t append = AppendSize(batch_, span);
    size_t body = span.body.offset, body_end = body + span.body.size;
    uint8_t header[11] = {kChildTag};
    auto header_size = static_cast<size_t>(PutVarint(header + 1, span.body.size + append) - header);
    bool as_it_stands = append == 0 && body >= header_size &&
                        std::memcmp(bytes.data() + body - header_size, header, header_size) == 0;
    if (as_it_stands) {
      size_t begin = body - header_size;
      if (begin != run_end || run_end == 0) {
        flush();
        run_begin = begin;
      }
      run_end = body_end;
      continue;
    }
    flush();
    composer->Copy({header, header_size});
    composer->Piece(bytes.subspan(body, span.body.size));
    if (append != 0) composer->Copy(base::AsBytes(batch_.appends[span.append - 1]));
  }
  flush();
}

// `slice` of `from`, for `to`: the bytes are shared, those in `extra` are copied.
Slice CopySlice(const OtlpBatch& from, Slice slice, OtlpBatch* to) {
  if (slice.size == 0) return {};
  if ((slice.offset & model::kExtra) == 0) return slice;
  const auto offset = static_cast<uint32_t>(to->extra.size());
  to->extra.append(from.extra, slice.offset & ~model::kExtra, slice.size);
  return {offset | model::kExtra, slice.size};
}

base::Gathered Whole(const OtlpBatch& batch) {
  base::Gathered out;
  if (batch.bytes == nullptr) return out;
  out.Add(batch.bytes->view());
  out.owners.push_back(batch.bytes);
  return out;
}

}  // namespace

base::Gathered Gather(const OtlpBatch& batch) {
  if (!batch.edited || batch.bytes == nullptr) return Whole(batch);
  std::vector<base::Gathered> requests = Splitter(batch, UINT64_MAX).Run();
  return requests.empty() ? base::Gathered{} : std::move(requests.front());
}

std::vector<base::Gathered> GatherSplit(const OtlpBatch& batch, uint64_t max_bytes) {
  std::vector<base::Gathered> requests;
  if (batch.spans.empty() || batch.bytes == nullptr) return requests;
  if (!batch.edited && batch.size_bytes() <= max_bytes) {
    requests.push_back(Whole(batch));
    return requests;
  }
  return Splitter(batch, max_bytes).Run();
}

OtlpBatch Select(const OtlpBatch& batch, const std::vector<uint32_t>& part, uint32_t which) {
  OtlpBatch out;
  out.bytes = batch.bytes;
  out.sender = batch.sender;
  out.edited = true;
  for (const model::ResourceGroup& resource : batch.resources) {
    bool resource_open = false;
    for (uint32_t s = resource.first_scope; s < resource.first_scope + resource.scope_count; ++s) {
      const model::ScopeGroup& scope = batch.scopes[s];
      bool scope_open = false;
      for (uint32_t i = scope.first_span; i < scope.first_span + scope.span_count; ++i) {
        SpanRef span = batch.spans[i];
        if (span.dropped || part[i] != which) continue;
        if (!std::exchange(resource_open, true))
          out.resources.push_back({CopySlice(batch, resource.head, &out),
                                   CopySlice(batch, resource.tail, &out),
                                   static_cast<uint32_t>(out.scopes.size()), 0});
        if (!std::exchange(scope_open, true)) {
          out.scopes.push_back({CopySlice(batch, scope.head, &out),
                                CopySlice(batch, scope.tail, &out),
                                static_cast<uint32_t>(out.spans.size()), 0});
          ++out.resources.back().scope_count;
        }
        if (span.append != 0) {
          out.appends.push_back(batch.appends[span.append - 1]);
          span.append = static_cast<uint32_t>(out.appends.size());
        }
        out.spans.push_back(span);
        ++out.scopes.back().span_count;
      }
    }
  }
  return out;
}

std::vector<size_t> EntryEnds(ByteView request) {
  std::vector<size_t> ends;
  const uint8_t* p = request.data();
  const uint8_t* end = p + request.size();
  Field field;
  while (p != end) {
    if (!ReadField(p, end, &field)) return {};
    ends.push_back(static_cast<size_t>(p - request.data()));
  }
  return ends;
}

ByteView FieldBytes(ByteView message, uint32_t field) {
  ByteView found;
  const bool whole = ForEachField(message, [&](const Field& f) {
    if (f.tag == BytesTag(field)) found = f.view();
    return true;
  });
  return whole ? found : ByteView{};
}

base::ByteBuffer Flatten(const base::Gathered& gathered) {
  base::ByteBuffer out(gathered.size);
  for (ByteView piece : gathered.pieces) out.Append(piece);
  return out;
}

}  // namespace weft::protocols::otlp
