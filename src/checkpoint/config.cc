// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/config.h"

#include <cmath>
#include <optional>
#include <set>

#include "base/error.h"
#include "checkpoint/json_fields.h"
#include "checkpoint/json_value.h"

namespace ingot {
namespace {

constexpr uint64_t kMaxConfigBytes = 4u << 20;
// Bounds far above every released model (235B: 94 layers, 4096 wide, 151936 tokens), far below
// what would overflow the products of shapes.
constexpr int64_t kMaxWidth = 1 << 20, kMaxLayers = 1024, kMaxHeads = 1024, kMaxHeadDim = 1024;
constexpr int64_t kMaxVocab = 1 << 24, kMaxPositions = int64_t{1} << 31, kMaxTokenId = kMaxVocab;

struct FamilyRow {
  ModelFamily family;
  std::string_view name, model_type, architecture;
};
constexpr FamilyRow kFamilies[] = {
    {ModelFamily::kQwen3VL, "Qwen3-VL", "qwen3_vl", "Qwen3VLForConditionalGeneration"},
    {ModelFamily::kQwen3VLMoe, "Qwen3-VL-MoE", "qwen3_vl_moe",
     "Qwen3VLMoeForConditionalGeneration"},
    {ModelFamily::kQwen25VL, "Qwen2.5-VL", "qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration"},
    {ModelFamily::kQwen2VL, "Qwen2-VL", "qwen2_vl", "Qwen2VLForConditionalGeneration"},
};

bool IsQwen3(ModelFamily family) {
  return family == ModelFamily::kQwen3VL || family == ModelFamily::kQwen3VLMoe;
}

ModelFamily DetectFamily(const JsonFields& root) {
  const std::string model_type = root.StringOr("model_type", "");
  std::string architecture;
  if (const JsonValue* list = root.Find("architectures");
      list != nullptr && list->items.size() == 1 && list->items[0].IsString()) {
    architecture = list->items[0].text;
  }
  for (const FamilyRow& row : kFamilies) {
    if (row.model_type == model_type) return row.family;
  }
  for (const FamilyRow& row : kFamilies) {
    if (model_type.empty() && row.architecture == architecture) return row.family;
  }
  throw UserError(
      "{}: model_type is \"{}\" (architecture \"{}\"); this program knows Qwen3-VL (model_type "
      "\"qwen3_vl\"). Give the folder of such a model.",
      root.file(), Printable(model_type, 60), Printable(architecture, 60));
}

// rope_scaling + rope_theta (4.x) or rope_parameters (5.x).
void ParseRope(const JsonFields& text, ModelFamily family, TextConfig* config) {
  const auto parameters = text.ObjectIf("rope_parameters");
  const auto scaling = text.ObjectIf("rope_scaling");
  const auto rope = parameters ? parameters : scaling;
  if (!rope) text.Fail("rope_scaling", "is missing", "an object with mrope_section");

  const std::string type = rope->StringOr("rope_type", rope->StringOr("type", "default"));
  if (type != "default" && type != "mrope") {
    throw UserError(
        "{}: {}: rope type \"{}\" (long context) is not supported, only \"default\". Use the "
        "config.json of the released model.",
        text.file(), rope->Path("rope_type"), Printable(type, 40));
  }
  config->rope_theta = rope->Has("rope_theta") ? rope->Number("rope_theta", 1, 1e12)
                                               : text.Number("rope_theta", 1, 1e12);

  const auto section = rope->Ints("mrope_section", 3, 0, kMaxHeadDim);
  const int64_t sum = section.size() == 3 ? section[0] + section[1] + section[2] : -1;
  if (sum != config->head_dim / 2) {
    rope->Fail(
        "mrope_section", fmt::format("is [{}]", fmt::join(section, ", ")),
        fmt::format("three integers with the sum {} (half of head_dim)", config->head_dim / 2));
  }
  std::copy(section.begin(), section.end(), config->mrope_section.begin());

  config->mrope_interleaved = rope->BoolOr("mrope_interleaved", IsQwen3(family));
  if (IsQwen3(family) && !config->mrope_interleaved) {
    rope->Fail("mrope_interleaved", "is false", "true for Qwen3-VL");
  }
}

TextConfig ParseText(const JsonFields& text, ModelFamily family) {
  TextConfig config;
  config.hidden = text.Int("hidden_size", 1, kMaxWidth);
  config.n_layers = text.Int("num_hidden_layers", 1, kMaxLayers);
  config.n_heads = text.Int("num_attention_heads", 1, kMaxHeads);
  config.n_kv_heads = text.IntOr("num_key_value_heads", config.n_heads, 1, kMaxHeads);
  if (config.n_heads % config.n_kv_heads != 0) {
    text.Fail("num_key_value_heads", fmt::format("is {}", config.n_kv_heads),
              fmt::format("a divisor of num_attention_heads ({})", config.n_heads));
  }
  config.head_dim =
      IsQwen3(family) ? text.Int("head_dim", 2, kMaxHeadDim) : config.hidden / config.n_heads;
  if (config.head_dim % 2 != 0 || config.head_dim == 0) {
    text.Fail("head_dim", fmt::format("is {}", config.head_dim), "an even number");
  }
  config.intermediate = text.Int("intermediate_size", 1, kMaxWidth);
  config.vocab = text.Int("vocab_size", 1, kMaxVocab);
  config.rms_eps = static_cast<float>(text.Number("rms_norm_eps", 1e-12, 0.1));
  config.max_positions = text.Int("max_position_embeddings", 1, kMaxPositions);
  const std::string act = text.StringOr("hidden_act", "silu");
  if (act != "silu")
    text.Fail("hidden_act", fmt::format("is \"{}\"", Printable(act, 40)), "\"silu\"");
  config.qkv_bias = text.BoolOr("attention_bias", !IsQwen3(family));
  if (IsQwen3(family) && config.qkv_bias) {
    text.Fail("attention_bias", "is true", "false for Qwen3-VL");
  }
  if (family == ModelFamily::kQwen3VLMoe) {
    config.n_experts = text.Has("num_experts") ? text.Int("num_experts", 1, 4096)
                                               : text.Int("num_local_experts", 1, 4096);
    config.n_experts_per_token = text.Int("num_experts_per_tok", 1, config.n_experts);
    config.moe_intermediate = text.Int("moe_intermediate_size", 1, kMaxWidth);
  }
  ParseRope(text, family, &config);
  return config;
}

// Qwen3-VL. Every field must stand in the file.
VisionConfig ParseVision(const JsonFields& vision, const TextConfig& text) {
  VisionConfig config;
  config.depth = vision.Int("depth", 1, kMaxLayers);
  config.hidden = vision.Int("hidden_size", 4, kMaxWidth);
  config.intermediate = vision.Int("intermediate_size", 1, kMaxWidth);
  config.n_heads = vision.Int("num_heads", 1, kMaxHeads);
  if (config.hidden % config.n_heads != 0 || config.head_dim() % 4 != 0) {
    vision.Fail(
        "num_heads", fmt::format("is {}", config.n_heads),
        fmt::format("a divisor of hidden_size ({}) with a head size that is a multiple of 4",
                    config.hidden));
  }
  config.patch = vision.Int("patch_size", 1, 256);
  config.temporal_patch = vision.Int("temporal_patch_size", 1, 16);
  config.merge = vision.Int("spatial_merge_size", 1, 16);
  config.in_channels = vision.Int("in_channels", 1, 16);
  config.out_hidden = vision.Int("out_hidden_size", 1, kMaxWidth);
  if (config.out_hidden != text.hidden) {
    vision.Fail("out_hidden_size", fmt::format("is {}", config.out_hidden),
                fmt::format("hidden_size of the text model ({})", text.hidden));
  }
  config.n_positions = vision.Int("num_position_embeddings", 1, 1 << 20);
  const auto side =
      static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(config.n_positions))));
  if (side * side != config.n_positions) {
    vision.Fail("num_position_embeddings", fmt::format("is {}", config.n_positions),
                "a square number");
  }
  config.deepstack_indexes = vision.Ints("deepstack_visual_indexes",
                                         static_cast<size_t>(text.n_layers), 0, config.depth - 1);
  const std::set<int64_t> distinct(config.deepstack_indexes.begin(),
                                   config.deepstack_indexes.end());
  if (distinct.size() != config.deepstack_indexes.size()) {
    vision.Fail("deepstack_visual_indexes", "names a block twice", "distinct blocks");
  }
  const std::string act = vision.StringOr("hidden_act", "gelu_pytorch_tanh");
  if (act != "gelu_pytorch_tanh") {
    vision.Fail("hidden_act", fmt::format("is \"{}\"", Printable(act, 40)),
                "\"gelu_pytorch_tanh\"");
  }
  return config;
}

