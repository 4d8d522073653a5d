// The built objects: they load, their records are laid out as the contract says, and their programs
// have not grown unnoticed.
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "abi/weft_abi.h"

namespace {

using Object = std::unique_ptr<bpf_object, decltype(&bpf_object__close)>;

std::vector<std::string> ObjectFiles() {
  std::vector<std::string> files;
  std::stringstream list(WEFT_BPF_OBJECTS);
  for (std::string file; std::getline(list, file, '|');) files.push_back(file);
  return files;
}

std::string NameOf(const std::string& file) {
  std::string name = std::filesystem::path(file).filename();
  return name.substr(0, name.find('.'));
}

class ObjectTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    libbpf_set_print(nullptr);
    object_.reset(bpf_object__open(GetParam().c_str()));
    ASSERT_NE(object_, nullptr);
  }
  Object object_{nullptr, bpf_object__close};
};
INSTANTIATE_TEST_SUITE_P(Every, ObjectTest, ::testing::ValuesIn(ObjectFiles()),
                         [](const auto& info) { return NameOf(info.param); });

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

TEST_P(ObjectTest, RecordsAreLaidOutAsTheContractSays) {
  if (NameOf(GetParam()) != "conn") GTEST_SKIP() << "the records' types are kept in conn";
  const btf* types = bpf_object__btf(object_.get());
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
  EXPECT_SAME_OFFSET(weft_data, protocol);
  EXPECT_SAME_OFFSET(weft_data, flags);
  EXPECT_SAME_OFFSET(weft_end, position);
  EXPECT_SAME_OFFSET(weft_end, direction);
  EXPECT_SAME_OFFSET(weft_settings, head_bytes);
  EXPECT_SAME_OFFSET(weft_counters, drops);
}

TEST_P(ObjectTest, CarriesTheVersionOfTheContract) {
  bpf_map* map = bpf_object__find_map_by_name(object_.get(), ".rodata.settings");
  ASSERT_NE(map, nullptr);
  size_t size = 0;
  const void* value = bpf_map__initial_value(map, &size);
  ASSERT_EQ(size, sizeof(weft_settings));
  EXPECT_EQ(static_cast<const weft_settings*>(value)->abi_version,
            static_cast<unsigned>(WEFT_ABI_VERSION));
}

// A program that grows makes every call on the machine dearer: the change belongs in the diff.
TEST_P(ObjectTest, ProgramsAreAsLongAsCommitted) {
  std::ifstream file(std::string(WEFT_BPF_DIR) + "/instructions.txt");
  std::map<std::string, double> committed;
  std::string name;
  double count;
  while (file >> name >> count) committed[name] = count;
  struct bpf_program* program;
  bpf_object__for_each_program(program, object_.get()) {
    std::string name = NameOf(GetParam()) + "/" + bpf_program__name(program);
    ASSERT_TRUE(committed.count(name)) << name << " is not in bpf/instructions.txt";
    // Before the load a program stands alone, without the functions that it calls.
    double built = static_cast<double>(bpf_program__insn_cnt(program));
    EXPECT_LE(std::abs(built - committed[name]), committed[name] * 0.1)
        << name << " has " << built << " instructions; bpf/instructions.txt says "
        << committed[name];
  }
}

TEST_P(ObjectTest, LoadsAndVerifies) {
  if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  for (const char* map : {"rings", "scratch"}) {
    bpf_map__set_max_entries(bpf_object__find_map_by_name(object_.get(), map),
                             libbpf_num_possible_cpus());
  }
  int error = bpf_object__load(object_.get());
  if (error == -EPERM) GTEST_SKIP() << "BPF, or this kind of program, is not permitted here";
  ASSERT_EQ(error, 0);
  struct bpf_program* program;
  bpf_object__for_each_program(program, object_.get()) {
    struct bpf_prog_info info = {};
    uint32_t size = sizeof info;
    ASSERT_EQ(bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size), 0);
    RecordProperty(bpf_program__name(program), static_cast<int>(info.verified_insns));
    EXPECT_LT(info.verified_insns, 500'000u) << bpf_program__name(program);
  }
}

}  // namespace
