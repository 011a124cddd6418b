// SPDX-License-Identifier: Apache-2.0
#include "bench/samples.h"

#include <algorithm>
#include <cmath>
#include <ctime>

#include "base/error.h"

namespace ingot::bench {

double Stopwatch::ProcessorNow() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

void Samples::Add(const Samples& more) {
  values_.insert(values_.end(), more.values_.begin(), more.values_.end());
}

double Samples::Quantile(double q) const {
  if (values_.empty()) throw InternalError("a statistic of no samples");
  std::vector<double> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  const double at = q * static_cast<double>(sorted.size() - 1);
  const size_t low = static_cast<size_t>(at), high = std::min(low + 1, sorted.size() - 1);
  return std::lerp(sorted[low], sorted[high], at - static_cast<double>(low));
}

double Samples::Smallest() const { return Quantile(0); }
double Samples::Largest() const { return Quantile(1); }
double Samples::Median() const { return Quantile(0.5); }

double Samples::Spread() const {
  const double median = Median();
  return median == 0 ? 0 : (Quantile(0.75) - Quantile(0.25)) / 2 / median;
}

}  // namespace ingot::bench
