// SPDX-License-Identifier: Apache-2.0
// A helper program run without a shell: its output is fed to a callback while it runs, within a
// time limit. Private to vision/. The child cannot outlive the call: whatever happens, it is killed
// and waited for.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace ingot::vision {

struct ChildResult {
  int exit_code = 0;   // when it ended by itself
  int signal = 0;      // when a signal ended it (not ours)
  std::string errors;  // the last 4 KiB of its standard error, printable characters only
  bool ok() const { return exit_code == 0 && signal == 0; }
};

// Runs argv[0] (searched in PATH unless it contains a slash) with empty standard input. `on_output`
// gets standard output piece by piece; an exception from it ends the child and goes on to the
// caller. Errors: ResourceError (program not found: the message ends with `remedy`; time limit; no
// process), InterruptedError.
ChildResult RunChild(const std::vector<std::string>& argv, double timeout_seconds,
                     const std::string& remedy,
                     const std::function<void(std::span<const uint8_t>)>& on_output);

}  // namespace ingot::vision
