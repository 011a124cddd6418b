// SPDX-License-Identifier: Apache-2.0
// Sums of a comparison: per sample over tokens, in all over samples.
#include <algorithm>
#include <map>

#include "eval/metrics.h"
#include "eval/report.h"

namespace ingot {
namespace {

double MeanOf(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

std::vector<double> Known(const std::vector<std::optional<double>>& values) {
  std::vector<double> known;
  for (const auto& value : values) {
    if (value) known.push_back(*value);
  }
  return known;
}

void SummarizeTokens(const std::vector<SampleFigures>& samples, CompareTotals* totals) {
  std::vector<double> kl, first;
  int64_t agreeing = 0;
  for (const SampleFigures& sample : samples) {
    const std::vector<double> known = Known(sample.kl);
    kl.insert(kl.end(), known.begin(), known.end());
    totals->n_tokens += static_cast<int64_t>(sample.agree.size());
    agreeing += std::count(sample.agree.begin(), sample.agree.end(), true);
    if (sample.first_divergence) first.push_back(static_cast<double>(*sample.first_divergence));
    totals->identical_texts += sample.text_a == sample.text_b;
  }
  totals->n_diverged = static_cast<int64_t>(first.size());
  if (!first.empty()) totals->first_divergence_median = Quantile(first, 0.5);
  if (totals->n_tokens > 0) {
    totals->top1_agree = static_cast<double>(agreeing) / static_cast<double>(totals->n_tokens);
  }
  if (kl.empty()) return;
  totals->kl_mean = MeanOf(kl);
  totals->kl_p50 = Quantile(kl, 0.5);
  totals->kl_p90 = Quantile(kl, 0.9);
  totals->kl_p99 = Quantile(kl, 0.99);
  totals->kl_max = *std::max_element(kl.begin(), kl.end());
}

std::vector<KindFigures> SummarizeKinds(const std::vector<SampleFigures>& samples) {
  std::map<std::string, KindFigures> by_kind;
  for (const SampleFigures& sample : samples) {
    if (!sample.score_a || !sample.score_b) continue;
    KindFigures& figures = by_kind[sample.kind];
    figures.kind = sample.kind;
    ++figures.n;
    figures.accuracy_a += *sample.score_a;
    figures.accuracy_b += *sample.score_b;
  }
  std::vector<KindFigures> kinds;
  for (auto& [kind, figures] : by_kind) {
    figures.accuracy_a /= static_cast<double>(figures.n);
    figures.accuracy_b /= static_cast<double>(figures.n);
    kinds.push_back(figures);
  }
  std::stable_sort(kinds.begin(), kinds.end(),
                   [](const KindFigures& x, const KindFigures& y) { return x.n > y.n; });
  return kinds;
}

// Mean scores of one model's answers.
void ScoreModel(const std::vector<SampleFigures>& samples, bool first, ModelFigures* model) {
  std::vector<double> accuracy, exact, anls;
  for (const SampleFigures& sample : samples) {
    const std::optional<double>& score = first ? sample.score_a : sample.score_b;
    if (!score || sample.references.empty()) continue;
    const std::string& text = first ? sample.text_a : sample.text_b;
    accuracy.push_back(*score);
    exact.push_back(ExactMatch(text, sample.references));
    anls.push_back(Anls(text, sample.references));
  }
  if (accuracy.empty()) return;
  model->accuracy = MeanOf(accuracy);
  model->exact_match = MeanOf(exact);
  model->anls = MeanOf(anls);
}

}  // namespace

void SummarizeSample(SampleFigures* sample) {
  const std::vector<double> kl = Known(sample->kl);
  if (!kl.empty()) {
    sample->kl_mean = MeanOf(kl);
    sample->kl_max = *std::max_element(kl.begin(), kl.end());
  }
  const auto differing = std::find(sample->agree.begin(), sample->agree.end(), false);
  if (differing != sample->agree.end()) {
    sample->first_divergence = differing - sample->agree.begin();
  }
  if (!sample->agree.empty()) {
    const auto agreeing = std::count(sample->agree.begin(), sample->agree.end(), true);
    sample->top1_agree = static_cast<double>(agreeing) / static_cast<double>(sample->agree.size());
  }
}

void SummarizeReport(CompareReport* report) {
  report->totals = {};
  report->totals.n_samples = static_cast<int64_t>(report->samples.size());
  for (const SampleFigures& sample : report->samples) {
    report->totals.n_scored += sample.score_a.has_value() && sample.score_b.has_value();
  }
  SummarizeTokens(report->samples, &report->totals);
  report->kinds = SummarizeKinds(report->samples);
  ScoreModel(report->samples, true, &report->a);
  ScoreModel(report->samples, false, &report->b);
}

}  // namespace ingot
