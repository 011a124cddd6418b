// SPDX-License-Identifier: Apache-2.0
// Random layers in the shapes of a released model, without a folder. The values are ordinary
// (no denormals, nothing that grows), because some instructions slow down on odd ones.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "bench/limits.h"
#include "checkpoint/config.h"
#include "checkpoint/tensor_table.h"
#include "model/decoder.h"
#include "model/linear.h"
#include "model/vision_tower.h"

namespace ingot::bench {

// How the linears of a case store their weights.
enum class WeightKind { kBf16, kStatic, kDynamic };
const char* WeightKindName(WeightKind kind);        // "bf16", "w8a8-static", "w8a8-dynamic"
WeightKind ParseWeightKind(std::string_view name);  // UserError otherwise

std::vector<float> RandomFloats(int64_t count, uint64_t seed);  // between -1 and 1

Linear RandomLinear(const LinearSpec& spec, WeightKind kind);
DecoderLayer RandomDecoderLayer(const ModelConfig& config, WeightKind kind);
VisionBlock RandomVisionBlock(const ModelConfig& config, WeightKind kind);

// Roofline work (limits.h) of one row; bytes are those of the weights, activations stay in the
// cache.
Work LinearWork(const Linear& linear);
Work LinearWork(const LinearSpec& spec, WeightKind kind);
Work Sum(std::span<const Work> parts);         // linears that read one input: one step
Work Rows(const Work& one_row, int64_t rows);  // the same weights for more rows

// Queries [n_keys - n_queries, n_keys) of n_heads heads; all keys, or those up to the query. Bytes:
// those of keys and values. Operations count as bfloat16 ones with int8 keys, too: 16 by 8 bits are
// two int8 products, which take as long.
Work AttentionWork(int64_t n_queries, int64_t n_keys, int64_t n_heads, int64_t n_kv_heads,
                   int64_t head_dim, bool causal, KvType type = KvType::kBF16);

// The linears of a decoder layer and of a vision block, one row each.
struct DecoderLinears {
  Work qkv, o, gate_up, down;
};
DecoderLinears LinearsOf(const DecoderLayer& layer);
DecoderLinears DecoderLinearsOf(const ModelConfig& config, WeightKind kind);
struct VisionLinears {
  Work qkv, proj, fc1, fc2;
};
VisionLinears LinearsOf(const VisionBlock& block);
VisionLinears VisionLinearsOf(const ModelConfig& config, WeightKind kind);

// The steps of a layer on n tokens after `past` others, and of a block.
std::vector<Work> DecoderLayerWork(const TextConfig& config, const DecoderLinears& linears,
                                   int64_t n, int64_t past, KvType kv = KvType::kBF16);
std::vector<Work> VisionBlockWork(const VisionConfig& config, const VisionLinears& linears,
                                  const VisionLayout& layout);

}  // namespace ingot::bench
