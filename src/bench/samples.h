// SPDX-License-Identifier: Apache-2.0
// Repeated measurements of one thing. Other programs can only make a figure worse, so the best one
// says what the code can do; the spread says how much to trust it.
#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

namespace ingot::bench {

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  double ProcessorSeconds() const { return ProcessorNow() - processor_start_; }  // of all threads

 private:
  static double ProcessorNow();
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double processor_start_ = ProcessorNow();
};

// Requires for every accessor: at least one value.
class Samples {
 public:
  Samples() = default;
  explicit Samples(std::vector<double> values) : values_(std::move(values)) {}
  void Add(double value) { values_.push_back(value); }
  void Add(const Samples& more);
  bool empty() const { return values_.empty(); }
  size_t size() const { return values_.size(); }
  double Smallest() const;
  double Largest() const;
  double Median() const;
  // Half the distance between the quartiles, as a share of the median: 0.02 = the middle half of
  // the values lies within about 2 % of the median.
  double Spread() const;
  const std::vector<double>& values() const { return values_; }

 private:
  double Quantile(double q) const;  // linear between neighbours
  std::vector<double> values_;
};

}  // namespace ingot::bench
