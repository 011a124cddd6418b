// SPDX-License-Identifier: Apache-2.0
// The decoder from top to bottom. H = hidden, A and K = query and key/value heads, d = head_dim.
#include "model/decoder.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/error.h"
#include "base/thread_pool.h"
#include "kernels/attention.h"
#include "kernels/kernels.h"
#include "kernels/ops.h"
#include "model/buffer.h"

namespace ingot {
namespace {

size_t Size(int64_t value) { return static_cast<size_t>(value); }

// Queries of the last n tokens against all that kv holds. q, out: [n, A, d].
AttentionJob MakeJob(const TextConfig& config, const float* q, int64_t n, const KvLayer& kv,
                     float* out) {
  const size_t width = Size(config.n_heads * config.head_dim);
  return {.layout = kv.pages().layout(),
          .n_queries = Size(n),
          .group = Size(config.n_heads / config.n_kv_heads),
          .q = q,
          .q_stride = width,
          .out = out,
          .out_stride = width,
          .keys = kv.pages().keys(),
          .values = kv.pages().values(),
          .n_keys = Size(kv.size()),
          .causal = true,
          .scale = 1.0f / std::sqrt(static_cast<float>(config.head_dim))};
}

// y [n, H] normed -> attention output after o_proj, in place. False when a site was the last wanted.
bool RunAttentionPart(const TextConfig& config, const DecoderLayer& layer, const RopeTable& rope,
                      float* y, int64_t n, KvLayer* kv, const RunContext& context) {
  const int64_t A = config.n_heads, K = config.n_kv_heads, d = config.head_dim;
  const auto q = FloatBuffer(n * A * d), k = FloatBuffer(n * K * d), v = FloatBuffer(n * K * d);
  if (!AtSite(context, layer.q.site, y, n, config.hidden)) return false;
  const LinearOutput qkv[] = {{&layer.q, q.get()}, {&layer.k, k.get()}, {&layer.v, v.get()}};
  RunLinears(qkv, y, n, context.precision);

  RmsNormRows(q.get(), layer.q_norm.data(), config.rms_eps, Size(n * A), Size(d), q.get());
  RmsNormRows(k.get(), layer.k_norm.data(), config.rms_eps, Size(n * K), Size(d), k.get());
  RopeRows(q.get(), Size(A * d), Size(n), Size(A), rope.cos.data(), rope.sin.data(), Size(d / 2));
  RopeRows(k.get(), Size(K * d), Size(n), Size(K), rope.cos.data(), rope.sin.data(), Size(d / 2));
  Report(context, {n, A, d}, q.get(), "text.layer.{}.q_rot", layer.index);
  Report(context, {n, K, d}, k.get(), "text.layer.{}.k_rot", layer.index);

  kv->Append(k.get(), v.get(), n);
  const auto attended = FloatBuffer(n * A * d);
  const AttentionJob job = MakeJob(config, q.get(), n, *kv, attended.get());
  RunAttention({&job, 1});
  if (!AtSite(context, layer.o.site, attended.get(), n, A * d)) return false;
  RunLinear(layer.o, attended.get(), n, y, context.precision);
  Report(context, {n, config.hidden}, y, "text.layer.{}.attn", layer.index);
  return true;
}

// y [n, H] normed -> down(silu(gate) * up), in place. False when a site was the last wanted.
bool RunMlpPart(const DecoderLayer& layer, float* y, int64_t n, const RunContext& context) {
  const auto gate = FloatBuffer(n * layer.gate.out), up = FloatBuffer(n * layer.up.out);
  if (!AtSite(context, layer.gate.site, y, n, layer.gate.in)) return false;
  const LinearOutput outputs[] = {{&layer.gate, gate.get()}, {&layer.up, up.get()}};
  RunLinears(outputs, y, n, context.precision);
  SiluMulInto(gate.get(), up.get(), Size(n * layer.gate.out), gate.get());
  if (!AtSite(context, layer.down.site, gate.get(), n, layer.down.in)) return false;
  RunLinear(layer.down, gate.get(), n, y, context.precision);
  Report(context, {n, layer.down.out}, y, "text.layer.{}.mlp", layer.index);
  return true;
}

// Where a visual token's row comes from.
struct VisualSource {
  const VisionOutput* output;
  int64_t row;
};

// One entry per visual token, in token order.
std::vector<VisualSource> FindSources(const ModelConfig& config, std::span<const int32_t> ids,
                                      const VisionOutput* images, const VisionOutput* videos,
                                      std::vector<int64_t>* visual_rows) {
  std::vector<VisualSource> sources;
  int64_t image = 0, video = 0;
  for (size_t token = 0; token < ids.size(); ++token) {
    const bool is_image = ids[token] == config.image_token;
    if (!is_image && ids[token] != config.video_token) continue;
    const VisionOutput* output = is_image ? images : videos;
    int64_t& row = is_image ? image : video;
    if (output == nullptr || row == output->n_tokens) {
      throw UserError("token {}: {} token number {}, but the vision tower gave {} rows", token,
                      is_image ? "image" : "video", row + 1, row);
    }
    sources.push_back({output, row++});
    visual_rows->push_back(static_cast<int64_t>(token));
  }
  for (const auto& [output, used, what] :
       {std::tuple{images, image, "image"}, std::tuple{videos, video, "video"}}) {
    if (output != nullptr && used != output->n_tokens) {
      throw UserError("{} {} tokens in the prompt, but the vision tower gave {} rows", used, what,
                      output->n_tokens);
    }
  }
  return sources;
}

}  // namespace

// x += o(attention(q, k, v of RMS(x)));  x += down(silu(gate) * up of RMS(x)).
void RunDecoderLayer(const TextConfig& config, const DecoderLayer& layer, const RopeTable& rope,
                     float* hidden, int64_t n_tokens, KvLayer* kv, const RunContext& context) {
  if (rope.n_tokens != n_tokens)
    throw InternalError("layer {}: {} tokens, rope of {}", layer.index, n_tokens, rope.n_tokens);
  KvLayer own(config.n_kv_heads, config.head_dim, context.precision);
  const int64_t width = config.hidden;
  const auto y = FloatBuffer(n_tokens * width);  // [n, H]
  RmsNormRows(hidden, layer.input_norm.data(), config.rms_eps, Size(n_tokens), Size(width),
              y.get());
  if (!RunAttentionPart(config, layer, rope, y.get(), n_tokens, kv != nullptr ? kv : &own, context))
    return;
  AddInto(hidden, y.get(), Size(n_tokens * width));

  RmsNormRows(hidden, layer.post_attention_norm.data(), config.rms_eps, Size(n_tokens), Size(width),
              y.get());
  if (!RunMlpPart(layer, y.get(), n_tokens, context)) return;
  AddInto(hidden, y.get(), Size(n_tokens * width));
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

MergedPrompt MergePrompt(const ModelConfig& config, const Weight& embedding,
                         const ModelInput& input, const VisionOutput* images,
                         const VisionOutput* videos) {
  const int64_t width = config.text.hidden;
  MergedPrompt prompt;
  prompt.positions =
      TextPositions(config, input.token_ids, input.images.grids, input.videos.grids, input.rule);
  prompt.hidden.resize(input.token_ids.size() * Size(width));
  EmbedTokens(embedding, input.token_ids, prompt.hidden.data());
  const auto sources = FindSources(config, input.token_ids, images, videos, &prompt.visual_rows);
  if (sources.empty()) return prompt;
  prompt.deepstack.assign(config.vision.deepstack_indexes.size(),
                          std::vector<float>(sources.size() * Size(width)));
  for (size_t i = 0; i < sources.size(); ++i) {
    const auto& [output, row] = sources[i];
    std::copy_n(output->embeds.data() + row * width, width,
                prompt.hidden.data() + prompt.visual_rows[i] * width);
    for (size_t k = 0; k < prompt.deepstack.size(); ++k) {
      std::copy_n(output->deepstack[k].data() + row * width, width,
                  prompt.deepstack[k].data() + i * Size(width));
    }
  }
  return prompt;
}

}  // namespace ingot
