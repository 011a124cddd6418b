// SPDX-License-Identifier: Apache-2.0
#include "model/session.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "checkpoint/model_reader.h"
#include "model/buffer.h"

namespace ingot {
namespace {

size_t Size(int64_t value) { return static_cast<size_t>(value); }

// The deepstack rows of tokens [first, first + count), and what layer `layer` adds to them.
struct DeepstackSlice {
  std::vector<int64_t> rows;  // relative to `first`
  int64_t offset = 0;         // of the first one in the features
};
DeepstackSlice SliceDeepstack(const MergedPrompt& prompt, int64_t first, int64_t count) {
  const auto& all = prompt.visual_rows;
  const auto begin = std::lower_bound(all.begin(), all.end(), first),
             end = std::lower_bound(begin, all.end(), first + count);
  DeepstackSlice slice{.offset = begin - all.begin()};
  for (auto row = begin; row != end; ++row) slice.rows.push_back(*row - first);
  return slice;
}

}  // namespace

QwenVlModel LoadModel(const ModelReader& reader, const LoadOptions& options) {
  RequireSupported(reader.config(), reader.dir());
  return {reader.config(), LoadVisionTower(reader, options), LoadTextModel(reader, options)};
}

Session::Session(const QwenVlModel& model, RunContext context)
    : model_(model), context_(std::move(context)), cache_(model.text.config, context_.precision) {}

MergedPrompt Session::Merge(const ModelInput& input) {
  const int64_t limit = model_.text.config.max_positions,
                n = static_cast<int64_t>(input.token_ids.size());
  if (n == 0) throw UserError("the prompt has no tokens");
  if (limit > 0 && n > limit)
    throw UserError("the prompt has {} tokens, the model takes {}", n, limit);
  std::optional<VisionOutput> images, videos;
  if (!input.images.empty())
    images = RunVisionTower(model_.vision, input.images, "image", context_);
  if (!input.videos.empty())
    videos = RunVisionTower(model_.vision, input.videos, "video", context_);
  MergedPrompt prompt = MergePrompt(model_.config, model_.text.embedding, input,
                                    images ? &*images : nullptr, videos ? &*videos : nullptr);
  Report(context_, {n, model_.text.config.hidden}, prompt.hidden.data(), "text.embeds");
  return prompt;
}

// Tokens [first, first + count) of the prompt through all layers, in place.
void Session::RunChunk(MergedPrompt& prompt, int64_t first, int64_t count, bool cached) {
  const TextConfig& config = model_.text.config;
  const RopeTable rope = MakeTextRope(config, prompt.positions, first, count);
  const DeepstackSlice slice = SliceDeepstack(prompt, first, count);
  float* hidden = prompt.hidden.data() + first * config.hidden;
  for (const DecoderLayer& layer : model_.text.layers) {
    RunDecoderLayer(config, layer, rope, hidden, count,
                    cached ? cache_.layer(layer.index) : nullptr, context_);
    if (layer.index < static_cast<int64_t>(prompt.deepstack.size()) && !slice.rows.empty()) {
      Report(context_, {count, config.hidden}, hidden, "text.layer.{}.out", layer.index);
      const std::vector<float>& features = prompt.deepstack[Size(layer.index)];
      AddToRows(hidden, config.hidden, slice.rows, features.data() + slice.offset * config.hidden);
    }
    Report(context_, {count, config.hidden}, hidden, "text.layer.{}.next", layer.index);
  }
}

std::span<const float> Session::LastLogits(float* hidden_row) {
  logits_.resize(Size(model_.text.head.head.out));
  RunHead(model_.text.head, hidden_row, 1, logits_.data(), context_);
  return logits_;
}

std::span<const float> Session::Prefill(const ModelInput& input, int64_t chunk) {
  cache_.Truncate(0);
  MergedPrompt prompt = Merge(input);
  positions_ = prompt.positions;
  const int64_t n = positions_.size(), width = model_.text.config.hidden;
  for (int64_t first = 0; first < n;) {
    const int64_t count = chunk > 0 ? std::min(chunk, n - first) : n - first;
    RunChunk(prompt, first, count, /*cached=*/true);
    first += count;
  }
  float* last = prompt.hidden.data() + (n - 1) * width;
  if (context_.observe) {
    RunFinalNorm(model_.text.config, model_.text.head, prompt.hidden.data(), n, context_);
  } else {
    RunFinalNorm(model_.text.config, model_.text.head, last, 1, context_);
  }
  const std::span<const float> logits = LastLogits(last);
  Report(context_, {static_cast<int64_t>(logits.size())}, logits.data(), "logits.last");
  return logits;
}

std::span<const float> Session::Step(int32_t token) {
  const TextConfig& config = model_.text.config;
  const int64_t slot = cache_.size();
  if (slot == 0) throw InternalError("Session::Step before Prefill");
  if (config.max_positions > 0 && slot >= config.max_positions) {
    throw UserError("the sequence has reached the model's limit of {} tokens",
                    config.max_positions);
  }
  std::vector<float> hidden(Size(config.hidden));
  EmbedTokens(model_.text.embedding, {&token, 1}, hidden.data());
  const RopeTable rope = MakeTextRope(config, positions_, slot, 1);
  const RunContext quiet{.precision = context_.precision, .observe = {}, .hook = context_.hook};
  for (const DecoderLayer& layer : model_.text.layers) {
    RunDecoderLayer(config, layer, rope, hidden.data(), 1, cache_.layer(layer.index), quiet);
  }
  RunFinalNorm(config, model_.text.head, hidden.data(), 1, quiet);
  return LastLogits(hidden.data());
}

std::vector<float> Session::AllLogits(const ModelInput& input) {
  MergedPrompt prompt = Merge(input);
  const int64_t n = prompt.positions.size(), vocab = model_.text.head.head.out;
  RunChunk(prompt, 0, n, /*cached=*/false);
  RunFinalNorm(model_.text.config, model_.text.head, prompt.hidden.data(), n, context_);
  std::vector<float> logits(Size(n * vocab));
  RunHead(model_.text.head, prompt.hidden.data(), n, logits.data(), context_);
  Report(context_, {n, vocab}, logits.data(), "logits.all");
  return logits;
}

}  // namespace ingot
