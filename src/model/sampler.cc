// SPDX-License-Identifier: Apache-2.0
// Definitions of the filters: huggingface/transformers:
// src/transformers/generation/logits_process.py; presence and frequency penalty:
// vllm-project/vllm: vllm/model_executor/layers/utils.py (generated tokens only).
#include "model/sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "model/logits.h"

namespace ingot {
namespace {

constexpr size_t kReserved = 1024;  // tokens of an answer before its lists grow
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

void RequireRange(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high))
    throw UserError("{} {}: expected a number from {} to {}", name, value, low, high);
}

// Working memory of one thread, kept between tokens.
std::span<float> ScoreScratch(size_t size) {
  thread_local std::vector<float> scratch;
  if (scratch.size() < size) scratch.resize(size);
  return {scratch.data(), size};
}
std::span<float> WeightScratch(size_t size) {
  thread_local std::vector<float> scratch;
  if (scratch.size() < size) scratch.resize(size);
  return {scratch.data(), size};
}

// Calls body(i) for each weight >= threshold, in order. Most blocks hold none: one look, which the
// compiler makes a few vector instructions, tells.
template <typename Body>
void ForLarge(std::span<const float> weights, const float& threshold, Body body) {
  constexpr size_t kBlock = 64;
  size_t i = 0;
  for (; i + kBlock <= weights.size(); i += kBlock) {
    int32_t any = 0;
    const float limit = threshold;
    for (size_t j = 0; j < kBlock; ++j) any |= weights[i + j] >= limit ? 1 : 0;
    if (any == 0) continue;
    for (size_t j = 0; j < kBlock; ++j) {
      if (weights[i + j] >= threshold) body(i + j);
    }
  }
  for (; i < weights.size(); ++i) {
    if (weights[i] >= threshold) body(i);
  }
}

// The k-th largest weight, 1 <= k <= weights.size().
float KthLargest(std::span<const float> weights, size_t k) {
  thread_local std::vector<float> heap;  // front: the smallest of the k largest so far
  heap.assign(weights.begin(), weights.begin() + static_cast<std::ptrdiff_t>(k));
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const float& smallest = heap.front();
  ForLarge(weights.subspan(k), smallest, [&](size_t i) {
    const float weight = weights[k + i];
    if (weight <= smallest) return;
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.back() = weight;
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  });
  return smallest;
}

// The tokens that passed the filters so far: ids ascending, with their weights.
struct Kept {
  std::vector<float> weights;
  std::vector<int32_t> ids;

  void Take(std::span<const float> all, float threshold) {
    weights.clear(), ids.clear();
    // No token of weight 0.
    const float limit = std::max(threshold, std::numeric_limits<float>::denorm_min());
    ForLarge(all, limit, [&](size_t i) {
      weights.push_back(all[i]);
      ids.push_back(static_cast<int32_t>(i));
    });
  }
  // Of those that are here.
  template <typename Keep>
  void Reduce(Keep keep) {
    size_t n = 0;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (!keep(weights[i], ids[i])) continue;
      weights[n] = weights[i];
      ids[n++] = ids[i];
    }
    weights.resize(n), ids.resize(n);
  }
};

// Keeps the smallest set of heaviest tokens whose mass reaches `wanted` (at least one; the lower id
// on a tie). Weights lie in [0, 1]. They are counted into classes of nearly equal weight first, and
// only the class in which the border falls is sorted.
void KeepHeaviest(Kept* kept, double wanted) {
  constexpr int kShift = 18;  // 32 classes a power of two
  constexpr size_t kClasses = (std::bit_cast<uint32_t>(1.0f) >> kShift) + 1;
  const auto class_of = [](float w) {
    return static_cast<size_t>(std::bit_cast<uint32_t>(w) >> kShift);
  };
  std::array<double, kClasses> mass{};
  for (const float w : kept->weights) mass[class_of(w)] += static_cast<double>(w);
  double before = 0;  // mass of the classes above
  size_t border = kClasses - 1;
  while (border > 0 && before + mass[border] < wanted) before += mass[border--];
  thread_local std::vector<std::pair<float, int32_t>> inside;
  inside.clear();
  for (size_t i = 0; i < kept->ids.size(); ++i) {
    if (class_of(kept->weights[i]) == border) inside.emplace_back(kept->weights[i], kept->ids[i]);
  }
  const auto heavier = [](const auto& a, const auto& b) {
    return a.first > b.first || (a.first == b.first && a.second < b.second);
  };
  std::sort(inside.begin(), inside.end(), heavier);
  std::pair<float, int32_t> last = {2.0f, 0};  // of those of the border's class that stay
  for (const auto& token : inside) {
    if (before > 0 && before >= wanted) break;
    before += static_cast<double>(token.first);
    last = token;
  }
  kept->Reduce([&](float weight, int32_t id) {
    const size_t own = class_of(weight);
    return own > border || (own == border && !heavier(last, std::pair(weight, id)));
  });
}

