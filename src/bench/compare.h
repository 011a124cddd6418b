// SPDX-License-Identifier: Apache-2.0
// Two sets of figures side by side: what became faster or slower beyond the noise.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "bench/figure.h"

namespace ingot::bench {

enum class Verdict { kSame, kFaster, kSlower, kOnlyA, kOnlyB };

struct Comparison {
  std::string name, unit;
  Verdict verdict = Verdict::kSame;
  double a = 0, b = 0;  // best values, for people
  double best = 1;      // B over A of the best samples, above 1 = B is better
  double median = 1;    // the same of the medians
  double band = 0;      // changes smaller than this are noise
};

// Records of one figure (of several runs) are pooled. The band is the larger of `least_band` and
// the spreads of A and B together. A verdict needs the best samples and the medians to agree (a
// slow moment of the machine changes one of them, a slower program both), and the values and the
// shares of the limits (another clock changes the values, a badly measured limit the shares).
// Figures that describe the machine ("limit ...") get no verdict. Order of A, then what only B has.
// `busy`: compares processor times where there are any, for machines that are never idle; waiting
// does not show then.
struct CompareOptions {
  double least_band = 0.03;
  bool busy = false;
};
std::vector<Comparison> Compare(std::span<const Record> a, std::span<const Record> b,
                                const CompareOptions& options = {});

std::string ComparisonText(std::span<const Comparison> rows);
std::string ComparisonJson(std::span<const Comparison> rows);  // one object a line
// What makes the two sets hard to compare ("cpu: X, then Y"), one line each; "" = nothing.
std::string DifferentOrigins(std::span<const Record> a, std::span<const Record> b);

}  // namespace ingot::bench
