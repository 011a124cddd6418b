// SPDX-License-Identifier: Apache-2.0
// The loop over one sequence: chosen tokens are fed back until the answer ends.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/sampler.h"
#include "model/session.h"

namespace ingot {

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
