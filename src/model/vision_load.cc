// SPDX-License-Identifier: Apache-2.0
// Blocks of the vision tower out of a folder.
#include "checkpoint/model_reader.h"
#include "model/tensor_lookup.h"
#include "model/vision_tower.h"

namespace ingot {
namespace {

std::vector<float> LoadNorm(const ModelReader& reader, int64_t layer, std::string_view ending) {
  const TensorSpec spec = FindTensorSpec(reader.config(), TensorPart::kVision, layer, ending);
  return LoadFloatVector(reader, spec.name, spec.shape[0]);
}

VisionMerger LoadMerger(const ModelReader& reader, LinearKind fc1, LinearKind fc2, int64_t index,
                        const LoadOptions& options) {
  VisionMerger merger;
  merger.norm_after_merge = fc1 == LinearKind::kDeepstackFc1;
  merger.norm_weight = LoadNorm(reader, index, ".norm.weight");
  merger.norm_bias = LoadNorm(reader, index, ".norm.bias");
  merger.fc1 = LoadLinear(reader, FindLinearSpec(reader.config(), fc1, index), options);
  merger.fc2 = LoadLinear(reader, FindLinearSpec(reader.config(), fc2, index), options);
  return merger;
}

}  // namespace

VisionPatchEmbed LoadVisionPatchEmbed(const ModelReader& reader) {
  const ModelConfig& config = reader.config();
  const TensorSpec weight =
      FindTensorSpec(config, TensorPart::kVision, -1, ".patch_embed.proj.weight");
  const TensorSpec table = FindTensorSpec(config, TensorPart::kVision, -1, ".pos_embed.weight");
  LinearSpec spec;
  spec.module = ModuleOf(weight.name);
  spec.part = TensorPart::kVision;
  spec.out = config.vision.hidden;
  spec.in = config.vision.patch_values();
  spec.bias = true;
  return {MakeFloatLinear(spec, ViewFloatWeight(reader, weight.name, weight.shape),
                          LoadFloatVector(reader, spec.module + ".bias", spec.out)),
          ViewFloatWeight(reader, table.name, table.shape)};
}

VisionBlock LoadVisionBlock(const ModelReader& reader, int64_t block, const LoadOptions& options) {
  const auto linear = [&](LinearKind kind) {
    return LoadLinear(reader, FindLinearSpec(reader.config(), kind, block), options);
  };
  return {.index = block,
          .norm1_weight = LoadNorm(reader, block, ".norm1.weight"),
          .norm1_bias = LoadNorm(reader, block, ".norm1.bias"),
          .norm2_weight = LoadNorm(reader, block, ".norm2.weight"),
          .norm2_bias = LoadNorm(reader, block, ".norm2.bias"),
          .qkv = linear(LinearKind::kVisionQkv),
          .proj = linear(LinearKind::kVisionProj),
          .fc1 = linear(LinearKind::kVisionFc1),
          .fc2 = linear(LinearKind::kVisionFc2)};
}

VisionMerger LoadVisionMerger(const ModelReader& reader, const LoadOptions& options) {
  return LoadMerger(reader, LinearKind::kMergerFc1, LinearKind::kMergerFc2, -1, options);
}

VisionMerger LoadDeepstackMerger(const ModelReader& reader, int64_t index,
                                 const LoadOptions& options) {
  return LoadMerger(reader, LinearKind::kDeepstackFc1, LinearKind::kDeepstackFc2, index, options);
}

VisionTower LoadVisionTower(const ModelReader& reader, const LoadOptions& options) {
  VisionTower tower;
  tower.config = reader.config().vision;
  tower.patch_embed = LoadVisionPatchEmbed(reader);
  for (int64_t block = 0; block < tower.config.depth; ++block)
    tower.blocks.push_back(LoadVisionBlock(reader, block, options));
  tower.merger = LoadVisionMerger(reader, options);
  for (size_t k = 0; k < tower.config.deepstack_indexes.size(); ++k) {
    tower.deepstack.push_back(LoadDeepstackMerger(reader, static_cast<int64_t>(k), options));
  }
  return tower;
}

}  // namespace ingot
