#include <yaml-cpp/yaml.h>

#include "commands.h"

namespace weft::bench {

std::string ReadShape(const std::string& file, Shape* shape) {
  try {
    const YAML::Node root = YAML::LoadFile(file);
    if (!root.IsMap()) return file + ": a map of settings is expected";
    for (const auto& entry : root) {
      const auto key = entry.first.as<std::string>();
      uint32_t* field = key == "spans_per_request" ? &shape->spans_per_request
                        : key == "bytes_per_span"  ? &shape->bytes_per_span
                        : key == "services"        ? &shape->services
                        : key == "depth"           ? &shape->depth
                        : key == "attributes"      ? &shape->attributes
                        : key == "notes"           ? &shape->notes
                                                   : nullptr;
      if (field == nullptr)
        return file + ": unknown key " + key +
               "; there are spans_per_request, bytes_per_span, services, depth, attributes, notes";
      *field = entry.second.as<uint32_t>();
      const bool may_be_zero =
          field == &shape->attributes || field == &shape->bytes_per_span || field == &shape->notes;
      if (*field == 0 && !may_be_zero) return file + ": " + key + " must be at least 1";
    }
  } catch (const YAML::Exception& wrong) {
    return file + ": " + wrong.what();
  }
  return "";
}

}  // namespace weft::bench
