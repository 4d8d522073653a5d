#include "sources/ebpf/object.h"

#include <gtest/gtest.h>

namespace weft::sources::ebpf {
namespace {

TEST(LoadRefusal, IsTheVerifiersLastLineBeforeItsCounts) {
  EXPECT_EQ(RefusalIn("libbpf: prog 'leave': -- BEGIN PROG LOAD LOG --\n"
                      "23: (71) r1 = *(u8 *)(r6 +54)\n"
                      "invalid access to map value, value_size=168 off=14278 size=1\n"
                      "R6 max value is outside of the allowed memory range\n"
                      "processed 23 insns (limit 1000000) max_states_per_insn 0\n"
                      "-- END PROG LOAD LOG --"),
            "leave: R6 max value is outside of the allowed memory range");
}

TEST(LoadRefusal, ALogWithoutCountsEndsWhereItEnds) {
  EXPECT_EQ(RefusalIn("libbpf: prog 'send': -- BEGIN PROG LOAD LOG --\n"
                      "func 'x' does not exist\n\n-- END PROG LOAD LOG --"),
            "send: func 'x' does not exist");
  EXPECT_EQ(RefusalIn("prog 'send': -- BEGIN PROG LOAD LOG --\nlast words"), "send: last words");
  EXPECT_EQ(RefusalIn("prog 'send': -- BEGIN PROG LOAD LOG --\n"), "send: ");
}

TEST(LoadRefusal, OtherMessagesAreNone) {
  EXPECT_EQ(RefusalIn(""), "");
  EXPECT_EQ(RefusalIn("libbpf: prog 'leave': BPF program load failed: Permission denied"), "");
  EXPECT_EQ(RefusalIn("-- BEGIN PROG LOAD LOG --\nno name"), "");
}

TEST(LoadRefusal, AVeryLongLineIsCut) {
  const std::string reason =
      RefusalIn("prog 'p': -- BEGIN PROG LOAD LOG --\n" + std::string(9999, 'x'));
  EXPECT_LT(reason.size(), 200u);
}

}  // namespace
}  // namespace weft::sources::ebpf
