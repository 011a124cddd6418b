// SPDX-License-Identifier: Apache-2.0
// The tensor table: one row per tensor of a float checkpoint, made from its config. Loader,
// quantizer, converter, check, inspect, synth and tests iterate over it; nobody else builds tensor
// names. Names and shapes: docs/model.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/config.h"
#include "tensor/tensor.h"

namespace ingot {

enum class TensorRole {
  kEmbedding,
  kHead,
  kNorm,
  kLinearWeight,
  kLinearBias,
  kConv,
  kPositionTable
};
enum class TensorPart { kVision, kText };

// The linears of the model. q, k, v read one input (site) and so share activation parameters; so do
// gate and up.
enum class LinearKind {
  kVisionQkv,
  kVisionProj,
  kVisionFc1,
  kVisionFc2,
  kMergerFc1,
  kMergerFc2,
  kDeepstackFc1,
  kDeepstackFc2,
  kQ,
  kK,
  kV,
  kO,
  kGate,
  kUp,
  kDown,
  kLmHead
};
std::string_view LinearKindName(LinearKind kind);  // "q_proj", "visual.qkv", ...

struct TensorSpec {
  std::string name;  // "model.language_model.layers.3.mlp.up_proj.weight"
  Shape shape;
  TensorRole role = TensorRole::kNorm;
  TensorPart part = TensorPart::kText;
  int64_t layer = -1;  // vision block, deepstack index or text layer; -1 outside
};

// One linear: weight [out, in], optional bias [out].
struct LinearSpec {
  std::string module;  // name without ".weight": "model.language_model.layers.3.mlp.up_proj"
  LinearKind kind = LinearKind::kQ;
  TensorPart part = TensorPart::kText;
  int64_t layer = -1;
  int64_t out = 0, in = 0;
  bool bias = false;
  std::string
      site;  // stable name of its input: "text.layer.3.attn_in" (shared by q, k, v), see SiteName
};

// All tensors in module order of the reference (vision: patch_embed, pos_embed, blocks, merger,
// deepstack; text: embed_tokens, layers, norm; lm_head last, only if !tied).
std::vector<TensorSpec> TensorTable(const ModelConfig& config, bool tied);
// All linears in the same order, lm_head last (also when tied: module "lm_head").
std::vector<LinearSpec> LinearTable(const ModelConfig& config);

// Suffixes of the tensors that quantization adds to a module: "weight_scale", "input_scale", ...
std::string ModuleOf(std::string_view tensor_name);  // everything before the last dot
std::string SuffixOf(std::string_view tensor_name);  // everything after it

}  // namespace ingot
