// SPDX-License-Identifier: Apache-2.0
// The decoder from top to bottom. H = hidden, A and K = query and key/value heads, d = head_dim.
#include "model/decoder.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/thread_pool.h"
#include "kernels/attention.h"
#include "kernels/kernels.h"
#include "kernels/ops.h"
#include "model/buffer.h"
#include "model/kv_type.h"

namespace ingot {
namespace {

size_t Size(int64_t value) { return static_cast<size_t>(value); }

// Stores the new keys and values, then attends. q, attended: [n, A, d]; k, v: [n, K, d].
void Attend(const TextConfig& config, const LayerKv& kv, const float* q, const float* k,
            const float* v, float* attended, LayerWorkspace* workspace) {
  const int64_t A = config.n_heads, K = config.n_kv_heads, d = config.head_dim;
  workspace->stores.clear();
  workspace->jobs.clear();
  for (const SequenceRows& rows : kv.sequences) {
    workspace->stores.push_back({.layout = kv.layout,
                                 .pages = rows.pages,
                                 .offset = kv.offset,
                                 .first = Size(rows.past),
                                 .n = Size(rows.n),
                                 .k = k + rows.first * K * d,
                                 .v = v + rows.first * K * d,
                                 .stride = Size(K * d)});
    workspace->jobs.push_back({.layout = kv.layout,
                               .pages = rows.pages,
                               .offset = kv.offset,
                               .n_queries = Size(rows.n),
                               .group = Size(A / K),
                               .q = q + rows.first * A * d,
                               .q_stride = Size(A * d),
                               .out = attended + rows.first * A * d,
                               .out_stride = Size(A * d),
                               .n_keys = Size(rows.past + rows.n),
                               .causal = true,
                               .scale = 1.0f / std::sqrt(static_cast<float>(d))});
  }
  RunStores(workspace->stores);
  RunAttention(workspace->jobs);
}

// y [n, H] normed -> attention output after o_proj, in place. False when a site was the last wanted.
bool RunAttentionPart(const TextConfig& config, const DecoderLayer& layer, const RopeTable& rope,
                      float* y, int64_t n, const LayerKv& kv, LayerWorkspace* workspace,
                      const RunContext& context) {
  const int64_t A = config.n_heads, K = config.n_kv_heads, d = config.head_dim;
  float* q = Floats(&workspace->q, n * A * d);
  float* k = Floats(&workspace->k, n * K * d);
  float* v = Floats(&workspace->v, n * K * d);
  if (!AtSite(context, layer.q.site, y, n, config.hidden)) return false;
  const LinearOutput qkv[] = {{&layer.q, q}, {&layer.k, k}, {&layer.v, v}};
  RunLinears(qkv, y, n, context.precision);

  RmsNormRows(q, layer.q_norm.data(), config.rms_eps, Size(n * A), Size(d), q);
  RmsNormRows(k, layer.k_norm.data(), config.rms_eps, Size(n * K), Size(d), k);
  RopeRows(q, Size(A * d), Size(n), Size(A), rope.cos.data(), rope.sin.data(), Size(d / 2));
  RopeRows(k, Size(K * d), Size(n), Size(K), rope.cos.data(), rope.sin.data(), Size(d / 2));
  Report(context, {n, A, d}, q, "text.layer.{}.q_rot", layer.index);
  Report(context, {n, K, d}, k, "text.layer.{}.k_rot", layer.index);

  float* attended = Floats(&workspace->attended, n * A * d);
  Attend(config, kv, q, k, v, attended, workspace);
  if (!AtSite(context, layer.o.site, attended, n, A * d)) return false;
  RunLinear(layer.o, attended, n, y, context.precision);
  Report(context, {n, config.hidden}, y, "text.layer.{}.attn", layer.index);
  return true;
}

// y [n, H] normed -> down(silu(gate) * up), in place. False when a site was the last wanted.
bool RunMlpPart(const DecoderLayer& layer, float* y, int64_t n, LayerWorkspace* workspace,
                const RunContext& context) {
  float* gated = Floats(&workspace->wide, n * layer.gate.out);
  if (!AtSite(context, layer.gate.site, y, n, layer.gate.in)) return false;
  RunGated(layer.gate, layer.up, y, n, gated, context.precision);
  if (!AtSite(context, layer.down.site, gated, n, layer.down.in)) return false;
  RunLinear(layer.down, gated, n, y, context.precision);
  Report(context, {n, layer.down.out}, y, "text.layer.{}.mlp", layer.index);
  return true;
}

// Hands out the rows of outputs one after another.
class RowSource {
 public:
  RowSource(std::span<const VisionOutput* const> outputs, const char* what)
      : outputs_(outputs), what_(what) {}

  VisualRows Next(int64_t token) {
    while (output_ < outputs_.size() && row_ == outputs_[output_]->n_tokens) ++output_, row_ = 0;
    if (output_ == outputs_.size()) {
      throw UserError("token {}: {} token number {}, but the vision tower gave {} rows", token,
                      what_, used_ + 1, used_);
    }
    ++used_;
    return {token, 1, outputs_[output_], row_++};
  }
  void RequireAllUsed() const {
    int64_t given = 0;
    for (const VisionOutput* output : outputs_) given += output->n_tokens;
    if (given != used_) {
      throw UserError("{} {} tokens in the prompt, but the vision tower gave {} rows", used_, what_,
                      given);
    }
  }

