// SPDX-License-Identifier: Apache-2.0
// Runs benchmark cases one after another, each repetition between samples of the limits, and makes
// figures of them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/figure.h"
#include "bench/limits.h"

namespace ingot::bench {

// What is measured again and again. Holds the inputs; made when the case's turn comes and dropped
// after it, so that one case's memory is in use at a time.
using Job = std::function<void()>;

struct Case {
  std::string name;
  std::string unit = "TOP/s";
  double amount = 0;        // what one run does, in the unit times seconds; ignored for "s"
  std::vector<Work> steps;  // of one run; empty: no limit is known
  std::function<Job()> prepare;
};

struct RunOptions {
  int repeat = 7;
  double seconds = 4;  // no further repetition of a case begins after this, but 2 are made
  std::string filter;  // only cases whose name holds this text
};

// Figures in the order of the cases. Errors: UserError when the filter leaves nothing;
// InterruptedError on Ctrl-C (nothing is kept).
std::vector<Figure> RunCases(const std::vector<Case>& cases, const RunOptions& options);

// The limits themselves, with one thread and with all; `all_loops`: also of the narrower
// instruction sets.
std::vector<Figure> MeasureLimits(const RunOptions& options, bool all_loops);

}  // namespace ingot::bench
