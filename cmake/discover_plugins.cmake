# discover_plugins(KIND)
#
# Every folder below agent/<kind>/ that holds a CMakeLists.txt is a plug-in of that kind. Adds each and sets
# <KIND>_PLUGINS to their names. Where they are registered (agent/app for sources and exporters, the contract suites
# for parsers), configure_plugin_list() writes the list of `&<kind>::<name>::kSpec` as an ordinary source file.
function(discover_plugins KIND)
  file(GLOB files CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR}/${KIND}
       ${CMAKE_CURRENT_SOURCE_DIR}/${KIND}/*/CMakeLists.txt)
  set(names "")
  foreach(file IN LISTS files)
    get_filename_component(name ${file} DIRECTORY)
    list(APPEND names ${name})
    add_subdirectory(${KIND}/${name})
  endforeach()
  string(TOUPPER ${KIND} upper)
  set(${upper}_PLUGINS "${names}" PARENT_SCOPE)
  set_property(GLOBAL PROPERTY WEFT_${upper}_PLUGINS "${names}")
endfunction()

# configure_plugin_list(OUTPUT KIND TYPE HEADER NAMES...)
# Writes OUTPUT: a function `weft::<kind>::All()` that returns the kSpec pointers of the named plug-ins.
function(configure_plugin_list OUTPUT KIND TYPE HEADER)
  set(includes "")
  set(entries "")
  foreach(name IN LISTS ARGN)
    string(APPEND includes "#include \"${KIND}/${name}/${name}.h\"\n")
    string(APPEND entries "      &${name}::kSpec,\n")
  endforeach()
  file(CONFIGURE OUTPUT ${OUTPUT} CONTENT
"// Written by cmake/discover_plugins.cmake from the folder list; do not edit.
#include <span>
#include \"${HEADER}\"
${includes}
namespace weft::${KIND} {
std::span<const ${TYPE}* const> All() {
  static const ${TYPE}* const specs[] = {
${entries}  };
  return specs;
}
}  // namespace weft::${KIND}
" @ONLY)
endfunction()
