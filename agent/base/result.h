// Result<T>: a value or an error with a text that says what was tried. Errors gain context as they
// rise, once per room: return Context("attach probe", status). The alias hides where the type comes
// from (absl today).
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace weft::base {

template <typename T>
using Result = absl::StatusOr<T>;
using Status = absl::Status;

inline Status Ok() { return absl::OkStatus(); }

// A plain failure. Callers that must distinguish causes use an enum instead.
inline Status Error(std::string_view text) {
  return absl::UnknownError({text.data(), text.size()});
}

// Puts "what: " in front of the text of `status`.
inline Status Context(std::string_view what, const Status& status) {
  std::string text(what);
  text.append(": ").append(status.message().data(), status.message().size());
  return absl::Status(status.code(), text);
}

}  // namespace weft::base
