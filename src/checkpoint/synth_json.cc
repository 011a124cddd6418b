// SPDX-License-Identifier: Apache-2.0
// The JSON files of a synthetic model, in the layout of the released ones.
#include <fmt/format.h>

#include "checkpoint/synth.h"

namespace ingot {

std::string ConfigJson(const ModelConfig& config) {
  const TextConfig& t = config.text;
  const VisionConfig& v = config.vision;
  const bool moe = config.family == ModelFamily::kQwen3VLMoe;
  const std::string type = moe ? "qwen3_vl_moe" : "qwen3_vl";
  const std::string experts =
      moe ? fmt::format(R"(
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "moe_intermediate_size": {},
        "norm_topk_prob": true,
        "num_experts": {},
        "num_experts_per_tok": {},)",
                        t.moe_intermediate, t.n_experts, t.n_experts_per_token)
          : "";
  return fmt::format(
      R"({{
    "architectures": [
        "{arch}"
    ],
    "image_token_id": {image},
    "model_type": "{type}",
    "text_config": {{
        "attention_bias": false,
        "attention_dropout": 0.0,
        "bos_token_id": {bos},{experts}
        "dtype": "bfloat16",
        "eos_token_id": {eos},
        "head_dim": {head_dim},
        "hidden_act": "silu",
        "hidden_size": {hidden},
        "initializer_range": 0.02,
        "intermediate_size": {intermediate},
        "max_position_embeddings": {positions},
        "model_type": "{type}_text",
        "num_attention_heads": {heads},
        "num_hidden_layers": {layers},
        "num_key_value_heads": {kv_heads},
        "rms_norm_eps": 1e-06,
        "rope_scaling": {{
            "mrope_interleaved": true,
            "mrope_section": [
                {m0},
                {m1},
                {m2}
            ],
            "rope_type": "default"
        }},
        "rope_theta": {theta},
        "tie_word_embeddings": {tied},
        "use_cache": true,
        "vocab_size": {vocab}
    }},
    "tie_word_embeddings": {tied},
    "transformers_version": "4.57.0",
    "video_token_id": {video},
    "vision_config": {{
        "deepstack_visual_indexes": [{taps}],
        "depth": {depth},
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": {v_hidden},
        "in_channels": {channels},
        "initializer_range": 0.02,
        "intermediate_size": {v_intermediate},
        "model_type": "{type}",
        "num_heads": {v_heads},
        "num_position_embeddings": {v_positions},
        "out_hidden_size": {out_hidden},
        "patch_size": {patch},
        "spatial_merge_size": {merge},
        "temporal_patch_size": {temporal}
    }},
    "vision_end_token_id": {vision_end},
    "vision_start_token_id": {vision_start}
}}
)",
      fmt::arg("arch",
               moe ? "Qwen3VLMoeForConditionalGeneration" : "Qwen3VLForConditionalGeneration"),
      fmt::arg("image", config.image_token), fmt::arg("type", type),
      fmt::arg("bos", config.bos_token), fmt::arg("experts", experts),
      fmt::arg("eos", config.eos_token), fmt::arg("head_dim", t.head_dim),
      fmt::arg("hidden", t.hidden), fmt::arg("intermediate", t.intermediate),
      fmt::arg("positions", t.max_positions), fmt::arg("heads", t.n_heads),
      fmt::arg("layers", t.n_layers), fmt::arg("kv_heads", t.n_kv_heads),
      fmt::arg("m0", t.mrope_section[0]), fmt::arg("m1", t.mrope_section[1]),
      fmt::arg("m2", t.mrope_section[2]), fmt::arg("theta", static_cast<int64_t>(t.rope_theta)),
      fmt::arg("tied", config.tie_word_embeddings), fmt::arg("vocab", t.vocab),
      fmt::arg("video", config.video_token), fmt::arg("taps", fmt::join(v.deepstack_indexes, ", ")),
      fmt::arg("depth", v.depth), fmt::arg("v_hidden", v.hidden),
      fmt::arg("channels", v.in_channels), fmt::arg("v_intermediate", v.intermediate),
      fmt::arg("v_heads", v.n_heads), fmt::arg("v_positions", v.n_positions),
      fmt::arg("out_hidden", v.out_hidden), fmt::arg("patch", v.patch), fmt::arg("merge", v.merge),
      fmt::arg("temporal", v.temporal_patch), fmt::arg("vision_end", config.vision_end_token),
      fmt::arg("vision_start", config.vision_start_token));
}

std::string GenerationJson(const ModelConfig& config) {
  return fmt::format(R"({{
    "bos_token_id": {0},
    "pad_token_id": {0},
    "do_sample": true,
    "eos_token_id": [
        {1},
        {0}
    ],
    "top_k": 20,
    "top_p": 0.8,
    "repetition_penalty": 1.0,
    "temperature": 0.7
}}
)",
                     config.bos_token, config.eos_token);
}

std::string ProcessorJson(const ModelConfig& config, bool video) {
  return fmt::format(R"({{
    "size": {{
        "longest_edge": {},
        "shortest_edge": {}
    }},
    "patch_size": {},
    "temporal_patch_size": {},
    "merge_size": {},
    "image_mean": [
        0.5,
        0.5,
        0.5
    ],
    "image_std": [
        0.5,
        0.5,
        0.5
    ],
    "processor_class": "Qwen3VLProcessor",
    "{}": "{}"
}}
)",
                     video ? 25165824 : 16777216, video ? 4096 : 65536, config.vision.patch,
                     config.vision.temporal_patch, config.vision.merge,
                     video ? "video_processor_type" : "image_processor_type",
                     video ? "Qwen3VLVideoProcessor" : "Qwen2VLImageProcessorFast");
}

}  // namespace ingot
