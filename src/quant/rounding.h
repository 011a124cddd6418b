// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the engines that will run a folder: on which grid of numbers an activation
// scale or a dequantization scale really lands there. Scales are chosen on that grid first,
// everything else is derived from the stored values, so no error is left for load time. Sources:
// vllm-project/vllm-ascend: vllm_ascend/quantization/methods/w8a8_static.py (reciprocal in the run
// dtype), mindspore-ai/vllm-mindspore:
// vllm_mindspore/model_executor/layers/quantization/golden_stick/a8w8.py (F16 casts on 310P).
#pragma once

#include <cstdint>

#include "checkpoint/folder_layout.h"

namespace ingot {

// Numbers that an activation scale s may take.
enum class ScaleGrid {
  kF32,             // any float32
  kF16,             // exact in F16 (cast at load)
  kBf16AndF16,      // exact in both: F16 on disk, BF16 at load
  kBf16Reciprocal,  // BF16, and the engine multiplies by r = bf16(1/s): of the next few numbers the
                    // one with s*r nearest 1
  kF16Reciprocal,   // the same in F16
};

// Numbers that deq_scale may take.
enum class DeqGrid {
  kF32,    // any float32
  kTop19,  // the hardware keeps the top 19 of the 32 bits (10 mantissa bits)
  kF16,    // rounded to F16 at load
};

// Numbers that weight_scale may take when the engine computes with it (dynamic layers): rounded up
// to it.
enum class WeightScaleGrid { kF32, kF16, kBf16 };

// What one target demands of the numbers.
struct RuntimeRules {
  ScaleGrid input_scale = ScaleGrid::kF32;
  DeqGrid deq = DeqGrid::kF32;
  WeightScaleGrid static_weight_scale = WeightScaleGrid::kF32;  // only with DeqGrid::kF32
  WeightScaleGrid dynamic_weight_scale = WeightScaleGrid::kF32;
  bool bias_in_quant_bias = true;  // golden-stick adds the bias itself
  bool symmetric = false;          // offset is always 0
};

RuntimeRules RulesFor(const FolderLayout& layout);

// The smallest positive number of the grid that is >= s (for the reciprocal grids: see the enum).
// Requires: s finite, > 0. The result is at least the grid's smallest useful number (2^-14 for the
// F16 grids, so that F16 and BF16 agree).
float ScaleOnGrid(float s, ScaleGrid grid);
// The next grid number above / below s, which lies on the grid. Below the smallest useful number:
// that number.
float NextScale(float s, ScaleGrid grid);
float PreviousScale(float s, ScaleGrid grid);
// What one code is worth: 1 / bf16(1/s) on kBf16Reciprocal, s on the plain grids.
float EffectiveScale(float s, ScaleGrid grid);

// The grid number nearest to deq; the next one above when amax / (result / s_x) would round beyond
// 127. Requires: deq >= 0, s_x > 0.
float DeqOnGrid(float deq, float amax, float s_x, DeqGrid grid);
float WeightScaleOnGrid(float s_w, WeightScaleGrid grid);

// clamp(rne(v), low, high) for integers |low|, |high| < 2^22. Adding 1.5 * 2^23 leaves no fraction
// bits, so the FPU rounds to nearest even; unlike nearbyint this vectorizes everywhere. Gives +0
// for negative fractions, NaN for NaN.
inline float RoundToCode(float v, float low, float high) {
  const float clamped = v < low ? low : (v > high ? high : v);
  return (clamped + 0x1.8p23f) - 0x1.8p23f;
}

}  // namespace ingot