// Qwen2-VL and Qwen2.5-VL: files leave out what equals the class defaults, which therefore stand
// here (configuration_qwen2_vl.py, configuration_qwen2_5_vl.py). Enough to describe the model.
VisionConfig ParseVision2(const JsonFields& vision, const TextConfig& text, ModelFamily family) {
  const bool v25 = family == ModelFamily::kQwen25VL;
  VisionConfig config;
  config.depth = vision.IntOr("depth", 32, 1, kMaxLayers);
  // In Qwen2-VL hidden_size is the width of the text model.
  config.hidden = vision.IntOr(v25 ? "hidden_size" : "embed_dim", 1280, 4, kMaxWidth);
  config.n_heads = vision.IntOr("num_heads", 16, 1, kMaxHeads);
  config.intermediate = v25 ? vision.IntOr("intermediate_size", 3420, 1, kMaxWidth)
                            : config.hidden * vision.IntOr("mlp_ratio", 4, 1, 64);
  config.patch = vision.IntOr("patch_size", 14, 1, 256);
  config.temporal_patch = vision.IntOr("temporal_patch_size", 2, 1, 16);
  config.merge = vision.IntOr("spatial_merge_size", 2, 1, 16);
  config.in_channels = vision.IntOr("in_chans", vision.IntOr("in_channels", 3, 1, 16), 1, 16);
  config.out_hidden = text.hidden;
  return config;
}

