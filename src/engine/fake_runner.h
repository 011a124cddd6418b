// SPDX-License-Identifier: Apache-2.0
// A small machine in the place of the model, for tests: it stores a hash of each token's whole
// prefix in the token's slot of its page, and makes logits from all slots that a token can see.
// An answer is right only if every page was shared, copied and given back rightly.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

#include "engine/model_runner.h"

namespace ingot {

constexpr int32_t kFakeImageToken = 5;
constexpr int32_t kFakeStop = 3;

inline uint64_t FakeMix(uint64_t a, uint64_t b) {
  uint64_t x = a * 0x9e3779b97f4a7c15u + b + 0x632be59bd9b4e019u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  return x ^ (x >> 29);
}

// The state of one sequence: the last token's hash, and the sum over all tokens.
struct FakeState {
  uint64_t last = 1, sum = 0;
  void Push(int32_t token, float visual) {
    last = FakeMix(FakeMix(last, static_cast<uint64_t>(token)), std::bit_cast<uint32_t>(visual));
    sum += last;
  }
};

inline float FakeRowOf(std::span<const float> patches, int64_t row) {
  uint64_t hash = 7;
  for (const float patch : patches) hash = FakeMix(hash, std::bit_cast<uint32_t>(patch));
  return static_cast<float>(FakeMix(hash, static_cast<uint64_t>(row)) >> 40);
}

struct FakeOptions {
  int64_t n_pages = 64;
  int64_t vocab = 2048, vocab_limit = 2000;
  int64_t max_positions = 100000;
  bool stops = true;  // now and then the end of the turn is the most likely token
  std::function<void(int64_t step)> before_step;                   // may throw
  std::function<void(int64_t slot, std::span<float>)> change_row;  // of logits
};

inline void FakeLogits(const FakeState& state, const FakeOptions& options, int64_t slot,
                       std::span<float> row) {
  const uint64_t seed = FakeMix(state.last, state.sum);
  for (size_t i = 0; i < row.size(); ++i)
    row[i] = static_cast<float>((seed * (2 * i + 1)) >> 44) * 0x1p-17f;  // 0 to 8
  for (size_t i = static_cast<size_t>(options.vocab_limit); i < row.size(); ++i) row[i] = 50;
  row[kFakeImageToken] = -20;
  row[kFakeStop] = options.stops && seed % 40 == 0 ? 30 : -20;
  if (options.change_row) options.change_row(slot, row);
}

class FakeRunner : public ModelRunner {
 public:
  explicit FakeRunner(FakeOptions options)
      : options_(std::move(options)),
        pool_(TextConfig{.hidden = 2, .n_layers = 1, .n_heads = 1, .n_kv_heads = 1, .head_dim = 2},
              KvType::kF32, options_.n_pages),
        facts_{.vocab = options_.vocab,
               .vocab_limit = options_.vocab_limit,
               .max_positions = options_.max_positions,
               .stop_ids = {kFakeStop}} {}

  const ModelFacts& facts() const override { return facts_; }
  KvPool* pool() override { return &pool_; }

  std::span<const float> Run(std::span<const SequenceStep> steps) override {
    if (options_.before_step) options_.before_step(n_steps);
    ++n_steps;
    largest_batch = std::max(largest_batch, static_cast<int64_t>(steps.size()));
    logits_.clear();
    for (const SequenceStep& step : steps) RunOne(step);
    return logits_;
  }

  std::unique_ptr<PictureRun> StartPicture(const PreparedPrompt& prompt, bool video,
                                           int64_t index) override;
  RopePositions Positions(const PreparedPrompt&) const override { return {}; }
  int64_t PictureTokens(const Grid& grid) const override { return grid.n_tokens(2); }

  int64_t n_steps = 0, n_tokens = 0, largest_batch = 0, n_pictures = 0, n_slices = 0;
  std::vector<char> trace;  // 'D' a step with a decode, 'P' one without, 'V' a slice

 private:
  uint64_t* Slot(KvSequence* sequence, int64_t token) {
    std::byte* page = sequence->data()[token / kKvPageTokens];
    return reinterpret_cast<uint64_t*>(page) + token % kKvPageTokens;
  }

  void RunOne(const SequenceStep& step) {
    KvSequence* sequence = step.sequence;
    const auto n = static_cast<int64_t>(step.tokens.size());
    if (n == 0 || !sequence->Reserve(n)) throw std::runtime_error("no tokens or no pages");
    FakeState state;
    const int64_t past = sequence->length();
    for (int64_t t = 0; t < past; ++t) {
      state.last = *Slot(sequence, t);
      state.sum += state.last;
    }
    trace.push_back(n == 1 && past > 0 ? 'D' : 'P');
    std::vector<float> row(static_cast<size_t>(options_.vocab));
    for (int64_t i = 0; i < n; ++i) {
      const int32_t token = step.tokens[static_cast<size_t>(i)];
      state.Push(token, token == kFakeImageToken ? Visual(step, past + i) : 0.0f);
      *Slot(sequence, past + i) = state.last;
      if (!step.each_logits && (i + 1 < n || !step.last_logits)) continue;
      FakeLogits(state, options_, past + i, row);
      if (step.each_logits) step.each_logits(past + i, row);
      if (i + 1 == n && step.last_logits) logits_.insert(logits_.end(), row.begin(), row.end());
    }
    n_tokens += n;
    sequence->Advance(n);
  }