 private:
  std::span<const VisionOutput* const> outputs_;
  const char* what_;
  size_t output_ = 0;
  int64_t row_ = 0, used_ = 0;
};

}  // namespace

// x += o(attention(q, k, v of RMS(x)));  x += down(silu(gate) * up of RMS(x)).
void RunDecoderLayer(const TextConfig& config, const DecoderLayer& layer, const RopeTable& rope,
                     float* hidden, int64_t n_rows, const LayerKv& kv, LayerWorkspace* workspace,
                     const RunContext& context) {
  if (rope.n_tokens != n_rows)
    throw InternalError("layer {}: {} tokens, rope of {}", layer.index, n_rows, rope.n_tokens);
  const int64_t width = config.hidden;
  float* y = Floats(&workspace->y, n_rows * width);  // [n, H]
  RmsNormRows(hidden, layer.input_norm.data(), config.rms_eps, Size(n_rows), Size(width), y);
  if (!RunAttentionPart(config, layer, rope, y, n_rows, kv, workspace, context)) return;
  AddInto(hidden, y, Size(n_rows * width));

  RmsNormRows(hidden, layer.post_attention_norm.data(), config.rms_eps, Size(n_rows), Size(width),
              y);
  if (!RunMlpPart(layer, y, n_rows, workspace, context)) return;
  AddInto(hidden, y, Size(n_rows * width));
}

void RunDecoderLayer(const TextConfig& config, const DecoderLayer& layer, const RopeTable& rope,
                     float* hidden, int64_t n_tokens, const RunContext& context) {
  LayerWorkspace workspace;
  const AttentionLayout layout{.n_kv_heads = Size(config.n_kv_heads),
                               .head_dim = Size(config.head_dim),
                               .type = KvTypeOf(context.precision)};
  workspace.own.Reset(layout, Size(n_tokens));
  const SequenceRows rows{.n = n_tokens, .pages = workspace.own.pages()};
  RunDecoderLayer(config, layer, rope, hidden, n_tokens, {.layout = layout, .sequences = {&rows, 1}},
                  &workspace, context);
}

void AddToRows(float* hidden, int64_t width, std::span<const int64_t> rows, const float* features) {
  ParallelFor(rows.size(), 16, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i)
      Kernels().add(hidden + rows[i] * width, features + static_cast<int64_t>(i) * width,
                    Size(width));
  });
}

void RunFinalNorm(const TextConfig& config, const TextHead& head, float* hidden, int64_t n_tokens,
                  const RunContext& context) {
  RmsNormRows(hidden, head.norm.data(), config.rms_eps, Size(n_tokens), Size(config.hidden),
              hidden);
  Report(context, {n_tokens, config.hidden}, hidden, "text.norm");
}

void RunHead(const TextHead& head, float* normed, int64_t n_tokens, float* logits,
             const RunContext& context) {
  if (!AtSite(context, head.head.site, normed, n_tokens, head.head.in)) return;
  RunLinear(head.head, normed, n_tokens, logits, context.precision);
}

void EmbedTokens(const Weight& embedding, std::span<const int32_t> token_ids, float* hidden) {
  for (size_t i = 0; i < token_ids.size(); ++i) {
    if (token_ids[i] < 0 || token_ids[i] >= embedding.rows()) {
      throw UserError("token {}: id {} is outside the vocabulary of {}", i, token_ids[i],
                      embedding.rows());
    }
    embedding.WidenRow(token_ids[i], hidden + static_cast<int64_t>(i) * embedding.cols());
  }
}

std::vector<VisualRows> PlaceVisualRows(const ModelConfig& config,
                                        std::span<const int32_t> token_ids,
                                        std::span<const VisionOutput* const> images,
                                        std::span<const VisionOutput* const> videos) {
  RowSource image(images, "image"), video(videos, "video");
  std::vector<VisualRows> all;
  for (size_t token = 0; token < token_ids.size(); ++token) {
    const bool is_image = token_ids[token] == config.image_token;
    if (!is_image && token_ids[token] != config.video_token) continue;
    const VisualRows row = (is_image ? image : video).Next(static_cast<int64_t>(token));
    if (!all.empty() && all.back().source == row.source &&
        all.back().first + all.back().count == row.first &&
        all.back().source_row + all.back().count == row.source_row) {
      ++all.back().count;
    } else {
      all.push_back(row);
    }
  }
  image.RequireAllUsed();
  video.RequireAllUsed();
  return all;
}

MergedPrompt MergePrompt(const ModelConfig& config, const Weight& embedding,
                         const ModelInput& input, const VisionOutput* images,
                         const VisionOutput* videos) {
  const int64_t width = config.text.hidden;
  MergedPrompt prompt;
  prompt.positions =
      TextPositions(config, input.token_ids, input.images.grids, input.videos.grids, input.rule);
  prompt.hidden.resize(input.token_ids.size() * Size(width));
  EmbedTokens(embedding, input.token_ids, prompt.hidden.data());
  const auto visual = PlaceVisualRows(config, input.token_ids, {&images, images ? 1u : 0u},
                                      {&videos, videos ? 1u : 0u});
  if (visual.empty()) return prompt;
  prompt.deepstack.resize(config.vision.deepstack_indexes.size());
  for (const auto& [first, count, source, row] : visual) {
    std::copy_n(source->embeds.data() + row * width, count * width,
                prompt.hidden.data() + first * width);
    for (int64_t i = 0; i < count; ++i) prompt.visual_rows.push_back(first + i);
    for (size_t k = 0; k < prompt.deepstack.size(); ++k) {
      const float* features = source->deepstack[k].data() + row * width;
      prompt.deepstack[k].insert(prompt.deepstack[k].end(), features, features + count * width);
    }
  }
  return prompt;
}

}  // namespace ingot
