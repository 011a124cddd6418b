// SPDX-License-Identifier: Apache-2.0
// Names and shapes: huggingface/transformers: src/transformers/models/qwen3_vl/modeling_qwen3_vl.py
// and qwen3_vl_moe/modeling_qwen3_vl_moe.py (order of the modules as they register themselves).
#include "checkpoint/tensor_table.h"

#include "base/error.h"

namespace ingot {
namespace {

constexpr std::string_view kVision = "model.visual.";
constexpr std::string_view kText = "model.language_model.";

// Collects both tables in one walk over the modules, so that they cannot disagree.
class TableBuilder {
 public:
  explicit TableBuilder(const ModelConfig& config) : config_(config) {}

  void Vision();
  void Text();
  void Head(bool stored);

  std::vector<TensorSpec> tensors;
  std::vector<LinearSpec> linears;

 private:
  void Add(const std::string& name, Shape shape, TensorRole role, TensorPart part, int64_t layer) {
    tensors.push_back({name, std::move(shape), role, part, layer});
  }
  void LayerNorm(const std::string& module, int64_t width, int64_t layer) {
    Add(module + ".weight", {width}, TensorRole::kNorm, TensorPart::kVision, layer);
    Add(module + ".bias", {width}, TensorRole::kNorm, TensorPart::kVision, layer);
  }
  void Linear(LinearSpec linear) {
    Add(linear.module + ".weight", {linear.out, linear.in}, TensorRole::kLinearWeight, linear.part,
        linear.layer);
    if (linear.bias) {
      Add(linear.module + ".bias", {linear.out}, TensorRole::kLinearBias, linear.part,
          linear.layer);
    }
    linears.push_back(std::move(linear));
  }
  void VisionBlock(int64_t block);
  void Merger(const std::string& module, const std::string& site, int64_t index, bool deepstack);
  void TextLayer(int64_t layer);
  void TextMlp(const std::string& prefix, const std::string& site, int64_t layer);

