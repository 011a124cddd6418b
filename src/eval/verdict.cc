// SPDX-License-Identifier: Apache-2.0
// What a comparison means: limits that are broken, and what is worth knowing although none is.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "eval/compare.h"

namespace ingot {
namespace {

// Below these a reader should look, whatever limits were asked for: one token in twenty differs;
// the error of a linear is a third of its signal.
constexpr double kFewSameTokens = 0.95;
constexpr double kLowSqnrDb = 10;
constexpr double kSurely = 0.05;  // level of the sign test

std::string Percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

// The chance that of worse + better fair coins as few or fewer fall on the rarer side, twice.
double SignTest(int64_t worse, int64_t better) {
  const int64_t n = worse + better, fewer = std::min(worse, better);
  double tail = 0;
  for (int64_t k = 0; k <= fewer; ++k) {
    const auto x = static_cast<double>(k), all = static_cast<double>(n);
    tail += std::exp(std::lgamma(all + 1) - std::lgamma(x + 1) - std::lgamma(all - x + 1) -
                     all * std::log(2.0));
  }
  return std::min(1.0, 2 * tail);
}

std::string AccuracyRemark(const CompareReport& report) {
  if (!report.a.accuracy || !report.b.accuracy || !(*report.b.accuracy < *report.a.accuracy)) {
    return "";
  }
  int64_t worse = 0, better = 0;
  for (const SampleFigures& sample : report.samples) {
    if (!sample.score_a || !sample.score_b) continue;
    worse += *sample.score_b < *sample.score_a;
    better += *sample.score_b > *sample.score_a;
  }
  const bool surely = SignTest(worse, better) < kSurely;
  return fmt::format("The accuracy falls by {:.1f} points, from {} to {}: of {} answers {} {} worse "
                     "and {} better, {}.",
                     100 * (*report.a.accuracy - *report.b.accuracy), Percent(*report.a.accuracy),
                     Percent(*report.b.accuracy), report.totals.n_scored, worse,
                     worse == 1 ? "is" : "are", better,
                     surely ? "more than chance explains" : "too few to tell it from chance");
}

std::string LinearsRemark(const CompareReport& report) {
  const LinearFigures* worst = nullptr;
  double worst_db = kLowSqnrDb;
  int64_t n = 0;
  for (const LinearFigures& linear : report.linears) {
    const double db = std::min(linear.sqnr_db.text.value_or(kLowSqnrDb),
                               linear.sqnr_db.vision.value_or(kLowSqnrDb));
    if (!(db < kLowSqnrDb)) continue;
    ++n;
    if (db < worst_db) worst = &linear, worst_db = db;
  }
  if (worst == nullptr) return "";
  return fmt::format("{} of {} linears {} less than {:.0f} dB between signal and quantization "
                     "noise; the lowest is {} with {:.1f} dB.",
                     n, report.linears.size(), n == 1 ? "has" : "have", kLowSqnrDb, worst->module,
                     worst_db);
}

}  // namespace

std::vector<std::string> RemarksOn(const CompareReport& report) {
  std::vector<std::string> remarks;
  const auto add = [&](std::string remark) {
    if (!remark.empty()) remarks.push_back(std::move(remark));
  };
  add(AccuracyRemark(report));
  if (report.totals.top1_agree && *report.totals.top1_agree < kFewSameTokens) {
    add(fmt::format("At {} of {} tokens the models choose differently.",
                    Percent(1 - *report.totals.top1_agree), report.totals.n_tokens));
  }
  add(LinearsRemark(report));
  return remarks;
}

void JudgeReport(const CompareOptions& options, int64_t n_not_finite, CompareReport* report) {
  const CompareTotals& totals = report->totals;
  report->findings.clear();
  if (n_not_finite > 0) {
    report->findings.push_back(
        fmt::format("At {} of {} tokens the second model computes values that are no numbers. Run "
                    "ingot check on it.",
                    n_not_finite, totals.n_tokens));
  }
  if (options.min_top1_agree && totals.top1_agree && *totals.top1_agree < *options.min_top1_agree) {
    report->findings.push_back(fmt::format(
        "Only {} of the tokens are the same; at least {} were asked for (--min-agreement).",
        Percent(*totals.top1_agree), Percent(*options.min_top1_agree)));
  }
  if (options.max_kl_mean && totals.kl_mean && *totals.kl_mean > *options.max_kl_mean) {
    report->findings.push_back(
        fmt::format("The mean KL divergence is {:.4g}; at most {:.4g} was asked for (--max-kl).",
                    *totals.kl_mean, *options.max_kl_mean));
  }
  if (options.max_accuracy_drop && report->a.accuracy && report->b.accuracy) {
    const double drop = *report->a.accuracy - *report->b.accuracy;
    if (drop > *options.max_accuracy_drop) {
      report->findings.push_back(
          fmt::format("The accuracy falls by {}; at most {} was asked for (--max-drop).",
                      Percent(drop), Percent(*options.max_accuracy_drop)));
    }
  }
  report->ok = report->findings.empty();
}

}  // namespace ingot
