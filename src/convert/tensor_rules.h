// SPDX-License-Identifier: Apache-2.0
// One rule for each suffix of a quantized linear: how the target's tensor gets its bytes.
#pragma once

#include "convert/numbers.h"
#include "convert/rules.h"

namespace ingot {

// Everything that a rule may look at.
struct SourceLinear {
  const SourceFolder* source;
  const SourceModule* module;
  FolderLayout layout;  // of the target, with this linear's own keep_weight_scale
  ActivationNumbers input;
  std::optional<RecoveredScale> weight_scale;  // when the target stores one
  bool derive_quant_bias = false, derive_deq = false;
};

// The tensor `out` of the target for this linear. Errors: UserError with the reason when the target
// cannot hold the numbers.
OutputTensor ApplyRule(const SourceLinear& linear, const LayoutTensor& out);

// The source's tensor unchanged, under the target's name and label.
OutputTensor KeepTensor(LayoutTensor out, const SourceTensor& source);

[[noreturn]] void RefuseLinear(const SourceLinear& linear, const std::string& reason,
                               const std::string& remedy);

}  // namespace ingot
