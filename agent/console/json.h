// A small JSON writer: it appends to a string, puts the commas itself and escapes everything, so
// that a hostile span name can never make an answer that a client cannot read.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/coding/json_text.h"

namespace weft::console {

// Order: (Open (Key? value)* Close)*. Threads: one.
class JsonWriter {
 public:
  explicit JsonWriter(std::string* out) : out_(*out), start_(out->size()) {}

  JsonWriter& Open(char bracket) {
    Comma();
    out_.push_back(bracket);
    return *this;
  }
  JsonWriter& Close(char bracket) {
    out_.push_back(bracket);
    return *this;
  }
  JsonWriter& Key(std::string_view key) {
    String(key);
    out_.push_back(':');
    return *this;
  }
  JsonWriter& String(std::string_view text) {
    Comma();
    base::AppendJsonText(text, &out_);
    return *this;
  }
  JsonWriter& Uint(uint64_t v) { return Raw(std::to_string(v)); }
  JsonWriter& Int(int64_t v) { return Raw(std::to_string(v)); }
  JsonWriter& Bool(bool v) { return Raw(v ? "true" : "false"); }
  JsonWriter& Null() { return Raw("null"); }
  // NaN and the infinities, which JSON lacks, become strings.
  JsonWriter& Double(double v) {
    if (std::isnan(v)) return String("NaN");
    if (std::isinf(v)) return String(v > 0 ? "+Inf" : "-Inf");
    char text[32];
    auto end = std::to_chars(text, text + sizeof text, v).ptr;
    return Raw({text, static_cast<size_t>(end - text)});
  }
  // `json` is a complete JSON value.
  JsonWriter& Raw(std::string_view json) {
    Comma();
    out_.append(json);
    return *this;
  }

 private:
  void Comma() {
    if (out_.size() == start_) return;
    char last = out_.back();
    if (last != '{' && last != '[' && last != ':') out_.push_back(',');
  }

  std::string& out_;
  const size_t start_;
};

}  // namespace weft::console
