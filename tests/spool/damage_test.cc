// Segments and cursors with many damages at once (F20): the ordinary run of what the fuzz target
// does.
#include <random>

#include "entry_points.h"
#include "log_fixture.h"

namespace weft::spool {
namespace {

class DamageTest : public LogTest {
 protected:
  std::string GoodSegment() {
    Open();
    for (int i = 0; i < 20; ++i)
      EXPECT_TRUE(Append(Text(i, 40 + static_cast<size_t>(i) * 30)).ok());
    EXPECT_TRUE(log->Commit().ok());
    return files.Bytes(SegmentPaths()[0]);
  }
  static void Damage(std::string* bytes, std::minstd_rand& random) {
    if (bytes->empty()) return;
    const size_t at = random() % bytes->size();
    const size_t n = std::min<size_t>(1 + random() % 64, bytes->size() - at);
    switch (random() % 6) {
      case 0:
        (*bytes)[at] = static_cast<char>(random());
        break;
      case 1:
        bytes->replace(at, n, n, '\0');
        break;
      case 2:
        bytes->erase(at, n);
        break;
      case 3:
        bytes->insert(at, bytes->substr(random() % bytes->size(), n));
        break;
      case 4:
        bytes->resize(at + 1);
        break;
      default:
        bytes->append(bytes->substr(at));
        break;
    }
  }
};

TEST_F(DamageTest, AnySegmentIsReadToItsEndAndTheSpoolGoesOn) {
  const std::string good = GoodSegment();
  EXPECT_EQ(TrySegment(good), "");
  EXPECT_EQ(TrySegment(""), "");
  std::minstd_rand random(3);
  for (int round = 0; round < 3'000; ++round) {
    std::string bytes = good;
    for (uint32_t i = 0; i < 1 + random() % 5; ++i) Damage(&bytes, random);
    ASSERT_EQ(TrySegment(bytes), "") << round;
  }
}

TEST_F(DamageTest, AnyCursorIsSurvived) {
  Cursor cursor(files, "/spool/cursor-1");
  for (uint64_t i = 1; i < 4; ++i)
    ASSERT_TRUE(cursor.Save({0, i, {{i, 9, {{0, 5}, {7, 9}}}}}, true).ok());
  const std::string good = files.Bytes("/spool/cursor-1");
  std::minstd_rand random(4);
  for (int round = 0; round < 500; ++round) {
    std::string bytes = good;
    for (uint32_t i = 0; i < 1 + random() % 3; ++i) Damage(&bytes, random);
    ASSERT_EQ(TryCursor(bytes), "") << round;
  }
}

}  // namespace
}  // namespace weft::spool
