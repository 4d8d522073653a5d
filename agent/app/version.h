// The version that weft reports everywhere; from CMakeLists.txt.
#pragma once

namespace weft::app {

inline constexpr char kVersion[] = WEFT_VERSION;

}  // namespace weft::app
