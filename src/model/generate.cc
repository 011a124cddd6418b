// SPDX-License-Identifier: Apache-2.0
#include "model/generate.h"

#include <algorithm>
#include <chrono>

namespace ingot {
namespace {

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

GenerateResult Generate(Session& session, const ModelInput& input, const GenerateParams& params,
                        const std::function<bool(int32_t)>& on_token) {
  Sampler sampler(params.sampling, input.token_ids, params.vocab_limit);
  GenerateResult result;
  result.prompt_tokens = static_cast<int64_t>(input.token_ids.size());
  auto start = std::chrono::steady_clock::now();
  std::span<const float> logits = session.Prefill(input, params.prefill_chunk);
  result.prefill_seconds = SecondsSince(start);
  start = std::chrono::steady_clock::now();
  while (static_cast<int64_t>(result.tokens.size()) < params.max_new_tokens) {
    const int32_t token = sampler.Next(logits);
    const bool stop =
        std::find(params.stop_ids.begin(), params.stop_ids.end(), token) != params.stop_ids.end();
    if (!stop) result.tokens.push_back(token);
    const bool go_on = !on_token || on_token(token);
    if (stop || !go_on) {
      result.reason = stop ? FinishReason::kStop : FinishReason::kCancelled;
      break;
    }
    if (static_cast<int64_t>(result.tokens.size()) < params.max_new_tokens)
      logits = session.Step(token);
  }
  result.decode_seconds = SecondsSince(start);
  return result;
}

}  // namespace ingot
