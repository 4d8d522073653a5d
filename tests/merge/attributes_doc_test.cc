// docs/attributes.md explains exactly the keys that the code can write.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

#include "merge/attribute_keys.h"

namespace weft::merge {
namespace {

TEST(AttributesDoc, NamesExactlyTheKeysThatWeftAdds) {
  std::ifstream file(WEFT_TEST_DIR "/../../docs/attributes.md");
  ASSERT_TRUE(file.good());
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::set<std::string> in_doc;
  const std::regex row("\n\\| `(weft\\.[a-z_.]+)` \\|");
  for (std::sregex_iterator it(text.begin(), text.end(), row), end; it != end; ++it) {
    in_doc.insert((*it)[1]);
  }
  const std::set<std::string> in_code(std::begin(kAttributeKeys), std::end(kAttributeKeys));
  EXPECT_EQ(in_doc, in_code);
}

}  // namespace
}  // namespace weft::merge
