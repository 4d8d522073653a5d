#include "protocols/otlp/resource_stamp.h"

#include <bit>

#include "protocols/otlp/gather.h"
#include "protocols/otlp/wire.h"
#include "protocols/otlp/write.h"

namespace weft::protocols::otlp {

using base::ByteView;

void ResourceStamp::Add(std::string_view key, std::string_view value) {
  base::ByteBuffer encoded;
  Writer writer(encoded);
  WriteAttribute(writer, field::kResourceAttribute, key, value);
  all_ |= uint64_t{1} << attributes_.size();
  attributes_.push_back({std::string(key), std::string(base::AsText(encoded.view()))});
}

std::optional<ResourceStamp::Found> ResourceStamp::Look(ByteView fields) const {
  Found found;
  const uint8_t* p = fields.data();
  const uint8_t* const end = p + fields.size();
  Field field;
  while (p != end) {
    const uint8_t* const begin = p;
    if (!ReadField(p, end, &field)) return std::nullopt;
    if (field.tag != BytesTag(field::kResource)) continue;
    found.has_resource = true;
    found.begin = static_cast<size_t>(begin - fields.data());
    found.end = static_cast<size_t>(p - fields.data());
    found.resource = field.view();
    const bool is_whole = ForEachField(field.view(), [&](const Field& attribute) {
      if (attribute.tag != BytesTag(field::kResourceAttribute)) return true;
      const std::string_view key = base::AsText(FieldBytes(attribute.view(), field::kKey));
      for (size_t i = 0; i < attributes_.size(); ++i)
        if (attributes_[i].key == key) found.attributes |= uint64_t{1} << i;
      return true;
    });
    if (!is_whole) return std::nullopt;
  }
  return found;
}

uint64_t ResourceStamp::SizeOf(uint64_t attributes) const {
  uint64_t size = 0;
  for (; attributes != 0; attributes &= attributes - 1)
    size += attributes_[static_cast<size_t>(std::countr_zero(attributes))].field.size();
  return size;
}

void ResourceStamp::Write(ByteView fields, const Found& found, uint64_t missing,
                          base::ByteBuffer* out) const {
  Writer writer(*out);
  writer.Raw(fields.first(found.begin));
  writer.Tag(field::kResource, WireType::kBytes);
  writer.Varint(found.resource.size() + SizeOf(missing));
  writer.Raw(found.resource);
  for (; missing != 0; missing &= missing - 1)
    writer.Raw(base::AsBytes(attributes_[static_cast<size_t>(std::countr_zero(missing))].field));
  writer.Raw(fields.subspan(found.end));
}

bool ResourceStamp::EditGroup(model::OtlpBatch* batch, model::ResourceGroup* group,
                              uint64_t* room) {
  const std::optional<Found> head = Look(batch->at(group->head));
  const std::optional<Found> tail = Look(batch->at(group->tail));
  if (!head || !tail) return true;  // Index has seen both: not for fields of a message
  const uint64_t missing = all_ & ~(head->attributes | tail->attributes);
  if (missing == 0) return true;
  const uint64_t added = SizeOf(missing);
  if (added > *room) return false;
  *room -= added;
  // Protobuf joins several Resources in their order.
  const bool in_tail = tail->has_resource;
  model::Slice& slice = in_tail ? group->tail : group->head;
  written_.clear();
  Write(batch->at(slice), in_tail ? *tail : *head, missing, &written_);
  slice = {static_cast<uint32_t>(batch->extra.size()) | model::kExtra,
           static_cast<uint32_t>(written_.size())};
  batch->extra += base::AsText(written_.view());
  batch->edited = true;
  return true;
}

uint64_t ResourceStamp::Edit(model::OtlpBatch* batch) {
  uint64_t room = batch->size_bytes() + kFreeBytes, skipped = 0;
  for (model::ResourceGroup& group : batch->resources) {
    uint64_t spans = 0;
    for (uint32_t s = 0; s < group.scope_count; ++s)
      spans += batch->scopes[group.first_scope + s].span_count;
    if (spans > 0 && !EditGroup(batch, &group, &room)) ++skipped;
  }
  return skipped;
}

uint64_t ResourceStamp::Copy(ByteView request, base::ByteBuffer* out) {
  uint64_t room = request.size() + kFreeBytes, skipped = 0;
  const size_t size_before = out->size();
  Writer writer(*out);
  const uint8_t* p = request.data();
  const uint8_t* const end = p + request.size();
  Field field;
  while (p != end) {
    const uint8_t* const begin = p;
    if (!ReadField(p, end, &field)) {
      out->Truncate(size_before);
      return 0;
    }
    const bool is_envelope = field.tag == BytesTag(field::kResourceSpans);
    const std::optional<Found> found = is_envelope ? Look(field.view()) : std::nullopt;
    const uint64_t missing = found ? all_ & ~found->attributes : 0;
    const uint64_t added = SizeOf(missing);
    if (missing == 0 || added > room) {
      skipped += missing != 0;
      writer.Raw({begin, static_cast<size_t>(p - begin)});
      continue;
    }
    room -= added;
    const size_t envelope = writer.Begin(field::kResourceSpans);
    Write(field.view(), *found, missing, out);
    writer.End(envelope);
  }
  return skipped;
}

}  // namespace weft::protocols::otlp