// -infinity for what is not allowed; most words of a mask allow all or nothing.
void ApplyMask(std::span<const uint32_t> mask, std::span<float> scores) {
  for (size_t first = 0; first < scores.size(); first += 32) {
    const uint32_t word = first / 32 < mask.size() ? mask[first / 32] : 0;
    if (word == ~uint32_t{0}) continue;
    const std::span<float> part = scores.subspan(first, std::min<size_t>(32, scores.size() - first));
    for (size_t i = 0; i < part.size(); ++i) part[i] = (word >> i & 1) != 0 ? part[i] : kMinusInfinity;
  }
}

// splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// The place at which the running sum of weights first exceeds u times their total. sums: of each
// kLogitBlock of them.
int32_t Draw(std::span<const float> weights, std::span<const double> sums, double u) {
  double left = u * std::accumulate(sums.begin(), sums.end(), 0.0);
  int32_t place = -1;
  for (size_t block = 0; block < sums.size(); ++block) {
    if (sums[block] <= 0) continue;
    if (left >= sums[block]) {
      left -= sums[block];
      // Rounding may leave nothing behind the last weight: it is the answer then.
      if (std::any_of(sums.begin() + static_cast<std::ptrdiff_t>(block) + 1, sums.end(),
                      [](double sum) { return sum > 0; }))
        continue;
    }
    const size_t end = std::min((block + 1) * kLogitBlock, weights.size());
    for (size_t i = block * kLogitBlock; i < end; ++i) {
      if (weights[i] <= 0) continue;
      place = static_cast<int32_t>(i);
      left -= static_cast<double>(weights[i]);
      if (left < 0) break;
    }
    break;
  }
  return place;
}

// Sums of blocks of few weights.
std::span<const double> BlockSums(std::span<const float> weights, std::vector<double>* sums) {
  sums->assign((weights.size() + kLogitBlock - 1) / kLogitBlock, 0.0);
  for (size_t i = 0; i < weights.size(); ++i)
    (*sums)[i / kLogitBlock] += static_cast<double>(weights[i]);
  return *sums;
}

// Of the calling thread.
struct DrawScratch {
  Kept kept;
  std::vector<double> sums;
};
DrawScratch& ThreadScratch() {
  thread_local DrawScratch scratch;
  return scratch;
}

}  // namespace

void CheckSamplingParams(const SamplingParams& params) {
  RequireRange("temperature", params.temperature, 0, 1e6);
  RequireRange("top_p", params.top_p, 0, 1);
  RequireRange("min_p", params.min_p, 0, 1);
  RequireRange("top_k", static_cast<double>(params.top_k), 0, 1e9);
  RequireRange("repetition_penalty", params.repetition_penalty, 1e-3, 1e3);
  RequireRange("presence_penalty", params.presence_penalty, -1e3, 1e3);
  RequireRange("frequency_penalty", params.frequency_penalty, -1e3, 1e3);
}

Sampler::Sampler(const SamplingParams& params, std::span<const int32_t> prompt, int64_t vocab_limit)
    : params_(params), vocab_limit_(vocab_limit) {
  CheckSamplingParams(params);
  if (CountsOutput()) output_counts_.reserve(kReserved);
  if (params.repetition_penalty == 1.0f) return;
  for (const int32_t token : prompt) {
    if (token >= 0) seen_.push_back(token);
  }
  std::sort(seen_.begin(), seen_.end());
  seen_.erase(std::unique(seen_.begin(), seen_.end()), seen_.end());
  seen_.reserve(seen_.size() + kReserved);
}

void Sampler::Accept(int32_t token) {
  if (CountsOutput()) {
    const auto place = std::lower_bound(output_counts_.begin(), output_counts_.end(),
                                        std::pair(token, int64_t{0}));
    if (place == output_counts_.end() || place->first != token) {
      output_counts_.insert(place, {token, 1});
    } else {
      ++place->second;
    }
  }
  if (params_.repetition_penalty == 1.0f) return;
  const auto place = std::lower_bound(seen_.begin(), seen_.end(), token);
  if (place == seen_.end() || *place != token) seen_.insert(place, token);
}

bool Sampler::ChangesLogits() const {
  return !params_.logit_bias.empty() || !output_counts_.empty() || !seen_.empty();
}

