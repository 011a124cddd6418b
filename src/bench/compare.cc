// SPDX-License-Identifier: Apache-2.0
#include "bench/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace ingot::bench {
namespace {

// All records of one figure: samples as they are, and as qualities (larger is better) in which the
// state of the machine cancels out when the run knew its limits.
struct Pool {
  Figure figure;
  Samples values, qualities;
  bool by_limit = true;
};

std::vector<std::string> Names(std::span<const Record> records) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (const Record& record : records) {
    if (seen.insert(record.figure.name).second) names.push_back(record.figure.name);
  }
  return names;
}

std::map<std::string, Pool> PoolByName(std::span<const Record> records, bool use_limits) {
  std::map<std::string, Pool> pools;
  for (const Record& record : records) {
    Pool& pool = pools[record.figure.name];
    pool.figure = record.figure;
    pool.values.Add(record.figure.samples);
    pool.by_limit = pool.by_limit && use_limits && record.figure.limit > 0;
  }
  for (const Record& record : records) {
    const Figure& figure = record.figure;
    Pool& pool = pools[figure.name];
    for (const double value : figure.samples.values()) {
      const double scaled = pool.by_limit ? value / figure.limit : value;
      pool.qualities.Add(figure.LessIsBetter() ? 1 / scaled : scaled);
    }
  }
  return pools;
}

bool DescribesMachine(const std::string& name) { return name.starts_with("limit "); }

double BestValue(const Pool& pool) {
  return pool.figure.LessIsBetter() ? pool.values.Smallest() : pool.values.Largest();
}

Comparison CompareOne(const Pool& a, const Pool& b, double least_band) {
  Comparison row{
      .name = a.figure.name, .unit = a.figure.unit, .a = BestValue(a), .b = BestValue(b)};
  row.by_limit = a.by_limit;
  row.best = b.qualities.Largest() / a.qualities.Largest();
  row.median = b.qualities.Median() / a.qualities.Median();
  row.band = std::max(least_band, a.qualities.Spread() + b.qualities.Spread());
  if (DescribesMachine(row.name)) return row;
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
                                double least_band) {
  std::map<std::string, Pool> pools_a = PoolByName(a, true), pools_b = PoolByName(b, true);
  std::vector<Comparison> rows;
  for (const std::string& name : Names(a)) {
    Pool& first = pools_a.at(name);
    const auto found = pools_b.find(name);
    if (found == pools_b.end()) {
      rows.push_back({.name = name,
                      .unit = first.figure.unit,
                      .verdict = Verdict::kOnlyA,
                      .a = BestValue(first)});
      continue;
    }
    Pool& second = found->second;
    if (first.by_limit != second.by_limit) {  // one of them knows no limit: compare as they are
      first = PoolByName(a, false).at(name);
      second = PoolByName(b, false).at(name);
    }
    rows.push_back(CompareOne(first, second, least_band));
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
