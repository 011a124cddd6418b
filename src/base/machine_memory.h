// SPDX-License-Identifier: Apache-2.0
// How much memory this process may use: the machine's RAM, or less when a container (control
// group) says so.
#pragma once

#include <cstdint>
#include <filesystem>

namespace ingot {

struct MachineMemory {
  int64_t total = 0;  // bytes of RAM
  int64_t limit = 0;  // the smallest limit of the control groups above; total when there is none
  int64_t available = 0;  // that could be taken now without swapping, as the kernel estimates it
};
// `root`: where /proc and /sys are (tests). What cannot be read counts as absent.
MachineMemory ReadMachineMemory(const std::filesystem::path& root = "/");

}  // namespace ingot
