// SPDX-License-Identifier: Apache-2.0
// Where a figure comes from: the machine, the build, and how much other programs disturbed it.
#pragma once

#include <cstddef>
#include <string>

namespace ingot::bench {

bool HasAvxVnni();

// Everything that is equal for all figures of one run.
struct Origin {
  std::string commit;    // of the source tree; "-dirty" behind it when files differed; "unknown"
  std::string compiler;  // "gcc 12.2.0"
  std::string date;      // UTC, "2026-01-31T12:00:00Z"
  std::string cpu;       // as the system names it, with family and model: "AMD EPYC (25/17)"
  std::string isa;       // the kernel table in use
  int threads = 0;
};
Origin CurrentOrigin();

// Memory to walk through so that nothing of it is still in a cache when the walk comes again:
// several times the last-level cache.
size_t StreamBytes();

// Processor time that others took (programs and the hypervisor) since the construction, in cores.
class Disturbance {
 public:
  Disturbance();
  double Cores() const;

 private:
  struct Times {
    double machine = 0, own = 0, wall = 0;  // seconds
  };
  static Times Now();
  Times start_;
};

}  // namespace ingot::bench
