// SPDX-License-Identifier: Apache-2.0
// Activation scales that differ by input channel, which golden-stick folders can store: x[k] is quantized with the scale
// s c[k], and column k of the weights is multiplied with c[k] before it is rounded, so the product stays what it was. That
// is smoothing (Xiao et al., "SmoothQuant", 2023) without a norm to fuse it into. No run on hardware is known.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "quant/observer.h"
#include "quant/rounding.h"
#include "tensor/tensor.h"

namespace ingot {

struct VectorScales {
  std::vector<float> input_scale;  // [in], numbers of the runtime's grid
  std::vector<float> factor;       // c = input_scale / params.scale
  ActivationParams params;         // scale and offset of x / c
  SiteStatistics statistics;       // of x / c
};

// The best of c[k] = max|x_k|^a / max|W_k|^(1 - a) for a few a, judged on the sample rows by the noise of some outputs of
// every linear of the site; nullopt when the plain scale `plain` is better or c would cost a modality more than 1 dB.
// weights: [out, in] each, the linears that read the site.
std::optional<VectorScales> SearchVectorScales(const SiteStatistics& site, std::span<const TensorView> weights,
                                               const ActivationParams& plain, const RuntimeRules& rules);

// W[n, k] * factor[k] in float32.
Tensor ScaleColumns(const TensorView& weight, std::span<const float> factor);

}  // namespace ingot