void ParseQuantizationConfig(const JsonFields& root, const JsonFields& text, ModelConfig* config) {
  for (const JsonFields* fields : {&root, &text}) {
    for (const char* key : {"quantization_config", "compression_config"}) {
      const auto quant = fields->ObjectIf(key);
      if (!quant || config->has_quantization_config) continue;
      config->has_quantization_config = true;
      config->quant_method = quant->StringOr("quant_method", "");
    }
  }
}

// transformers lets "dtype" win over "torch_dtype" and the top level over text_config.
std::string EffectiveDType(const JsonFields& root, const JsonFields& text) {
  for (const JsonFields* fields : {&root, &text}) {
    for (const char* key : {"dtype", "torch_dtype"}) {
      if (!fields->Has(key)) continue;
      const std::string dtype = fields->StringOr(key, "");
      if (dtype != "bfloat16" && dtype != "float16" && dtype != "float32") {
        fields->Fail(key, fmt::format("is \"{}\"", Printable(dtype, 40)),
                     "\"bfloat16\", \"float16\" or \"float32\"");
      }
      return dtype;
    }
  }
  return "";
}

int64_t TokenId(const JsonFields& root, const JsonFields& text, const char* key) {
  if (root.Has(key)) return root.Int(key, 0, kMaxTokenId);
  return text.IntOr(key, -1, 0, kMaxTokenId);
}

