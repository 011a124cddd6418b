// SPDX-License-Identifier: Apache-2.0
#include "bench/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace ingot::bench {
namespace {

// All records of one figure: samples as they are, and as shares of the limit of their own run, in
// which the state of the machine cancels out. Both with larger = better.
struct Pool {
  Figure figure;
  Samples values, shares;  // shares: empty unless every record knows its limit
};

std::vector<std::string> Names(std::span<const Record> records) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (const Record& record : records) {
    if (seen.insert(record.figure.name).second) names.push_back(record.figure.name);
  }
  return names;
}

std::map<std::string, Pool> PoolByName(std::span<const Record> records, bool busy) {
  std::map<std::string, Pool> pools;
  std::set<std::string> without_limit;
  for (const Record& record : records) {
    const Figure& figure = record.figure;
    Pool& pool = pools[figure.name];
    pool.figure = figure;
    if (figure.limit <= 0) without_limit.insert(figure.name);
    for (const double value :
         (busy && !figure.busy.empty() ? figure.busy : figure.samples).values()) {
      const bool invert = figure.LessIsBetter();
      pool.values.Add(invert ? 1 / value : value);
      if (figure.limit > 0) pool.shares.Add(invert ? figure.limit / value : value / figure.limit);
    }
  }
  for (const std::string& name : without_limit) pools[name].shares = {};
  return pools;
}

bool DescribesMachine(const std::string& name) { return name.starts_with("limit "); }

double BestValue(const Pool& pool) {
  const double best = pool.values.Largest();
  return pool.figure.LessIsBetter() ? 1 / best : best;
}

// What two ratios agree on: the one nearer to 1, or 1 when they point to different sides.
double Agreed(double first, double second) {
  if (first > 1 && second > 1) return std::min(first, second);
  if (first < 1 && second < 1) return std::max(first, second);
  return 1;
}

Comparison CompareOne(const Pool& a, const Pool& b, double least_band) {
  Comparison row{
      .name = a.figure.name, .unit = a.figure.unit, .a = BestValue(a), .b = BestValue(b)};
  row.best = b.values.Largest() / a.values.Largest();
  row.median = b.values.Median() / a.values.Median();
  row.band = std::max(least_band, a.values.Spread() + b.values.Spread());
  if (DescribesMachine(row.name)) return row;
  if (!a.shares.empty() && !b.shares.empty()) {
    row.best = Agreed(row.best, b.shares.Largest() / a.shares.Largest());
    row.median = Agreed(row.median, b.shares.Median() / a.shares.Median());
  }
  const double low = 1 / (1 + row.band), high = 1 + row.band;
  if (row.best < low && row.median < low) row.verdict = Verdict::kSlower;
  if (row.best > high && row.median > high) row.verdict = Verdict::kFaster;
  return row;
}

const char* VerdictText(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSame:
      return "";
    case Verdict::kFaster:
      return "faster";
    case Verdict::kSlower:
      return "SLOWER";
    case Verdict::kOnlyA:
      return "only in the first";
    case Verdict::kOnlyB:
      return "only in the second";
  }
  return "?";
}

std::string Value(double value) { return value == 0 ? "-" : fmt::format("{:.4g}", value); }

}  // namespace

std::vector<Comparison> Compare(std::span<const Record> a, std::span<const Record> b,
                                const CompareOptions& options) {
  const auto pools_a = PoolByName(a, options.busy), pools_b = PoolByName(b, options.busy);
  std::vector<Comparison> rows;
  for (const std::string& name : Names(a)) {
    const Pool& first = pools_a.at(name);
    const auto second = pools_b.find(name);
    if (second != pools_b.end()) {
      rows.push_back(CompareOne(first, second->second, options.least_band));
    } else {
      rows.push_back({.name = name,
                      .unit = first.figure.unit,
                      .verdict = Verdict::kOnlyA,
                      .a = BestValue(first)});
    }
  }
  for (const std::string& name : Names(b)) {
    if (pools_a.contains(name)) continue;
    const Pool& pool = pools_b.at(name);
    rows.push_back(
        {.name = name, .unit = pool.figure.unit, .verdict = Verdict::kOnlyB, .b = BestValue(pool)});
  }
  return rows;
}

std::string ComparisonText(std::span<const Comparison> rows) {
  size_t width = 6;
  for (const Comparison& row : rows) width = std::max(width, row.name.size());
  std::string text = fmt::format("{:<{}}  {:>9} {:>9}  {:<7} {:>7} {:>7} {:>6}\n", "figure", width,
                                 "first", "second", "unit", "best", "median", "noise");
  for (const Comparison& row : rows) {
    text += fmt::format("{:<{}}  {:>9} {:>9}  {:<7}", row.name, width, Value(row.a), Value(row.b),
                        row.unit);
    const bool both = row.verdict != Verdict::kOnlyA && row.verdict != Verdict::kOnlyB;
    if (both) {
      text += fmt::format(" {:>+6.1f}% {:>+6.1f}% {:>5.1f}%", 100 * (row.best - 1),
                          100 * (row.median - 1), 100 * row.band);
    }
    const char* verdict = VerdictText(row.verdict);
    text += *verdict == '\0' ? "\n" : fmt::format("  {}\n", verdict);
  }
  return text;
}

std::string DifferentOrigins(std::span<const Record> a, std::span<const Record> b) {
  std::string text;
  const auto report = [&](const char* what, auto member) {
    std::set<std::string> first, second;
    for (const Record& record : a) first.insert(fmt::format("{}", member(record)));
    for (const Record& record : b) second.insert(fmt::format("{}", member(record)));
    if (first == second) return;
    text += fmt::format("{}: {}, then {}\n", what, fmt::join(first, " and "),
                        fmt::join(second, " and "));
  };
  report("cpu", [](const Record& r) { return r.origin.cpu; });
  report("isa", [](const Record& r) { return r.origin.isa; });
  report("threads", [](const Record& r) { return r.origin.threads; });
  report("compiler", [](const Record& r) { return r.origin.compiler; });
  return text;
}

}  // namespace ingot::bench