std::span<const float> Sampler::Scores(std::span<const float> logits,
                                       const StepConstraints& constraints, bool any_bad) const {
  const std::span<float> scores = ScoreScratch(logits.size());
  std::copy(logits.begin(), logits.end(), scores.begin());
  if (any_bad) {  // neither can win nor poison the sums
    for (float& score : scores) score = std::isfinite(score) ? score : kMinusInfinity;
  }
  const auto at = [&](int32_t id) -> float* {
    return id >= 0 && static_cast<size_t>(id) < scores.size() ? &scores[static_cast<size_t>(id)]
                                                              : nullptr;
  };
  if (!constraints.mask.empty()) ApplyMask(constraints.mask, scores);
  for (const int32_t id : constraints.forbidden) {
    if (float* score = at(id)) *score = kMinusInfinity;
  }
  for (const auto& [id, bias] : params_.logit_bias) {
    if (float* score = at(id)) *score += bias;
  }
  for (const int32_t id : seen_) {
    if (float* score = at(id))
      *score =
          *score < 0 ? *score * params_.repetition_penalty : *score / params_.repetition_penalty;
  }
  for (const auto& [id, count] : output_counts_) {
    if (float* score = at(id))
      *score -= params_.presence_penalty + params_.frequency_penalty * static_cast<float>(count);
  }
  return scores;
}

bool Sampler::Filters(size_t vocab) const {
  return params_.min_p > 0.0f || params_.top_p < 1.0f ||
         (params_.top_k > 0 && static_cast<size_t>(params_.top_k) < vocab);
}

void Sampler::Filter(std::span<const float> weights, double total) const {
  Kept& kept = ThreadScratch().kept;
  float smallest = params_.min_p;  // the largest weight is 1
  if (params_.top_k > 0 && static_cast<size_t>(params_.top_k) < weights.size())
    smallest = std::max(smallest, KthLargest(weights, static_cast<size_t>(params_.top_k)));
  if (!(params_.top_p < 1.0f)) return kept.Take(weights, smallest);
  if (smallest > 0.0f) {
    kept.Take(weights, smallest);
    total = std::accumulate(kept.weights.begin(), kept.weights.end(), 0.0);
  } else {
    // All tokens below this together are lighter than what top-p leaves out.
    const double light = 0.999 * (1.0 - static_cast<double>(params_.top_p)) * total /
                         static_cast<double>(weights.size());
    kept.Take(weights, static_cast<float>(light));
  }
  KeepHeaviest(&kept, static_cast<double>(params_.top_p) * total);
}

double Sampler::Weigh(std::span<const float> scores, float peak, std::span<float> weights) const {
  const float temperature = params_.temperature > 0 ? params_.temperature : 1.0f;
  std::vector<double>& sums = ThreadScratch().sums;
  sums.resize((weights.size() + kLogitBlock - 1) / kLogitBlock);
  return Exponentials(scores, peak, 1.0f / temperature, weights, sums);
}

int32_t Sampler::DrawToken(std::span<const float> scores, float peak) {
  const std::span<float> weights = WeightScratch(scores.size());
  const double total = Weigh(scores, peak, weights);
  DrawScratch& scratch = ThreadScratch();
  if (!Filters(weights.size())) return Draw(weights, scratch.sums, NextUniform());
  Filter(weights, total);
  const Kept& kept = scratch.kept;
  const int32_t place =
      Draw(kept.weights, BlockSums(kept.weights, &scratch.sums), NextUniform());
  return place < 0 ? place : kept.ids[static_cast<size_t>(place)];
}

std::vector<float> Sampler::Distribution(std::span<const float> logits) const {
  if (vocab_limit_ > 0 && static_cast<int64_t>(logits.size()) > vocab_limit_)
    logits = logits.first(static_cast<size_t>(vocab_limit_));
  const std::span<const float> scores = Scores(logits, {}, true);
  std::vector<float> weights(scores.size());
  double total = Weigh(scores, FindPeak(scores).value, weights);
  if (Filters(weights.size())) {
    Filter(weights, total);
    const Kept& kept = ThreadScratch().kept;
    std::fill(weights.begin(), weights.end(), 0.0f);
    for (size_t i = 0; i < kept.ids.size(); ++i)
      weights[static_cast<size_t>(kept.ids[i])] = kept.weights[i];
  }
  total = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (float& weight : weights) weight = static_cast<float>(static_cast<double>(weight) / total);
  return weights;
}

double Sampler::NextUniform() {
  return static_cast<double>(Mix(Mix(params_.seed) + n_drawn_++) >> 11) * 0x1p-53;
}

SampledToken Sampler::Choose(std::span<const float> logits, const StepConstraints& constraints) {
  if (vocab_limit_ > 0 && static_cast<int64_t>(logits.size()) > vocab_limit_)
    logits = logits.first(static_cast<size_t>(vocab_limit_));
  LogitPeak peak = FindPeak(logits);
  SampledToken result{.bad_logits = peak.n_bad};
  std::span<const float> scores = logits;
  const bool constrained = !constraints.mask.empty() || !constraints.forbidden.empty();
  if (constrained || ChangesLogits() || (peak.n_bad > 0 && !Greedy())) {
    scores = Scores(logits, constraints, peak.n_bad > 0);
    peak = FindPeak(scores);
  }
  if (peak.index < 0) return result;
  if (Greedy()) {
    result.token = peak.index;
  } else {
    result.token = DrawToken(scores, peak.value);
  }
  Accept(result.token);
  return result;
}

}  // namespace ingot
