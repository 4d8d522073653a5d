# cmake -DOUT=<file.cc> -DPAGE=<folder> -P embed.cmake: writes the files of the page as a table of string literals.
set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_svg "image/svg+xml")
set(entries "")
file(GLOB names RELATIVE ${PAGE} ${PAGE}/*.html ${PAGE}/*.css ${PAGE}/*.js ${PAGE}/*.svg)
foreach(name IN LISTS names)
  file(READ ${PAGE}/${name} content)
  string(REGEX REPLACE ".*\\." "" extension ${name})
  string(APPEND entries "    {\"/${name}\", \"${type_${extension}}\", R\"weft_page(${content})weft_page\"},\n")
endforeach()
file(WRITE ${OUT}
"// Written by agent/console/page/embed.cmake; do not edit.
#include \"console/page.h\"

namespace weft::console {

const PageFile* FindPageFile(std::string_view path) {
  static constexpr PageFile kFiles[] = {
${entries}  };
  for (const PageFile& file : kFiles) {
    if (file.path == path) return &file;
  }
  return nullptr;
}

}  // namespace weft::console
")
