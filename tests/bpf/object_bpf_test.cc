// The built object: it loads, its records are laid out as the contract says, and its programs have
// not grown unnoticed.
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstddef>
#include <fstream>
#include <map>
#include <string>

#include "abi/weft_abi.h"
#include "http.skel.h"

namespace {

class Skeleton : public ::testing::Test {
 protected:
  void SetUp() override {
    libbpf_set_print(nullptr);
    skeleton_ = http__open();
    ASSERT_NE(skeleton_, nullptr);
  }
  void TearDown() override {
    if (skeleton_ != nullptr) http__destroy(skeleton_);
  }
  http* skeleton_ = nullptr;
};

// Offset in bytes of a member in the object's own type information; -1 when there is none.
int OffsetOf(const btf* types, const char* type, const char* member) {
  int id = btf__find_by_name_kind(types, type, BTF_KIND_STRUCT);
  if (id < 0) return -1;
  const btf_type* t = btf__type_by_id(types, id);
  const btf_member* m = btf_members(t);
  for (int i = 0; i < btf_vlen(t); ++i) {
    if (std::string(btf__name_by_offset(types, m[i].name_off)) == member) {
      return static_cast<int>(btf_member_bit_offset(t, i) / 8);
    }
  }
  return -1;
}

TEST_F(Skeleton, RecordsAreLaidOutAsTheContractSays) {
  const btf* types = bpf_object__btf(skeleton_->obj);
  ASSERT_NE(types, nullptr);
#define EXPECT_SAME_SIZE(type)                                                               \
  EXPECT_EQ(btf__resolve_size(types, btf__find_by_name_kind(types, #type, BTF_KIND_STRUCT)), \
            static_cast<int64_t>(sizeof(type)))
  EXPECT_SAME_SIZE(weft_record_header);
  EXPECT_SAME_SIZE(weft_connection);
  EXPECT_SAME_SIZE(weft_data);
  EXPECT_SAME_SIZE(weft_end);
  EXPECT_SAME_SIZE(weft_settings);
  EXPECT_SAME_SIZE(weft_counters);
  EXPECT_SAME_SIZE(weft_message_end_key);
#define EXPECT_SAME_OFFSET(type, member) \
  EXPECT_EQ(OffsetOf(types, #type, #member), static_cast<int>(offsetof(type, member)))
  EXPECT_SAME_OFFSET(weft_record_header, kind);
  EXPECT_SAME_OFFSET(weft_connection, process_start_ns);
  EXPECT_SAME_OFFSET(weft_connection, netns);
  EXPECT_SAME_OFFSET(weft_connection, remote);
  EXPECT_SAME_OFFSET(weft_connection, flags);
  EXPECT_SAME_OFFSET(weft_data, position);
  EXPECT_SAME_OFFSET(weft_data, captured_offset);
  EXPECT_SAME_OFFSET(weft_data, tid);
  EXPECT_SAME_OFFSET(weft_data, direction);
  EXPECT_SAME_OFFSET(weft_end, position);
  EXPECT_SAME_OFFSET(weft_end, direction);
  EXPECT_SAME_OFFSET(weft_settings, head_bytes);
  EXPECT_SAME_OFFSET(weft_counters, drops);
}

TEST_F(Skeleton, CarriesTheVersionOfTheContract) {
  EXPECT_EQ(skeleton_->rodata->settings.abi_version, static_cast<unsigned>(WEFT_ABI_VERSION));
}

// A program that grows makes every call on the machine dearer: the change belongs in the diff.
TEST_F(Skeleton, ProgramsAreAsLongAsCommitted) {
  std::ifstream file(std::string(WEFT_BPF_DIR) + "/instructions.txt");
  std::map<std::string, double> committed;
  std::string name;
  double count;
  while (file >> name >> count) committed[name] = count;
  struct bpf_program* program;
  bpf_object__for_each_program(program, skeleton_->obj) {
    std::string name = bpf_program__name(program);
    ASSERT_TRUE(committed.count(name)) << name << " is not in bpf/instructions.txt";
    // Before the load a program stands alone, without the functions that it calls.
    double built = static_cast<double>(bpf_program__insn_cnt(program));
    EXPECT_LE(std::abs(built - committed[name]), committed[name] * 0.1)
        << name << " has " << built << " instructions; bpf/instructions.txt says "
        << committed[name];
  }
}

TEST_F(Skeleton, LoadsAndVerifies) {
  if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  bpf_map__set_max_entries(skeleton_->maps.rings, libbpf_num_possible_cpus());
  bpf_map__set_max_entries(skeleton_->maps.scratch, libbpf_num_possible_cpus());
  int error = http__load(skeleton_);
  if (error == -EPERM) GTEST_SKIP() << "BPF is not permitted here";
  ASSERT_EQ(error, 0);
  struct bpf_program* program;
  bpf_object__for_each_program(program, skeleton_->obj) {
    struct bpf_prog_info info = {};
    uint32_t size = sizeof info;
    ASSERT_EQ(bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size), 0);
    RecordProperty(bpf_program__name(program), static_cast<int>(info.verified_insns));
    EXPECT_LT(info.verified_insns, 500'000u) << bpf_program__name(program);
  }
}

}  // namespace
