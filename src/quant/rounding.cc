// SPDX-License-Identifier: Apache-2.0
// Scales on the numbers that the engines compute with.
#include "quant/rounding.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/numeric.h"

namespace ingot {
namespace {

// How many numbers of a reciprocal grid above s are looked at for the best product s * (1/s).
constexpr int kReciprocalChoices = 4;

bool IsReciprocal(ScaleGrid grid) {
  return grid == ScaleGrid::kBf16Reciprocal || grid == ScaleGrid::kF16Reciprocal;
}

// The plain numbers under a grid: mantissa bits that are dropped from float32, and the useful
// interval.
struct Numbers {
  int dropped_bits;
  float smallest, largest;
};
Numbers NumbersOf(ScaleGrid grid) {
  switch (grid) {
    case ScaleGrid::kF32:
      return {0, 0x1p-23f, std::numeric_limits<float>::max()};
    case ScaleGrid::kF16:
    case ScaleGrid::kF16Reciprocal:
      return {13, 0x1p-14f, 65504.0f};
    case ScaleGrid::kBf16AndF16:
      return {16, 0x1p-14f, 65280.0f};
    case ScaleGrid::kBf16Reciprocal:
      return {16, 0x1p-23f, 0x1.fep126f};
  }
  throw InternalError("NumbersOf: unknown grid");
}

// Positive normal floats are ordered like their bits, so rounding up and stepping are integer
// arithmetic.
float RoundUp(float s, const Numbers& numbers) {
  const uint32_t mask = (1u << numbers.dropped_bits) - 1;
  const uint32_t bits = std::bit_cast<uint32_t>(std::clamp(s, numbers.smallest, numbers.largest));
  return std::bit_cast<float>((bits + mask) & ~mask);
}

float Step(float s, const Numbers& numbers, int count) {
  const int64_t unit = int64_t{1} << numbers.dropped_bits;
  const int64_t bits = std::bit_cast<uint32_t>(s) + count * unit;
  const int64_t low = std::bit_cast<uint32_t>(numbers.smallest);
  const int64_t high = std::bit_cast<uint32_t>(numbers.largest);
  return std::bit_cast<float>(static_cast<uint32_t>(std::clamp(bits, low, high)));
}

float Reciprocal(float s, ScaleGrid grid) {
  return grid == ScaleGrid::kBf16Reciprocal ? RoundToBf16(1.0f / s) : RoundToF16(1.0f / s);
}

// Of the numbers first, first + 1, ... (count of them) the one whose product with its own rounded
// reciprocal is nearest to 1; the smallest of equals.
float BestReciprocal(float first, ScaleGrid grid) {
  const Numbers numbers = NumbersOf(grid);
  float best = first;
  double best_error = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kReciprocalChoices; ++i) {
    const float s = Step(first, numbers, i);
    const double error = std::abs(static_cast<double>(s) * Reciprocal(s, grid) - 1.0);
    if (error < best_error) {
      best_error = error;
      best = s;
    }
  }
  return best;
}

float NextF16(float value) { return F16ToF32(static_cast<uint16_t>(F32ToF16(value) + 1)); }

float NearestTop19(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t odd = (bits >> 13) & 1u;
  return std::bit_cast<float>((bits + 0xfffu + odd) & ~0x1fffu);
}

}  // namespace

RuntimeRules RulesFor(const FolderLayout& layout) {
  RuntimeRules rules;
  const bool f16 = layout.options.run_dtype == DType::kF16;
  const WeightScaleGrid run_grid = f16 ? WeightScaleGrid::kF16 : WeightScaleGrid::kBf16;
  rules.dynamic_weight_scale = run_grid;
  // Where the stored type is narrow, the scale is made exact in it, so that deq = s_x * s_w holds
  // for the stored numbers.
  if (WeightScaleDType(layout) != DType::kF32) rules.static_weight_scale = run_grid;
  rules.bias_in_quant_bias = QuantBiasHoldsBias(layout);
  switch (layout.target) {
    case Target::kAscendV0:
      // This layout is what the golden-stick folders are converted from: F16-exact numbers survive
      // both conversions.
      rules.input_scale = f16 ? ScaleGrid::kBf16AndF16 : ScaleGrid::kBf16Reciprocal;
      rules.deq = f16 ? DeqGrid::kF16 : DeqGrid::kF32;
      break;
    case Target::kAscend:
      rules.input_scale = f16 ? ScaleGrid::kF16Reciprocal : ScaleGrid::kBf16Reciprocal;
      rules.deq = f16 ? DeqGrid::kTop19 : DeqGrid::kF32;
      break;
    case Target::kGoldenStick310:
      rules.input_scale = ScaleGrid::kF16;
      rules.deq = DeqGrid::kF16;
      break;
    case Target::kGoldenStick910:
      rules.input_scale = f16 ? ScaleGrid::kF16 : ScaleGrid::kBf16AndF16;
      break;
    case Target::kCompressedTensors:
      rules.symmetric = layout.options.ct_symmetric;
      rules.dynamic_weight_scale = WeightScaleGrid::kF32;
      break;
  }
  return rules;
}

float ScaleOnGrid(float s, ScaleGrid grid) {
  const float up = RoundUp(s, NumbersOf(grid));
  return IsReciprocal(grid) ? BestReciprocal(up, grid) : up;
}

float NextScale(float s, ScaleGrid grid) {
  const float next = Step(s, NumbersOf(grid), 1);
  return IsReciprocal(grid) ? BestReciprocal(next, grid) : next;
}

float PreviousScale(float s, ScaleGrid grid) {
  const Numbers numbers = NumbersOf(grid);
  if (!IsReciprocal(grid)) return Step(s, numbers, -1);
  const float below = BestReciprocal(Step(s, numbers, -kReciprocalChoices), grid);
  return std::min(below, s);
}

float EffectiveScale(float s, ScaleGrid grid) {
  return IsReciprocal(grid) ? 1.0f / Reciprocal(s, grid) : s;
}

float DeqOnGrid(float deq, float amax, float s_x, DeqGrid grid) {
  if (grid == DeqGrid::kF32) return deq;
  float value = grid == DeqGrid::kF16 ? std::clamp(RoundToF16(deq), 0x1p-24f, 65504.0f)
                                      : std::max(NearestTop19(deq), 0x1p-126f);
  const auto too_small = [&] { return Rne(amax / (value / s_x)) > 127.0f; };
  while (too_small() && value < 65504.0f) {
    value = grid == DeqGrid::kF16 ? NextF16(value)
                                  : std::bit_cast<float>(std::bit_cast<uint32_t>(value) + 0x2000u);
  }
  return value;
}

float WeightScaleOnGrid(float s_w, WeightScaleGrid grid) {
  if (grid == WeightScaleGrid::kF32) return s_w;
  if (grid == WeightScaleGrid::kBf16) {
    return RoundUp(s_w, {16, 0x1p-126f, 0x1.fep126f});
  }
  const float nearest = std::clamp(RoundToF16(s_w), 0x1p-24f, 65504.0f);
  return nearest < s_w && nearest < 65504.0f ? NextF16(nearest) : nearest;
}

}  // namespace ingot
