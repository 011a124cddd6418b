// SPDX-License-Identifier: Apache-2.0
// The benchmark cases: what the program really calls (RunLinears, RunAttention, RunVisionBlock,
// RunDecoderLayer, Session), in the shapes of a released model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bench/runner.h"
#include "bench/synthetic.h"

namespace ingot::bench {

struct CaseOptions {
  std::string shape = "2b";  // a name of SynthShapes() with dense layers
  std::vector<WeightKind> weights = {WeightKind::kStatic, WeightKind::kDynamic, WeightKind::kBf16};
  std::vector<int64_t> rows;  // empty: the defaults of the group of cases
};

// Linears that share an input, as one call. Rows 128 and 512; TOP/s.
std::vector<Case> GemmCases(const CaseOptions& options);
// The same for 1 to 32 rows, and the head; weights come from memory; GB/s of weights.
std::vector<Case> GemvCases(const CaseOptions& options);
// Vision (full, head size 64, 72, 80), prefill and decode.
std::vector<Case> AttentionCases(const CaseOptions& options);
// One vision block on pictures of 448 x 448 and 1024 x 1024.
std::vector<Case> VisionCases(const CaseOptions& options);
// One decoder layer: many tokens, or one.
std::vector<Case> PrefillCases(const CaseOptions& options);
std::vector<Case> DecodeCases(const CaseOptions& options);
// Norms, activations, rope, quantization, softmax over the vocabulary. Rows 1 and 512; values a
// second, no limit.
std::vector<Case> OpsCases(const CaseOptions& options);

// A whole model folder: loading, vision tower, prefill, decode, first token. The cases share the
// loaded model.
struct ModelBenchOptions {
  std::filesystem::path dir;
  KvType kv = KvType::kBF16;
  bool large = true;  // also the long ones: 2048 tokens, 1024 x 1024
};
struct ModelBench {
  std::vector<Case> cases;
  Figure memory;  // peak of this process after a prompt and some tokens; measured first
};
ModelBench PrepareModelBench(const ModelBenchOptions& options);

}  // namespace ingot::bench
