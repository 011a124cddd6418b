// SPDX-License-Identifier: Apache-2.0
// Rows of the tensor table by what they are, for the loaders of blocks.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "checkpoint/tensor_table.h"

namespace ingot {

inline LinearSpec FindLinearSpec(const ModelConfig& config, LinearKind kind, int64_t layer) {
  for (LinearSpec& spec : LinearTable(config)) {
    if (spec.kind == kind && spec.layer == layer) return std::move(spec);
  }
  throw InternalError("tensor table: no linear {} of layer {}", LinearKindName(kind), layer);
}

// The tensor of this part and layer whose name ends so ("." included, for instance
// ".q_norm.weight").
inline TensorSpec FindTensorSpec(const ModelConfig& config, TensorPart part, int64_t layer,
                                 std::string_view ending) {
  for (TensorSpec& spec : TensorTable(config, /*tied=*/true)) {
    if (spec.part == part && spec.layer == layer && spec.name.ends_with(ending))
      return std::move(spec);
  }
  throw InternalError("tensor table: no tensor {} of layer {}", ending, layer);
}

}  // namespace ingot
