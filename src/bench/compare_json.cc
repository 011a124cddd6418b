// SPDX-License-Identifier: Apache-2.0
// Comparisons as JSON lines.
#include <nlohmann/json.hpp>

#include "bench/compare.h"

namespace ingot::bench {
namespace {

const char* VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSame:
      return "same";
    case Verdict::kFaster:
      return "faster";
    case Verdict::kSlower:
      return "slower";
    case Verdict::kOnlyA:
      return "only_first";
    case Verdict::kOnlyB:
      return "only_second";
  }
  return "?";
}

}  // namespace

std::string ComparisonJson(std::span<const Comparison> rows) {
  std::string text;
  for (const Comparison& row : rows) {
    const nlohmann::ordered_json json = {{"figure", row.name},
                                         {"unit", row.unit},
                                         {"verdict", VerdictName(row.verdict)},
                                         {"first", row.a},
                                         {"second", row.b},
                                         {"best_ratio", row.best},
                                         {"median_ratio", row.median},
                                         {"band", row.band}};
    text += json.dump() + "\n";
  }
  return text;
}

}  // namespace ingot::bench