void ParseTokens(const JsonFields& root, const JsonFields& text, ModelConfig* config) {
  config->image_token = TokenId(root, text, "image_token_id");
  config->video_token = TokenId(root, text, "video_token_id");
  config->vision_start_token = TokenId(root, text, "vision_start_token_id");
  config->vision_end_token = TokenId(root, text, "vision_end_token_id");
  config->bos_token = TokenId(root, text, "bos_token_id");
  config->eos_token = TokenId(root, text, "eos_token_id");
  if (config->image_token < 0) root.Fail("image_token_id", "is missing", "a token id");
  for (const auto& [key, id] : {std::pair{"image_token_id", config->image_token},
                                std::pair{"video_token_id", config->video_token}}) {
    if (id >= config->text.vocab) {
      root.Fail(key, fmt::format("is {}", id),
                fmt::format("a token below vocab_size ({})", config->text.vocab));
    }
  }
}

}  // namespace

std::string_view FamilyName(ModelFamily family) {
  for (const FamilyRow& row : kFamilies) {
    if (row.family == family) return row.name;
  }
  return "?";
}

ModelConfig LoadModelConfig(const std::filesystem::path& dir) {
  std::error_code error;
  const auto path = dir / "config.json";
  if (!std::filesystem::is_directory(dir, error)) {
    throw UserError("{}: is not a folder. Give the folder of a model (config.json and weights).",
                    dir.string());
  }
  if (!std::filesystem::exists(path, error)) {
    throw UserError("{}: has no config.json. Give the folder of a model (config.json and weights).",
                    dir.string());
  }
  const JsonValue json = ReadJsonObject(path, kMaxConfigBytes);
  const JsonFields root(json, path.string(), "");
  ModelConfig config;
  config.family = DetectFamily(root);
  // Qwen2-VL and Qwen2.5-VL checkpoints keep the text fields at top level.
  const JsonFields text =
      IsQwen3(config.family) || root.Has("text_config") ? root.Object("text_config") : root;
  config.text = ParseText(text, config.family);
  const JsonFields vision = root.Object("vision_config");
  config.vision = IsQwen3(config.family) ? ParseVision(vision, config.text)
                                         : ParseVision2(vision, config.text, config.family);
  config.tie_word_embeddings =
      root.BoolOr("tie_word_embeddings", text.BoolOr("tie_word_embeddings", false));
  config.torch_dtype = EffectiveDType(root, text);
  ParseTokens(root, text, &config);
  ParseQuantizationConfig(root, text, &config);
  return config;
}

void RequireSupported(const ModelConfig& config, const std::filesystem::path& dir) {
  if (config.family == ModelFamily::kQwen3VL) return;
  throw UserError(
      "{}: {} is recognised but not supported yet; supported: Qwen3-VL (dense: 2B, 4B, "
      "8B, 32B).",
      dir.string(), FamilyName(config.family));
}

GenerationConfig LoadGenerationConfig(const std::filesystem::path& dir, const ModelConfig& config) {
  GenerationConfig generation;
  const auto path = dir / "generation_config.json";
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    if (config.eos_token >= 0) generation.eos_tokens = {config.eos_token};
    return generation;
  }
  const JsonValue json = ReadJsonObject(path, kMaxConfigBytes);
  const JsonFields fields(json, path.string(), "");
  generation.do_sample = fields.BoolOr("do_sample", false);
  generation.temperature = static_cast<float>(fields.NumberOr("temperature", 1.0, 0, 1e6));
  generation.top_p = static_cast<float>(fields.NumberOr("top_p", 1.0, 0, 1));
  generation.repetition_penalty =
      static_cast<float>(fields.NumberOr("repetition_penalty", 1.0, 1e-6, 1e6));
  generation.top_k = fields.IntOr("top_k", 0, 0, kMaxVocab);
  if (const JsonValue* eos = fields.Find("eos_token_id"); eos != nullptr) {
    if (eos->kind == JsonValue::Kind::kArray) {
      generation.eos_tokens = fields.Ints("eos_token_id", 64, 0, kMaxTokenId);
    } else {
      generation.eos_tokens = {fields.Int("eos_token_id", 0, kMaxTokenId)};
    }
  } else if (config.eos_token >= 0) {
    generation.eos_tokens = {config.eos_token};
  }
  return generation;
}

}  // namespace ingot
