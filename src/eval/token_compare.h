// SPDX-License-Identifier: Apache-2.0
// The answers of two models to the same samples, and how far apart their distributions are at every
// token. The models run one after the other, so that time and memory are each one's own; the first
// one's logits wait in a spill file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "eval/report.h"
#include "prompt/dataset.h"
#include "quant/spill_file.h"

namespace ingot {

// Where the first model's answers are kept until the second model has read them.
class AnswerStore {
 public:
  // A nameless file inside `dir`: it is gone when the process ends, however it ends.
  explicit AnswerStore(const std::filesystem::path& dir);
  void Append(std::span<const float> logits);
  void Read(uint64_t first, std::span<float> logits) const;
  uint64_t size() const { return size_; }

 private:
  SpillFile file_;
  uint64_t size_ = 0;  // float32 values
};

struct RecordedAnswer {
  std::vector<int32_t> prompt;  // token ids, to prove that both models read the same
  std::vector<int32_t> tokens;  // the answer, with the token that ended it
  std::string text;
  uint64_t first_logit = 0;  // place in the store; vocab_limit values for each of `tokens`
};

struct TokenCompareOptions {
  int64_t max_tokens = 64;
  std::string instruction;
  bool skip_bad_samples = false;
  bool thumbnails = true;
};

// What a run of one model costs.
struct RunCost {
  double prefill_seconds = 0, decode_seconds = 0, total_seconds = 0;
  int64_t prefill_tokens = 0, decode_tokens = 0;
};

class TokenCompare {
 public:
  TokenCompare(const Dataset& dataset, const TokenCompareOptions& options,
               const std::filesystem::path& spill_dir);

  // First model a, then model b. Errors: UserError when the two read different prompts or have
  // vocabularies of different size; InterruptedError.
  void RunFirst(Engine& engine);
  void RunSecond(Engine& engine);

  const RunCost& cost_a() const { return cost_a_; }
  const RunCost& cost_b() const { return cost_b_; }
  std::vector<SampleFigures> TakeSamples() { return std::move(samples_); }
  // The samples of the data set that were answered, in the order of TakeSamples.
  const std::vector<size_t>& answered() const { return answered_; }
  Conversation ConversationOf(size_t index) const;  // of the data set, with the instruction
  int64_t n_not_finite() const { return n_not_finite_; }
  const std::vector<std::string>& skipped() const { return skipped_; }

 private:
  void RecordSample(Engine& engine, size_t index);
  void CompareSample(Engine& engine, size_t row);

  const Dataset& dataset_;
  TokenCompareOptions options_;
  AnswerStore store_;
  int64_t vocab_ = 0;
  size_t thumbnail_bytes_ = 0;
  std::vector<size_t> answered_;
  std::vector<RecordedAnswer> recorded_;
  std::vector<SampleFigures> samples_;
  std::vector<std::string> skipped_;
  RunCost cost_a_, cost_b_;
  int64_t n_not_finite_ = 0;  // steps of the second model whose logits are no numbers
};

}  // namespace ingot
