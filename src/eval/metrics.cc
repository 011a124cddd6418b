// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "eval/metrics.h"

#include <algorithm>
#include <cmath>

#include "base/edit_distance.h"
#include "base/error.h"
#include "eval/answer_text.h"

namespace ingot {
namespace {

constexpr double kEqualSqnrDb = 200.0;

void RequireReferences(std::span<const std::string> references) {
  if (references.empty()) throw InternalError("an answer is scored without a reference");
}

double AnlsOfOne(std::string_view prediction, std::string_view reference) {
  const auto a = CodePoints(TrimText(LowerText(prediction)));
  const auto b = CodePoints(TrimText(LowerText(reference)));
  const size_t longest = std::max(a.size(), b.size());
  if (longest == 0) return 1.0;
  const double similarity =
      1.0 - static_cast<double>(EditDistance<char32_t>(a, b)) / static_cast<double>(longest);
  return similarity >= 0.5 ? similarity : 0.0;
}

}  // namespace

double VqaAccuracy(std::string_view prediction, std::span<const std::string> references) {
  RequireReferences(references);
  const std::string wanted = NormalizeAnswer(prediction);
  size_t matching = 0;
  for (const std::string& reference : references) matching += NormalizeAnswer(reference) == wanted;
  const size_t n = references.size();
  if (n == 1) return matching == 1 ? 1.0 : 0.0;
  const double enough = static_cast<double>(std::min<size_t>(3, n - 1));
  const double m = static_cast<double>(matching);
  // Leaving out one who agrees leaves m - 1 others; leaving out one who does not leaves m.
  const double agreeing = matching == 0 ? 0.0 : m * std::min(1.0, (m - 1) / enough);
  const double others = (static_cast<double>(n) - m) * std::min(1.0, m / enough);
  return (agreeing + others) / static_cast<double>(n);
}

double ExactMatch(std::string_view prediction, std::span<const std::string> references) {
  RequireReferences(references);
  const std::string_view wanted = TrimText(prediction);
  const bool found = std::any_of(references.begin(), references.end(),
                                 [&](const std::string& text) { return TrimText(text) == wanted; });
  return found ? 1.0 : 0.0;
}

double Anls(std::string_view prediction, std::span<const std::string> references) {
  RequireReferences(references);
  double best = 0;
  for (const std::string& reference : references) {
    best = std::max(best, AnlsOfOne(prediction, reference));
  }
  return best;
}

AnswerScores ScoreAnswer(std::string_view prediction, std::span<const std::string> references) {
  return {VqaAccuracy(prediction, references), ExactMatch(prediction, references),
          Anls(prediction, references)};
}

std::string QuestionKind(std::string_view question, int64_t n_pictures) {
  if (n_pictures == 0) return "no picture";
  if (n_pictures == 2) return "two pictures";
  if (n_pictures > 2) return "several pictures";
  const std::string lower = LowerText(question);
  const std::vector<std::string_view> words = SplitWords(lower);
  if (words.empty()) return "no question";
  return words.size() == 1 ? std::string(words[0])
                           : std::string(words[0]) + " " + std::string(words[1]);
}

std::vector<double> LogSoftmax(std::span<const float> logits) {
  if (logits.empty()) return {};
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float value : logits) sum += std::exp(value - top);
  const double log_sum = std::log(sum);
  std::vector<double> out(logits.size());
  std::transform(logits.begin(), logits.end(), out.begin(),
                 [&](float v) { return (v - top) - log_sum; });
  return out;
}

double KlDivergence(std::span<const double> log_p, std::span<const double> log_q) {
  if (log_p.size() != log_q.size()) {
    throw InternalError("KL of {} against {} values", log_p.size(), log_q.size());
  }
  double sum = 0;
  for (size_t i = 0; i < log_p.size(); ++i) sum += std::exp(log_p[i]) * (log_p[i] - log_q[i]);
  return std::max(0.0, sum);  // rounding may leave a tiny negative sum
}

int64_t ArgMax(std::span<const float> values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

void Sqnr::Add(std::span<const float> reference, std::span<const float> other) {
  if (reference.size() != other.size()) {
    throw InternalError("SQNR of {} against {} values", reference.size(), other.size());
  }
  for (size_t i = 0; i < reference.size(); ++i) {
    const double a = reference[i];
    const double error = a - other[i];
    signal_ += a * a;
    noise_ += error * error;
  }
  count_ += reference.size();
}

double Sqnr::Db() const {
  if (noise_ == 0) return kEqualSqnrDb;
  if (signal_ == 0) return -kEqualSqnrDb;
  return std::clamp(10 * std::log10(signal_ / noise_), -kEqualSqnrDb, kEqualSqnrDb);
}

double Quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double at = share * static_cast<double>(values.size() - 1);
  const size_t low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (at - static_cast<double>(low)) * (values[high] - values[low]);
}

}  // namespace ingot
