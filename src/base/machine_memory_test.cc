// SPDX-License-Identifier: Apache-2.0
#include "base/machine_memory.h"

#include <gtest/gtest.h>

#include <fstream>

namespace ingot {
namespace {

class MachineMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::path(::testing::TempDir()) / "machine_memory_test";
    std::filesystem::remove_all(root_);
    Write("proc/meminfo", "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:   900 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }
  std::filesystem::path root_;
};

TEST_F(MachineMemoryTest, WithoutGroupsItIsTheRam) {
  const MachineMemory memory = ReadMachineMemory(root_);
  EXPECT_EQ(memory.total, 1000 * 1024);
  EXPECT_EQ(memory.limit, 1000 * 1024);
  EXPECT_EQ(memory.available, 900 * 1024);
}

TEST_F(MachineMemoryTest, TheSmallestLimitAboveCounts) {
  Write("proc/self/cgroup", "0::/a/b\n");
  Write("sys/fs/cgroup/memory.max", "max\n");
  Write("sys/fs/cgroup/a/memory.max", "204800\n");
  Write("sys/fs/cgroup/a/b/memory.max", "409600\n");
  const MachineMemory memory = ReadMachineMemory(root_);
  EXPECT_EQ(memory.limit, 204800);
  EXPECT_EQ(memory.available, 204800);
}

TEST_F(MachineMemoryTest, TheRootGroupOfAContainerCounts) {
  Write("proc/self/cgroup", "0::/\n");
  Write("sys/fs/cgroup/memory.max", "102400\n");
  EXPECT_EQ(ReadMachineMemory(root_).limit, 102400);
}

TEST_F(MachineMemoryTest, OldGroups) {
  Write("proc/self/cgroup", "7:cpu,cpuacct:/x\n5:memory:/x\n");
  Write("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "51200\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(ReadMachineMemory(root_).limit, 51200);
}

TEST(MachineMemory, ThisMachineHasSome) {
  const MachineMemory memory = ReadMachineMemory();
  EXPECT_GT(memory.limit, 0);
  EXPECT_LE(memory.limit, memory.total);
}

}  // namespace
}  // namespace ingot
