// SPDX-License-Identifier: Apache-2.0
// Scores of answers, and distances between what two models compute.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ingot {

// --- Answers. `references` must not be empty (InternalError). All in [0, 1].

// Soft accuracy of VQA and TextVQA: an answer that n people gave counts min(1, n / 3), averaged
// over leaving out each person in turn. With fewer than four references, all of the others must
// agree; with one, it must be equal. Source: facebookresearch/mmf: mmf/utils/m4c_evaluators.py
// (TextVQAAccuracyEvaluator).
double VqaAccuracy(std::string_view prediction, std::span<const std::string> references);
// 1 when the trimmed prediction equals a trimmed reference, byte for byte.
double ExactMatch(std::string_view prediction, std::span<const std::string> references);
// Average normalised Levenshtein similarity, the best over the references, 0 below 0.5
// (arXiv:1907.00490; lower case, trimmed, as STVQAANLSEvaluator of the same file).
double Anls(std::string_view prediction, std::span<const std::string> references);

struct AnswerScores {
  double vqa = 0, exact = 0, anls = 0;
};
AnswerScores ScoreAnswer(std::string_view prediction, std::span<const std::string> references);

// "no picture", "two pictures", else the first two words of the question in lower case: how scores
// are broken down.
std::string QuestionKind(std::string_view question, int64_t n_pictures);

// --- Distributions over the vocabulary. Logits are finite; sums run in double, in order.

// log softmax of `logits`.
std::vector<double> LogSoftmax(std::span<const float> logits);
// KL(p || q) in nats, for log probabilities of equal length.
double KlDivergence(std::span<const double> log_p, std::span<const double> log_q);
// The lowest index of the largest value.
int64_t ArgMax(std::span<const float> values);

// --- Signals.

// 10 log10(sum a^2 / sum (a - b)^2); equal signals give 200, as in the quantize report.
class Sqnr {
 public:
  void Add(std::span<const float> reference, std::span<const float> other);
  bool empty() const { return count_ == 0; }
  double Db() const;

 private:
  double signal_ = 0, noise_ = 0;
  uint64_t count_ = 0;
};

// The value below which `share` of the sorted values lie (linear interpolation); 0 for no values.
double Quantile(std::vector<double> values, double share);

}  // namespace ingot
