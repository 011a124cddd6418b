// SPDX-License-Identifier: Apache-2.0
// Choosing the next token from a row of logits, greedily or at random. A token depends on the
// parameters, the seed, its place in the answer and the logits, on nothing else: not on other
// requests, threads or the instruction set.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace ingot {

struct SamplingParams {
  bool do_sample = false;  // false: the largest logit after penalties, the lowest id on a tie
  float temperature = 1.0f;
  int64_t top_k = 0;  // 0: off
  float top_p = 1.0f;
  float min_p = 0.0f;               // keep tokens with p >= min_p * largest p
  float repetition_penalty = 1.0f;  // over prompt and output
  float presence_penalty = 0.0f;    // over output only
  float frequency_penalty = 0.0f;
  uint64_t seed = 0;
  std::vector<std::pair<int32_t, float>> logit_bias;  // added to the logits of these tokens
};

// Errors: UserError naming the parameter, the value and the allowed range.
void CheckSamplingParams(const SamplingParams& params);

// What one token may not be.
struct StepConstraints {
  std::span<const uint32_t> mask;      // bit i % 32 of word i / 32: token i is allowed; empty: all
  std::span<const int32_t> forbidden;  // on top of that
};

struct SampledToken {
  int32_t token = -1;      // -1: no token is allowed
  int64_t bad_logits = 0;  // NaN or infinite ones in the row; they are never chosen
};

// Order (vllm-project/vllm: vllm/v1/sample/sampler.py, 0.11): mask, forbidden, bias, penalties,
// temperature, min-p, top-k, top-p, draw.
class Sampler {
 public:
  // vocab_limit: ids from here on are padding rows of the matrix and never chosen (0: all ids are
  // real).
  Sampler(const SamplingParams& params, std::span<const int32_t> prompt, int64_t vocab_limit);
  // Chooses and accepts a token. Two samplers may run on two threads at once.
  SampledToken Choose(std::span<const float> logits, const StepConstraints& constraints = {});
  int32_t Next(std::span<const float> logits) { return Choose(logits).token; }
  // The probabilities that Next would draw from, without drawing: [min(vocab, limit)].
  std::vector<float> Distribution(std::span<const float> logits) const;
  void Accept(int32_t token);  // called by Choose; for tokens that come from elsewhere

 private:
  bool Greedy() const { return !params_.do_sample || params_.temperature < 1e-5f; }
  bool ChangesLogits() const;
  // The real ids' logits as the draw sees them: a view of `logits` when nothing changes them, else
  // a copy in this thread's scratch memory.
  std::span<const float> Scores(std::span<const float> logits, const StepConstraints& constraints,
                                bool any_bad) const;
  bool CountsOutput() const {
    return params_.presence_penalty != 0.0f || params_.frequency_penalty != 0.0f;
  }
  bool Filters(size_t vocab) const;  // whether any filter is on
  // Unnormalised weights of all tokens, the largest one 1; their sum. Filter takes out those that
  // pass all filters. Both leave more in this thread's scratch memory.
  double Weigh(std::span<const float> scores, float peak, std::span<float> weights) const;
  void Filter(std::span<const float> weights, double total) const;
  int32_t DrawToken(std::span<const float> scores, float peak);
  double NextUniform();  // [0, 1)

  SamplingParams params_;
  int64_t vocab_limit_;
  std::vector<std::pair<int32_t, int64_t>> output_counts_;  // by token, ascending
  std::vector<int32_t>
      seen_;  // in prompt or output, each once, ascending (repetition penalty only)
  uint64_t n_drawn_ = 0;
};

}  // namespace ingot
