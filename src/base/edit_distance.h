// SPDX-License-Identifier: Apache-2.0
// Levenshtein's distance: how many insertions, removals and replacements turn one sequence into the
// other. For names that were nearly right and answers that are nearly right.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace ingot {

template <typename T>
size_t EditDistance(std::span<const T> a, std::span<const T> b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitute = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row[b.size()];
}

}  // namespace ingot
