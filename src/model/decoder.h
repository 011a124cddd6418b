// SPDX-License-Identifier: Apache-2.0
// The Qwen3-VL text decoder (dense). Layers can be loaded and run one at a time on one sample's
// hidden states; a whole sequence with a KV cache is model/session.h. Formulas: docs/model.md;
// huggingface/transformers: src/transformers/models/qwen3_vl/modeling_qwen3_vl.py.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "checkpoint/config.h"
#include "model/kv_cache.h"
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

// hidden [n_tokens, hidden] in place. `rope` holds the rows of these tokens. kv null: the tokens
// are a whole sequence (causal attention among themselves); else they continue the sequence in kv
// and are appended to it. Observed: q_rot, k_rot, attn, mlp; the layer's output is hidden itself.
void RunDecoderLayer(const TextConfig& config, const DecoderLayer& layer, const RopeTable& rope,
                     float* hidden, int64_t n_tokens, KvLayer* kv, const RunContext& context);

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

// hidden[i] = embedding[ids[i]], widened.
void EmbedTokens(const Weight& embedding, std::span<const int32_t> token_ids, float* hidden);

}  // namespace ingot
