// SPDX-License-Identifier: Apache-2.0
// Files: Linux kernel documentation, admin-guide/cgroup-v2.rst (memory.max), cgroup-v1/memory.rst
// (memory.limit_in_bytes), filesystems/proc.rst (meminfo).
#include "base/machine_memory.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

namespace ingot {
namespace {

// "MemTotal:       24000000 kB"
int64_t ReadMeminfo(const std::filesystem::path& root, const std::string& field) {
  std::ifstream file(root / "proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(field + ":")) continue;
    int64_t kib = 0;
    std::istringstream(line.substr(field.size() + 1)) >> kib;
    return kib * 1024;
  }
  return 0;
}

std::optional<int64_t> ReadNumber(const std::filesystem::path& path) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value && value > 0 ? std::optional(value) : std::nullopt;  // "max": none
}

// The smallest number in `file` of a group and of all groups above it.
int64_t SmallestAbove(const std::filesystem::path& mount, std::string group,
                      const std::string& file, int64_t smallest) {
  while (!group.empty() && group.front() == '/') group.erase(0, 1);
  for (std::filesystem::path path = mount / group;; path = path.parent_path()) {
    if (const auto value = ReadNumber(path / file)) smallest = std::min(smallest, *value);
    if (path == mount || !path.has_relative_path()) break;
    if (path.string().size() <= mount.string().size()) break;
  }
  return smallest;
}

}  // namespace

MachineMemory ReadMachineMemory(const std::filesystem::path& root) {
  MachineMemory memory;
  memory.total = memory.limit = ReadMeminfo(root, "MemTotal");
  memory.available = ReadMeminfo(root, "MemAvailable");
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "0::/a/b", "5:memory:/a/b"
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string kinds = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string group = line.substr(second + 1);
    if (kinds == ",,") {
      memory.limit = SmallestAbove(root / "sys/fs/cgroup", group, "memory.max", memory.limit);
    } else if (kinds.find(",memory,") != std::string::npos) {
      memory.limit = SmallestAbove(root / "sys/fs/cgroup/memory", group, "memory.limit_in_bytes",
                                   memory.limit);
    }
  }
  if (memory.total > 0) memory.available = std::min(memory.available, memory.limit);
  return memory;
}

}  // namespace ingot
