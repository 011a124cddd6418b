// SPDX-License-Identifier: Apache-2.0
// config.json of a Qwen-VL model as plain structs. Every field is read from the file (class
// defaults of the reference are not the released values). Accepts the layouts of transformers 4.57
// and 5.x (rope_parameters, dtype, nested tie flags). Source of the fields:
// huggingface/transformers: src/transformers/models/qwen3_vl/configuration_qwen3_vl.py.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace ingot {

enum class ModelFamily { kQwen3VL, kQwen3VLMoe, kQwen25VL, kQwen2VL };
std::string_view FamilyName(ModelFamily family);  // "Qwen3-VL"

struct TextConfig {
  int64_t hidden = 0, n_layers = 0, n_heads = 0, n_kv_heads = 0, head_dim = 0, intermediate = 0,
          vocab = 0;
  float rms_eps = 1e-6f;
  double rope_theta = 0;
  std::array<int64_t, 3> mrope_section{};  // sums to head_dim / 2
  bool mrope_interleaved = false;
  bool qkv_bias = false;  // attention_bias
  int64_t max_positions = 0;
  // Mixture of experts only.
  int64_t n_experts = 0, n_experts_per_token = 0, moe_intermediate = 0;
};

struct VisionConfig {
  int64_t depth = 0, hidden = 0, intermediate = 0, n_heads = 0, patch = 0, temporal_patch = 2,
          merge = 2, in_channels = 3;
  int64_t out_hidden = 0;
  int64_t n_positions = 0;  // rows of the position table, a square number
  std::vector<int64_t> deepstack_indexes;
  float norm_eps = 1e-6f;
  int64_t head_dim() const { return hidden / n_heads; }
  int64_t patch_values() const { return in_channels * temporal_patch * patch * patch; }
};

struct ModelConfig {
  ModelFamily family = ModelFamily::kQwen3VL;
  TextConfig text;
  VisionConfig vision;
  bool tie_word_embeddings =
      false;  // as the file says; whether lm_head.weight exists decides (ModelReader::tied)
  std::string
      torch_dtype;  // "bfloat16", "float16", "float32" ("dtype" or "torch_dtype"; "" when absent)
  int64_t image_token = -1, video_token = -1, vision_start_token = -1, vision_end_token = -1;
  int64_t bos_token = -1, eos_token = -1;
  bool has_quantization_config =
      false;  // quantization_config / compression_config present (top level or text_config)
  std::string quant_method;  // its quant_method, when a string
};

// generation_config.json; defaults when the file or a field is absent.
struct GenerationConfig {
  bool do_sample = false;
  float temperature = 1.0f, top_p = 1.0f, repetition_penalty = 1.0f;
  int64_t top_k = 0;
  std::vector<int64_t> eos_tokens;
};

// Reads and validates DIR/config.json. Errors: UserError when missing or of another architecture
// (names it, and says for the recognised families that they are not supported yet); FormatError on
// missing, mistyped, impossible or absurdly large fields.
ModelConfig LoadModelConfig(const std::filesystem::path& dir);
GenerationConfig LoadGenerationConfig(const std::filesystem::path& dir, const ModelConfig& config);

// Throws UserError ("... is recognised but not supported yet ...") unless the family can be
// computed by this version.
void RequireSupported(const ModelConfig& config, const std::filesystem::path& dir);

// The limits and constants of preprocessor_config.json (or video_preprocessor_config.json).
struct ProcessorConfig {
  int64_t min_pixels = 0, max_pixels = 0;
  int64_t patch = 16, temporal_patch = 2, merge = 2;
  std::array<float, 3> mean{}, std{};
};
ProcessorConfig LoadImageProcessor(const std::filesystem::path& dir);
ProcessorConfig LoadVideoProcessor(const std::filesystem::path& dir);

}  // namespace ingot
