// SPDX-License-Identifier: Apache-2.0
#include "engine/token_step.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/thread_pool.h"
#include "model/logits.h"

namespace ingot {
namespace {

// Last tokens of bad words whose other tokens were just written.
void AddBadWords(const Choice& choice, std::vector<int32_t>* forbidden) {
  const auto output =
      std::span(choice.tokens).subspan(static_cast<size_t>(choice.request->n_prompt()));
  for (const std::vector<int32_t>& word : choice.request->bad_words) {
    const size_t before = word.size() - 1;
    if (before > output.size()) continue;
    if (std::equal(word.begin(), word.end() - 1,
                   output.end() - static_cast<std::ptrdiff_t>(before)))
      forbidden->push_back(word.back());
  }
}

// Allowed tokens as bits; empty: all.
std::span<const uint32_t> MaskOf(Choice* choice, size_t n_tokens) {
  const std::vector<uint32_t>& allowed = choice->request->allowed;
  if (!choice->grammar) return allowed;
  thread_local std::vector<uint32_t> mask;
  mask.assign((n_tokens + 31) / 32, 0);
  choice->grammar->FillMask(mask);
  for (size_t i = 0; i < allowed.size() && i < mask.size(); ++i) mask[i] &= allowed[i];
  return mask;
}

std::span<const float> Masked(std::span<const float> logits, std::span<const uint32_t> mask) {
  if (mask.empty()) return logits;
  thread_local std::vector<float> copy;
  copy.assign(logits.begin(), logits.end());
  for (size_t i = 0; i < copy.size(); ++i) {
    if (i / 32 >= mask.size() || ((mask[i / 32] >> (i % 32)) & 1) == 0)
      copy[i] = -std::numeric_limits<float>::infinity();
  }
  return copy;
}

void RunTask(SampleTask* task) {
  Choice& choice = *task->choice;
  const RequestSampling& sampling = choice.request->request.sampling;
  const std::span<const uint32_t> mask = MaskOf(&choice, task->logits.size());
  thread_local std::vector<int32_t> forbidden;
  forbidden.clear();
  AddBadWords(choice, &forbidden);
  const size_t n_words = forbidden.size();
  if (choice.n_output() < sampling.min_tokens)
    forbidden.insert(forbidden.end(), choice.request->stop_ids.begin(),
                     choice.request->stop_ids.end());
  task->sampled = choice.sampler.Choose(task->logits, {mask, forbidden});
  if (task->sampled.token < 0 && forbidden.size() > n_words) {
    // Nothing but the end is left (a finished grammar): min_tokens cannot be kept.
    forbidden.resize(n_words);
    task->sampled = choice.sampler.Choose(task->logits, {mask, forbidden});
  }
  if (task->sampled.token < 0) {
    task->impossible = task->sampled.bad_logits == 0;
    task->error = task->sampled.bad_logits > 0
                      ? "the model gave no usable logits (NaN or infinite)"
                      : "no token is allowed by the constraints of this request";
    return;
  }
  if (sampling.logprobs) {
    // As vLLM has it: a grammar shows in the log-probabilities, allowed_token_ids do not.
    const std::span<const uint32_t> shown = choice.grammar ? mask : std::span<const uint32_t>();
    task->logprobs.push_back(
        LogprobsOf(Masked(task->logits, shown), task->sampled.token, *sampling.logprobs));
  }
  if (choice.watch && choice.watch->WantsEntropy()) {
    const float peak = FindPeak(task->logits).value;
    task->entropy = static_cast<float>(MeasureSpread(task->logits, peak).entropy);
  }
}

}  // namespace

StepLogprobs LogprobsOf(std::span<const float> logits, int32_t token, int64_t count) {
  const double log_sum = MeasureSpread(logits, FindPeak(logits).value).log_sum;
  const auto entry = [&](int32_t id, int64_t rank) {
    const double logit = static_cast<double>(logits[static_cast<size_t>(id)]);
    return TokenLogprob{.token = id, .logprob = static_cast<float>(logit - log_sum), .rank = rank};
  };
  StepLogprobs result;
  result.chosen = entry(token, CountLarger(logits, logits[static_cast<size_t>(token)]) + 1);
  const int64_t wanted = count < 0 ? static_cast<int64_t>(logits.size()) : count;
  int64_t rank = 0;
  for (const int32_t id : LargestLogits(logits, wanted)) result.top.push_back(entry(id, ++rank));
  return result;
}

void RunSampleTasks(std::span<SampleTask> tasks) {
  ParallelFor(tasks.size(), 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      try {
        RunTask(&tasks[i]);
      } catch (const UserError& error) {  // a grammar that cannot go on
        tasks[i].error = error.what();
      }
    }
  });
}

}  // namespace ingot
