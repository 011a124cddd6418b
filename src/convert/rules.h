// SPDX-License-Identifier: Apache-2.0
// The rule table of the converter: for each tensor of the target folder, what happens to the
// source's tensor. The target's tensors come from checkpoint/folder_layout.h; here is decided how
// each gets its bytes, by what is stored, never by what the folder calls itself. A rule that would
// lose something refuses with the reason.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/folder_layout.h"
#include "convert/source.h"
#include "tensor/tensor.h"

namespace ingot {

enum class Action {
  kKeep,      // bytes unchanged
  kCast,      // another float type, every value equal
  kExpand,    // one number becomes a vector [K] (and F16, as golden-stick stores it)
  kCollapse,  // a uniform vector becomes one number
  kRetype,    // deq_scale: same float32 bits in another carrier
  kDerive,    // computed from other tensors by the formulas of the format
  kDrop,      // no place in the target, and nothing that others do not determine
};
std::string_view ActionName(Action action);

// One tensor of the target.
struct OutputTensor {
  LayoutTensor out;
  Action action = Action::kKeep;
  const SourceTensor* source = nullptr;  // kKeep, kCast, kExpand, kCollapse, kRetype
  std::function<Tensor()> make;          // absent for kKeep
};

struct ConversionPlan {
  FolderLayout layout;
  std::vector<OutputTensor> tensors;  // description order
  std::vector<std::string> dropped;   // names in the source
  int64_t n_renamed = 0;
  std::vector<std::string> notes;
  float scale_rounding = 0;  // largest relative change of an input_scale by its F16 form

  std::vector<LayoutTensor> Layout() const;
  bool OnlyKeeps() const;  // every tensor is kept under its name and nothing is dropped
};

// `layout.options` are completed from the source (dynamic or static compressed-tensors, vectors,
// tied head). Errors: UserError with the reason when the target cannot hold the source without
// loss; FormatError on bad numbers.
ConversionPlan PlanConversion(const SourceFolder& source, FolderLayout layout);

// The plan of the original script: vectors F16 (310) or F16/BF16 (910), I64 deq_scale to F32 on 310
// only, all else kept. Errors: UserError where the script would destroy numbers.
ConversionPlan PlanExact(const SourceFolder& source, Target target);

}  // namespace ingot
