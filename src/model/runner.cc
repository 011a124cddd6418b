// SPDX-License-Identifier: Apache-2.0
#include "model/runner.h"

#include <algorithm>

#include "base/error.h"
#include "base/thread_pool.h"
#include "checkpoint/model_reader.h"
#include "kernels/kernels.h"
#include "model/buffer.h"

namespace ingot {
namespace {

// Rows that go through the head at once when the logits of a whole prompt are wanted: bounds memory.
constexpr int64_t kHeadRows = 32;

size_t Size(int64_t value) { return static_cast<size_t>(value); }

// The part of visual rows that lies in slots [first, first + n): calls body(row of the step, count,
// source, source row).
template <typename Body>
void ForVisual(std::span<const VisualRows> visual, int64_t first, int64_t n, Body body) {
  for (const VisualRows& rows : visual) {
    const int64_t begin = std::max(rows.first, first),
                  end = std::min(rows.first + rows.count, first + n);
    if (begin < end)
      body(begin - first, end - begin, *rows.source, rows.source_row + begin - rows.first);
  }
}

}  // namespace

QwenVlModel LoadModel(const ModelReader& reader, const LoadOptions& options) {
  RequireSupported(reader.config(), reader.dir());
  return {reader.config(), LoadVisionTower(reader, options), LoadTextModel(reader, options)};
}

TextRunner::TextRunner(const QwenVlModel& model, RunContext context)
    : model_(model), context_(std::move(context)), rope_(model.text.config) {}

void TextRunner::Check(std::span<const SequenceStep> steps) const {
  const int64_t limit = model_.text.config.max_positions, rows = model_.text.embedding.rows();
  for (const SequenceStep& step : steps) {
    if (step.sequence == nullptr || step.tokens.empty())
      throw InternalError("a step without a sequence or without tokens");
    const int64_t length = step.sequence->length() + static_cast<int64_t>(step.tokens.size());
    if (limit > 0 && length > limit) {
      throw UserError("the sequence has {} tokens, the model takes {}", length, limit);
    }
    for (size_t i = 0; i < step.tokens.size(); ++i) {
      if (step.tokens[i] < 0 || step.tokens[i] >= rows) {
        throw UserError("token {}: id {} is outside the vocabulary of {}",
                        step.sequence->length() + static_cast<int64_t>(i), step.tokens[i], rows);
      }
    }
  }
}

void TextRunner::Reserve(std::span<const SequenceStep> steps) {
  rows_.clear();
  n_rows_ = 0;
  for (const SequenceStep& step : steps) {
    const int64_t n = static_cast<int64_t>(step.tokens.size());
    KvSequence& sequence = *step.sequence;
    if (!sequence.Reserve(n)) {
      throw ResourceError("no pages for {} more tokens: all {} pages of keys and values are in use",
                          n, sequence.pool()->max_pages());
    }
    rows_.push_back(
        {.first = n_rows_, .n = n, .past = sequence.length(), .pages = sequence.data()});
    n_rows_ += n;
  }
}

void TextRunner::Embed(std::span<const SequenceStep> steps) {
  const int64_t width = model_.text.config.hidden;
  float* hidden = Floats(&hidden_, n_rows_ * width);
  rope_.Resize(n_rows_, &table_);
  for (size_t i = 0; i < steps.size(); ++i) {
    const SequenceStep& step = steps[i];
    const SequenceRows& rows = rows_[i];
    float* begin = hidden + rows.first * width;
    EmbedTokens(model_.text.embedding, step.tokens, begin);
    ForVisual(step.visual, rows.past, rows.n,
              [&](int64_t row, int64_t count, const VisionOutput& source, int64_t from) {
                std::copy_n(source.embeds.data() + from * width, count * width,
                            begin + row * width);
              });
    rope_.Fill(step.positions, rows.past, rows.n, rows.first, &table_);
  }
}

void TextRunner::AddDeepstack(std::span<const SequenceStep> steps, int64_t layer) {
  const int64_t width = model_.text.config.hidden;
  const size_t tap = Size(layer);
  for (size_t i = 0; i < steps.size(); ++i) {
    float* begin = hidden() + rows_[i].first * width;
    ForVisual(steps[i].visual, rows_[i].past, rows_[i].n,
              [&](int64_t row, int64_t count, const VisionOutput& source, int64_t from) {
                if (tap >= source.deepstack.size()) return;
                Kernels().add(begin + row * width, source.deepstack[tap].data() + from * width,
                              Size(count * width));
              });
  }
}

void TextRunner::RunLayers(std::span<const SequenceStep> steps) {
  const TextConfig& config = model_.text.config;
  const AttentionLayout& layout = steps.front().sequence->pool()->layout();
  const bool visual =
      std::any_of(steps.begin(), steps.end(), [](const auto& step) { return !step.visual.empty(); });
  const int64_t taps = static_cast<int64_t>(model_.config.vision.deepstack_indexes.size());
  for (const DecoderLayer& layer : model_.text.layers) {
    const LayerKv kv{.layout = layout,
                     .offset = Size(layer.index) * layout.Bytes(),
                     .sequences = rows_};
    RunDecoderLayer(config, layer, table_, hidden(), n_rows_, kv, &workspace_, context_);
    if (visual && layer.index < taps) {
      Report(context_, {n_rows_, config.hidden}, hidden(), "text.layer.{}.out", layer.index);
      AddDeepstack(steps, layer.index);
    }
    Report(context_, {n_rows_, config.hidden}, hidden(), "text.layer.{}.next", layer.index);
  }
}

void TextRunner::RunEachLogits(const SequenceStep& step, const float* rows) {
  const int64_t width = model_.text.config.hidden, n = static_cast<int64_t>(step.tokens.size());
  const RunContext quiet{.precision = context_.precision, .observe = {}, .hook = context_.hook};
  float* normed = Floats(&some_rows_, kHeadRows * width);
  for (int64_t first = 0; first < n; first += kHeadRows) {
    const int64_t count = std::min(kHeadRows, n - first);
    float* logits = Floats(&some_logits_, count * vocab());
    std::copy_n(rows + first * width, count * width, normed);
    RunFinalNorm(model_.text.config, model_.text.head, normed, count, quiet);
    RunHead(model_.text.head, normed, count, logits, quiet);
    for (int64_t i = 0; i < count; ++i) {
      step.each_logits(step.sequence->length() + first + i,
                       {logits + i * vocab(), Size(vocab())});
    }
  }
}

std::span<const float> TextRunner::RunLogits(std::span<const SequenceStep> steps) {
  const TextConfig& config = model_.text.config;
  const int64_t width = config.hidden;
  float* last = Floats(&last_, static_cast<int64_t>(steps.size()) * width);
  int64_t count = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    const float* rows = hidden() + rows_[i].first * width;
    if (steps[i].last_logits)
      std::copy_n(rows + (rows_[i].n - 1) * width, width, last + count++ * width);
    if (steps[i].each_logits) RunEachLogits(steps[i], rows);
  }
  if (context_.observe) RunFinalNorm(config, model_.text.head, hidden(), n_rows_, context_);
  if (count == 0) return {};
  const RunContext quiet{.precision = context_.precision, .observe = {}, .hook = context_.hook};
  float* logits = Floats(&logits_, count * vocab());
  RunFinalNorm(config, model_.text.head, last, count, quiet);
  RunHead(model_.text.head, last, count, logits, quiet);
  return {logits, Size(count * vocab())};
}

std::span<const float> TextRunner::Run(std::span<const SequenceStep> steps) {
  if (steps.empty()) return {};
  Check(steps);
  Reserve(steps);
  Embed(steps);
  RunLayers(steps);
  const std::span<const float> logits = RunLogits(steps);
  for (size_t i = 0; i < steps.size(); ++i) steps[i].sequence->Advance(rows_[i].n);
  return logits;
}

}  // namespace ingot
