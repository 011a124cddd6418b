// SPDX-License-Identifier: Apache-2.0
// Signal to quantization noise inside the models, on prompts of a few samples: hidden states after
// each layer (both models' own), and each linear of the second model against its twin of the first
// on equal inputs (the first model's).
#pragma once

#include <cstdint>
#include <vector>

#include "engine/engine.h"
#include "eval/report.h"

namespace ingot {

struct LayerCompareOptions {
  int64_t max_rows = 64;  // tokens looked at per modality, sample and place, evenly spread
};

struct LayerFigures {
  std::vector<StageFigures> stages;    // vision blocks, then text layers
  std::vector<LinearFigures> linears;  // in module order
};

// Both models must have the same shapes (UserError otherwise).
LayerFigures CompareLayers(Engine& a, Engine& b, const std::vector<Conversation>& conversations,
                           const LayerCompareOptions& options = {});

}  // namespace ingot
