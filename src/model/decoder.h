// SPDX-License-Identifier: Apache-2.0
// The Qwen3-VL text decoder (dense). Layers can be loaded and run one at a time on one sample's
// hidden states; sequences with cached keys and values are model/runner.h. Formulas: docs/model.md;
// huggingface/transformers: src/transformers/models/qwen3_vl/modeling_qwen3_vl.py.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "checkpoint/config.h"
#include "kernels/attention.h"
#include "model/linear.h"
#include "model/observe.h"
#include "model/rope.h"
#include "model/vision_tower.h"

namespace ingot {

class ModelReader;

struct DecoderLayer {
  int64_t index = 0;
  std::vector<float> input_norm, post_attention_norm;  // [hidden]
  std::vector<float> q_norm, k_norm;                   // [head_dim]
  Linear q, k, v, o, gate, up, down;
};

struct TextHead {
  std::vector<float> norm;  // [hidden]
  Linear head;              // [vocab, hidden]; the embedding when tied
};

struct TextModel {
  TextConfig config;
  Weight embedding;  // [vocab, hidden]
  std::vector<DecoderLayer> layers;
  TextHead head;
};

Weight LoadEmbedding(const ModelReader& reader);
DecoderLayer LoadDecoderLayer(const ModelReader& reader, int64_t layer,
                              const LoadOptions& options = {});
TextHead LoadTextHead(const ModelReader& reader, const LoadOptions& options = {});
TextModel LoadTextModel(const ModelReader& reader, const LoadOptions& options = {});

// Rows [first, first + n) of a batch: the tokens behind the first `past` ones of one sequence.
struct SequenceRows {
  int64_t first = 0, n = 0, past = 0;
  std::byte* const* pages = nullptr;  // of past + n tokens
};
// Where a layer finds keys and values: its part of each sequence's pages.
struct LayerKv {
  AttentionLayout layout;
  size_t offset = 0;  // of the layer's part in a page
  std::span<const SequenceRows> sequences;  // all rows of the batch
};

// Memory of a layer's run, kept between runs.
struct LayerWorkspace {
  Scratch y, q, k, v, attended, wide;
  std::vector<AttentionStore> stores;
  std::vector<AttentionJob> jobs;
  AttentionPages own;
};

// hidden [n_rows, hidden] in place; `rope` holds the positions of these rows. Keys and values of
// the new tokens go to the pages. A row's result depends on its own sequence alone. Observed: q_rot,
// k_rot, attn, mlp; the layer's output is hidden itself.
void RunDecoderLayer(const TextConfig& config, const DecoderLayer& layer, const RopeTable& rope,
                     float* hidden, int64_t n_rows, const LayerKv& kv, LayerWorkspace* workspace,
                     const RunContext& context);
// One whole sequence, nothing kept.
void RunDecoderLayer(const TextConfig& config, const DecoderLayer& layer, const RopeTable& rope,
                     float* hidden, int64_t n_tokens, const RunContext& context);

// hidden[rows[i]] += features[i], the deepstack addition after text layer K (K = 0, 1, 2).
void AddToRows(float* hidden, int64_t width, std::span<const int64_t> rows, const float* features);

// Final norm in place; then logits [n_tokens, vocab] of normed rows (which a hook may rewrite).
void RunFinalNorm(const TextConfig& config, const TextHead& head, float* hidden, int64_t n_tokens,
                  const RunContext& context);
void RunHead(const TextHead& head, float* normed, int64_t n_tokens, float* logits,
             const RunContext& context);

// One request as the model takes it.
struct ModelInput {
  std::vector<int32_t> token_ids;  // placeholders expanded: one image or video token per visual row
  VisualInput images, videos;
  PositionRule rule = PositionRule::kV5;
};

// The input of text layer 0 for a whole prompt.
struct MergedPrompt {
  std::vector<float> hidden;  // [n_tokens, hidden]
  RopePositions positions;
  std::vector<int64_t> visual_rows;           // token indexes of visual rows, ascending
  std::vector<std::vector<float>> deepstack;  // per text layer K: [visual_rows, hidden]
};

// Embeds the tokens and puts the visual rows in their places. `images`, `videos`: outputs of the
// vision tower (null when there is none). Errors: UserError on a token outside the vocabulary or a
// wrong number of placeholders.
MergedPrompt MergePrompt(const ModelConfig& config, const Weight& embedding,
                         const ModelInput& input, const VisionOutput* images,
                         const VisionOutput* videos);

// Tokens [first, first + count) of a prompt are rows from `source_row` on of a tower's output.
struct VisualRows {
  int64_t first = 0, count = 0;
  const VisionOutput* source = nullptr;
  int64_t source_row = 0;
};
// Where the rows of the pictures' and of the videos' outputs go: one after another to the image and
// video tokens of the prompt. Ascending. Errors: UserError when there are more or fewer rows than
// tokens.
std::vector<VisualRows> PlaceVisualRows(const ModelConfig& config,
                                        std::span<const int32_t> token_ids,
                                        std::span<const VisionOutput* const> images,
                                        std::span<const VisionOutput* const> videos);

// hidden[i] = embedding[ids[i]], widened.
void EmbedTokens(const Weight& embedding, std::span<const int32_t> token_ids, float* hidden);

}  // namespace ingot
