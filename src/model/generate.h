// SPDX-License-Identifier: Apache-2.0
// Choosing tokens: greedy or sampled, and the loop that feeds them back.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <span>
#include <vector>

#include "model/session.h"

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
};

// Errors: UserError naming the parameter, the value and the allowed range.
void CheckSamplingParams(const SamplingParams& params);

// Turns logits into tokens. Order (huggingface/transformers: src/transformers/generation/utils.py):
// penalties, temperature, top-k, top-p, min-p, draw.
class Sampler {
 public:
  // vocab_limit: ids from here on are padding rows of the matrix and never chosen (0: all ids are
  // real).
  Sampler(const SamplingParams& params, std::span<const int32_t> prompt, int64_t vocab_limit);
  int32_t Next(std::span<const float> logits);
  // The probabilities that Next would draw from, without drawing: [min(vocab, limit)].
  std::vector<float> Distribution(std::span<const float> logits) const;
  void Accept(int32_t token);  // called by Next; for tokens that come from elsewhere

 private:
  void MarkSeen(int32_t token);
  void ApplyPenalties(std::span<float> scores) const;
  std::vector<float> Scores(
      std::span<const float> logits) const;  // real ids only, penalties applied
  SamplingParams params_;
  int64_t vocab_limit_;
  std::map<int32_t, int64_t> output_counts_;
  std::vector<bool> seen_;  // in prompt or output
  std::mt19937_64 random_;
};

struct GenerateParams {
  SamplingParams sampling;
  int64_t max_new_tokens = 256;
  std::vector<int32_t> stop_ids;  // the stop token is reported but ends the loop
  int64_t vocab_limit = 0;
  int64_t prefill_chunk = 512;
};

enum class FinishReason { kStop, kLength, kCancelled };

struct GenerateResult {
  std::vector<int32_t> tokens;  // without the stop token
  FinishReason reason = FinishReason::kLength;
  int64_t prompt_tokens = 0;
  double prefill_seconds = 0, decode_seconds = 0;
};

// `on_token` (may be empty) is called for each token; returning false cancels.
GenerateResult Generate(Session& session, const ModelInput& input, const GenerateParams& params,
                        const std::function<bool(int32_t)>& on_token = {});

}  // namespace ingot