  static float Visual(const SequenceStep& step, int64_t slot) {
    for (const VisualRows& rows : step.visual) {
      if (slot >= rows.first && slot < rows.first + rows.count)
        return rows.source->embeds[static_cast<size_t>(rows.source_row + slot - rows.first)];
    }
    throw std::runtime_error("a picture token without its picture");
  }

  FakeOptions options_;
  KvPool pool_;
  ModelFacts facts_;
  std::vector<float> logits_;
  friend class FakePictureRun;
};

class FakePictureRun : public PictureRun {
 public:
  FakePictureRun(FakeRunner* runner, std::vector<float> patches, int64_t n_tokens)
      : runner_(runner), patches_(std::move(patches)), n_tokens_(n_tokens) {}
  bool RunSlice(double) override {
    ++runner_->n_slices;
    runner_->trace.push_back('V');
    return ++slices_ * 4 >= n_tokens_;
  }
  PictureFeatures Take() override {
    ++runner_->n_pictures;
    auto output = std::make_shared<VisionOutput>();
    output->n_tokens = n_tokens_;
    for (int64_t row = 0; row < n_tokens_; ++row)
      output->embeds.push_back(FakeRowOf(patches_, row));
    return output;
  }

 private:
  FakeRunner* runner_;
  std::vector<float> patches_;
  int64_t n_tokens_, slices_ = 0;
};

inline std::unique_ptr<PictureRun> FakeRunner::StartPicture(const PreparedPrompt& prompt, bool,
                                                            int64_t index) {
  const VisionInput& input = prompt.images;
  size_t first = 0;
  for (int64_t i = 0; i < index; ++i)
    first += static_cast<size_t>(input.grids[static_cast<size_t>(i)].n_patches());
  const Grid& grid = input.grids[static_cast<size_t>(index)];
  const auto begin = input.patches.begin() + static_cast<std::ptrdiff_t>(first);
  return std::make_unique<FakePictureRun>(this, std::vector<float>(begin, begin + grid.n_patches()),
                                          grid.n_tokens(2));
}

// A prompt of plain tokens.
inline PreparedPrompt FakePrompt(std::vector<int32_t> ids) {
  PreparedPrompt prompt;
  prompt.ids = std::move(ids);
  prompt.kinds.assign(prompt.ids.size(), TokenKind::kText);
  return prompt;
}

// Appends a picture of side x side patches (side even) whose content is `content`, then `text`.
inline void AddFakePicture(PreparedPrompt* prompt, int64_t side, int content,
                           const std::vector<int32_t>& text) {
  prompt->images.patch_values = 1;
  prompt->images.grids.push_back({1, side, side});
  for (int64_t i = 0; i < side * side; ++i)
    prompt->images.patches.push_back(static_cast<float>(content * 100 + i));
  const auto n = static_cast<size_t>(side * side / 4);
  prompt->ids.insert(prompt->ids.end(), n, kFakeImageToken);
  prompt->kinds.insert(prompt->kinds.end(), n, TokenKind::kImage);
  prompt->ids.insert(prompt->ids.end(), text.begin(), text.end());
  prompt->kinds.insert(prompt->kinds.end(), text.size(), TokenKind::kText);
}

// What the machine answers greedily, computed straight.
inline std::vector<int32_t> FakeGreedyAnswer(const PreparedPrompt& prompt,
                                             const FakeOptions& options, int64_t max_tokens) {
  FakeState state;
  int64_t picture = -1, row = 0, slot = 0;
  size_t first = 0, count = 0;
  for (const int32_t token : prompt.ids) {
    float visual = 0;
    if (token == kFakeImageToken) {
      if (picture < 0 || row == prompt.images.grids[static_cast<size_t>(picture)].n_tokens(2)) {
        first += count;
        row = 0;
        count =
            static_cast<size_t>(prompt.images.grids[static_cast<size_t>(++picture)].n_patches());
      }
      visual = FakeRowOf(std::span(prompt.images.patches).subspan(first, count), row++);
    }
    state.Push(token, visual);
    ++slot;
  }
  std::vector<int32_t> answer;
  std::vector<float> logits(static_cast<size_t>(options.vocab));
  while (static_cast<int64_t>(answer.size()) < max_tokens) {
    FakeLogits(state, options, slot - 1, logits);
    const auto end = logits.begin() + options.vocab_limit;
    const auto token = static_cast<int32_t>(std::max_element(logits.begin(), end) - logits.begin());
    answer.push_back(token);
    if (token == kFakeStop) break;
    state.Push(token, 0);
    ++slot;
  }
  return answer;
}

}  // namespace ingot
