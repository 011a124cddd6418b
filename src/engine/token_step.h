// SPDX-License-Identifier: Apache-2.0
// From rows of logits to tokens: what a choice may go on with, the draw, and log probabilities.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/sequence.h"

namespace ingot {

struct SampleTask {
  Choice* choice = nullptr;
  std::span<const float> logits;  // of real ids
  // Results.
  SampledToken sampled;
  std::vector<StepLogprobs> logprobs;  // one, when the request wants them
  float entropy = -1;                  // of the model's own distribution; negative: not measured
  std::string error;                   // why no token could be chosen
  bool impossible = false;             // because the request allows none
};

// Each task's choice is touched by one thread. The results do not depend on the other tasks.
void RunSampleTasks(std::span<SampleTask> tasks);

// `count` alternatives (-1: all).
StepLogprobs LogprobsOf(std::span<const float> logits, int32_t token, int64_t count);

}  // namespace ingot