  const ModelConfig& config_;
};

void TableBuilder::Vision() {
  const VisionConfig& v = config_.vision;
  const std::string prefix(kVision);
  Add(prefix + "patch_embed.proj.weight",
      {v.hidden, v.in_channels, v.temporal_patch, v.patch, v.patch}, TensorRole::kConv,
      TensorPart::kVision, -1);
  Add(prefix + "patch_embed.proj.bias", {v.hidden}, TensorRole::kLinearBias, TensorPart::kVision,
      -1);
  Add(prefix + "pos_embed.weight", {v.n_positions, v.hidden}, TensorRole::kPositionTable,
      TensorPart::kVision, -1);
  for (int64_t block = 0; block < v.depth; ++block) VisionBlock(block);
  Merger(prefix + "merger", "vision.merger", -1, /*deepstack=*/false);
  for (size_t k = 0; k < v.deepstack_indexes.size(); ++k) {
    Merger(fmt::format("{}deepstack_merger_list.{}", prefix, k),
           fmt::format("vision.deepstack.{}", k), static_cast<int64_t>(k), /*deepstack=*/true);
  }
}

void TableBuilder::VisionBlock(int64_t block) {
  const VisionConfig& v = config_.vision;
  const std::string prefix = fmt::format("{}blocks.{}.", kVision, block);
  const std::string site = fmt::format("vision.block.{}.", block);
  const auto linear = [&](const char* name, LinearKind kind, int64_t out, int64_t in,
                          const char* input) {
    Linear({prefix + name, kind, TensorPart::kVision, block, out, in, true, site + input});
  };
  LayerNorm(prefix + "norm1", v.hidden, block);
  LayerNorm(prefix + "norm2", v.hidden, block);
  linear("attn.qkv", LinearKind::kVisionQkv, 3 * v.hidden, v.hidden, "qkv_in");
  linear("attn.proj", LinearKind::kVisionProj, v.hidden, v.hidden, "proj_in");
  linear("mlp.linear_fc1", LinearKind::kVisionFc1, v.intermediate, v.hidden, "fc1_in");
  linear("mlp.linear_fc2", LinearKind::kVisionFc2, v.hidden, v.intermediate, "fc2_in");
}

// The main merger normalizes patches before it joins merge x merge of them, deepstack mergers
// after.
void TableBuilder::Merger(const std::string& module, const std::string& site, int64_t index,
                          bool deepstack) {
  const VisionConfig& v = config_.vision;
  const int64_t joined = v.hidden * v.merge * v.merge;
  LayerNorm(module + ".norm", deepstack ? joined : v.hidden, index);
  Linear({module + ".linear_fc1", deepstack ? LinearKind::kDeepstackFc1 : LinearKind::kMergerFc1,
          TensorPart::kVision, index, joined, joined, true, site + ".fc1_in"});
  Linear({module + ".linear_fc2", deepstack ? LinearKind::kDeepstackFc2 : LinearKind::kMergerFc2,
          TensorPart::kVision, index, v.out_hidden, joined, true, site + ".fc2_in"});
}

void TableBuilder::Text() {
  const TextConfig& t = config_.text;
  const std::string prefix(kText);
  Add(prefix + "embed_tokens.weight", {t.vocab, t.hidden}, TensorRole::kEmbedding,
      TensorPart::kText, -1);
  for (int64_t layer = 0; layer < t.n_layers; ++layer) TextLayer(layer);
  Add(prefix + "norm.weight", {t.hidden}, TensorRole::kNorm, TensorPart::kText, -1);
}

void TableBuilder::TextLayer(int64_t layer) {
  const TextConfig& t = config_.text;
  const std::string prefix = fmt::format("{}layers.{}.", kText, layer);
  const std::string site = fmt::format("text.layer.{}.", layer);
  const int64_t q = t.n_heads * t.head_dim, kv = t.n_kv_heads * t.head_dim;
  const auto linear = [&](const char* name, LinearKind kind, int64_t out, int64_t in, bool bias,
                          const char* input) {
    Linear({prefix + name, kind, TensorPart::kText, layer, out, in, bias, site + input});
  };
  const auto norm = [&](const char* name, int64_t width) {
    Add(prefix + name, {width}, TensorRole::kNorm, TensorPart::kText, layer);
  };
  linear("self_attn.q_proj", LinearKind::kQ, q, t.hidden, t.qkv_bias, "attn_in");
  linear("self_attn.k_proj", LinearKind::kK, kv, t.hidden, t.qkv_bias, "attn_in");
  linear("self_attn.v_proj", LinearKind::kV, kv, t.hidden, t.qkv_bias, "attn_in");
  linear("self_attn.o_proj", LinearKind::kO, t.hidden, q, false, "o_in");
  norm("self_attn.q_norm.weight", t.head_dim);
  norm("self_attn.k_norm.weight", t.head_dim);
  TextMlp(prefix, site, layer);
  norm("input_layernorm.weight", t.hidden);
  norm("post_attention_layernorm.weight", t.hidden);
}

void TableBuilder::TextMlp(const std::string& prefix, const std::string& site, int64_t layer) {
  const TextConfig& t = config_.text;
  if (config_.family == ModelFamily::kQwen3VLMoe) {
    // Experts are stored [expert][in][out] and are no linears of the table; the router stays float.
    const auto weight = [&](const char* name, Shape shape) {
      Add(prefix + name, std::move(shape), TensorRole::kLinearWeight, TensorPart::kText, layer);
    };
    weight("mlp.gate.weight", {t.n_experts, t.hidden});
    weight("mlp.experts.gate_up_proj", {t.n_experts, t.hidden, 2 * t.moe_intermediate});
    weight("mlp.experts.down_proj", {t.n_experts, t.moe_intermediate, t.hidden});
    return;
  }
  const auto linear = [&](const char* name, LinearKind kind, int64_t out, int64_t in,
                          const char* input) {
    Linear({prefix + name, kind, TensorPart::kText, layer, out, in, false, site + input});
  };
  linear("mlp.gate_proj", LinearKind::kGate, t.intermediate, t.hidden, "mlp_in");
  linear("mlp.up_proj", LinearKind::kUp, t.intermediate, t.hidden, "mlp_in");
  linear("mlp.down_proj", LinearKind::kDown, t.hidden, t.intermediate, "down_in");
}

void TableBuilder::Head(bool stored) {
  const TextConfig& t = config_.text;
  linears.push_back({"lm_head", LinearKind::kLmHead, TensorPart::kText, -1, t.vocab, t.hidden,
                     false, "text.head_in"});
  if (stored) {
    Add("lm_head.weight", {t.vocab, t.hidden}, TensorRole::kHead, TensorPart::kText, -1);
  }
}

TableBuilder Build(const ModelConfig& config, bool tied) {
  if (config.family != ModelFamily::kQwen3VL && config.family != ModelFamily::kQwen3VLMoe) {
    throw UserError("{} is recognised but its tensors are not supported yet; supported: Qwen3-VL.",
                    FamilyName(config.family));
  }
  TableBuilder builder(config);
  builder.Vision();
  builder.Text();
  builder.Head(!tied);
  return builder;
}

}  // namespace

std::string_view LinearKindName(LinearKind kind) {
  switch (kind) {
    case LinearKind::kVisionQkv:
      return "visual.qkv";
    case LinearKind::kVisionProj:
      return "visual.proj";
    case LinearKind::kVisionFc1:
      return "visual.fc1";
    case LinearKind::kVisionFc2:
      return "visual.fc2";
    case LinearKind::kMergerFc1:
      return "merger.fc1";
    case LinearKind::kMergerFc2:
      return "merger.fc2";
    case LinearKind::kDeepstackFc1:
      return "deepstack.fc1";
    case LinearKind::kDeepstackFc2:
      return "deepstack.fc2";
    case LinearKind::kQ:
      return "q_proj";
    case LinearKind::kK:
      return "k_proj";
    case LinearKind::kV:
      return "v_proj";
    case LinearKind::kO:
      return "o_proj";
    case LinearKind::kGate:
      return "gate_proj";
    case LinearKind::kUp:
      return "up_proj";
    case LinearKind::kDown:
      return "down_proj";
    case LinearKind::kLmHead:
      return "lm_head";
  }
  return "?";
}

std::vector<TensorSpec> TensorTable(const ModelConfig& config, bool tied) {
  return std::move(Build(config, tied).tensors);
}

std::vector<LinearSpec> LinearTable(const ModelConfig& config) {
  return std::move(Build(config, /*tied=*/true).linears);
}

std::string ModuleOf(std::string_view tensor_name) {
  const size_t dot = tensor_name.rfind('.');
  return std::string(dot == std::string_view::npos ? "" : tensor_name.substr(0, dot));
}

std::string SuffixOf(std::string_view tensor_name) {
  const size_t dot = tensor_name.rfind('.');
  return std::string(dot == std::string_view::npos ? tensor_name : tensor_name.substr(dot + 1));
}

}  // namespace ingot
