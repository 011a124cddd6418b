// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/config.h"

#include <nlohmann/json.hpp>

#include "checkpoint/test_files.h"

namespace ingot {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using Json = nlohmann::ordered_json;

Json SourceJson() { return Json::parse(Slurp(TestData("checkpoint/source_config.json"))); }

ModelConfig Load(const Json& json) {
  ScratchDir dir;
  dir.Write("config.json", json.dump());
  return LoadModelConfig(dir.path());
}

TEST(ModelConfig, ReadsTheReleasedLayout) {
  const ModelConfig config = Load(SourceJson());
  EXPECT_EQ(config.family, ModelFamily::kQwen3VL);
  EXPECT_EQ(config.text.hidden, 128);
  EXPECT_EQ(config.text.n_layers, 3);
  EXPECT_EQ(config.text.n_heads, 4);
  EXPECT_EQ(config.text.n_kv_heads, 2);
  EXPECT_EQ(config.text.head_dim, 32);
  EXPECT_EQ(config.text.intermediate, 384);
  EXPECT_EQ(config.text.vocab, 2048);
  EXPECT_EQ(config.text.rms_eps, 1e-6f);
  EXPECT_EQ(config.text.rope_theta, 5e6);
  EXPECT_THAT(config.text.mrope_section, ElementsAre(6, 5, 5));
  EXPECT_TRUE(config.text.mrope_interleaved);
  EXPECT_FALSE(config.text.qkv_bias);
  EXPECT_EQ(config.vision.depth, 3);
  EXPECT_EQ(config.vision.hidden, 96);
  EXPECT_EQ(config.vision.head_dim(), 32);
  EXPECT_EQ(config.vision.n_positions, 2304);
  EXPECT_EQ(config.vision.patch_values(), 3 * 2 * 16 * 16);
  EXPECT_THAT(config.vision.deepstack_indexes, ElementsAre(0, 1, 2));
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_EQ(config.torch_dtype, "bfloat16") << "from text_config";
  EXPECT_EQ(config.image_token, 2034);
  EXPECT_EQ(config.vision_end_token, 2032);
  EXPECT_EQ(config.eos_token, 2024);
  EXPECT_FALSE(config.has_quantization_config);
}

TEST(ModelConfig, ReadsTheLayoutOfTransformers5) {
  Json json = SourceJson();
  Json& text = json["text_config"];
  text["rope_parameters"] = text["rope_scaling"];
  text["rope_parameters"]["rope_theta"] = 1e6;
  text.erase("rope_scaling");
  text.erase("rope_theta");
  json["dtype"] = "float16";
  json["vision_config"]["model_type"] = "qwen3_vl_vision";
  json.erase("tie_word_embeddings");
  text["tie_word_embeddings"] = true;
  const ModelConfig config = Load(json);
  EXPECT_EQ(config.text.rope_theta, 1e6);
  EXPECT_EQ(config.torch_dtype, "float16") << "the top level wins";
  EXPECT_TRUE(config.tie_word_embeddings);
}

TEST(ModelConfig, AcceptsTheOldNameOfTheRopeType) {
  Json json = SourceJson();
  json["text_config"]["rope_scaling"].erase("rope_type");
  json["text_config"]["rope_scaling"]["type"] = "default";
  EXPECT_NO_THROW(Load(json));
}

TEST(ModelConfig, FindsQuantizationConfigs) {
  Json json = SourceJson();
  json["text_config"]["quantization_config"] = {{"quant_method", "fp8"}};
  const ModelConfig config = Load(json);
  EXPECT_TRUE(config.has_quantization_config);
  EXPECT_EQ(config.quant_method, "fp8");
}

TEST(ModelConfig, RecognisesTheOtherFamilies) {
  const auto load = [](const char* name) {
    return LoadModelConfig(TestData(std::string("models/") + name));
  };
  const ModelConfig moe = load("mini-qwen3-vl-moe");
  EXPECT_EQ(moe.family, ModelFamily::kQwen3VLMoe);
  EXPECT_EQ(moe.text.n_experts, 8);
  EXPECT_EQ(moe.text.n_experts_per_token, 2);
  EXPECT_EQ(moe.text.moe_intermediate, 48);
  const ModelConfig q25 = load("mini-qwen2.5-vl");
  EXPECT_EQ(q25.family, ModelFamily::kQwen25VL);
  EXPECT_TRUE(q25.text.qkv_bias);
  EXPECT_EQ(q25.text.head_dim, 16);
  const ModelConfig q2 = load("mini-qwen2-vl");
  EXPECT_EQ(q2.family, ModelFamily::kQwen2VL);
  EXPECT_EQ(q2.vision.hidden, 80) << "embed_dim, not hidden_size";
  for (const ModelConfig& config : {moe, q25, q2}) {
    ExpectError<UserError>([&] { RequireSupported(config, "/m"); },
                           AllOf(HasSubstr("recognised but not supported yet"),
                                 HasSubstr(std::string(FamilyName(config.family)))));
  }
  EXPECT_NO_THROW(RequireSupported(load("tiny-qwen3-vl"), "/m"));
}

TEST(ModelConfig, RefusesOtherFolders) {
  ScratchDir dir;
  ExpectError<UserError>([&] { LoadModelConfig(dir.path()); }, HasSubstr("has no config.json"));
  ExpectError<UserError>([&] { LoadModelConfig(dir.path() / "x"); }, HasSubstr("is not a folder"));
  ExpectError<UserError>([&] { Load({{"model_type", "llama"}}); }, HasSubstr("\"llama\""));
  ExpectError<UserError>([&] { Load(Json::object()); }, HasSubstr("model_type is \"\""));
  ExpectError<FormatError>([&] { Load(Json::array()); }, HasSubstr("a JSON object was expected"));
  Json yarn = SourceJson();
  yarn["text_config"]["rope_scaling"]["rope_type"] = "yarn";
  ExpectError<UserError>([&] { Load(yarn); }, HasSubstr("rope type \"yarn\""));
}

// Every field that is used, one at a time with a value that would do harm.
TEST(ModelConfig, RefusesImpossibleFields) {
  struct Case {
    const char* path;
    Json value;
    const char* message;
  };
  const Case cases[] = {
      {"/text_config/hidden_size", 0, "text_config.hidden_size: is 0"},
      {"/text_config/hidden_size", int64_t{1} << 40, "hidden_size: is 1099511627776"},
      {"/text_config/hidden_size", "128", "hidden_size: is \"128\""},
      {"/text_config/hidden_size", nullptr, "hidden_size: is missing"},
      {"/text_config/num_hidden_layers", -1, "num_hidden_layers: is -1"},
      {"/text_config/num_hidden_layers", 1e30, "num_hidden_layers: is 1e+30"},
      {"/text_config/num_key_value_heads", 3, "a divisor of num_attention_heads (4)"},
      {"/text_config/num_key_value_heads", 0, "num_key_value_heads: is 0"},
      {"/text_config/head_dim", 33, "an even number"},
      {"/text_config/head_dim", nullptr, "head_dim: is missing"},
      {"/text_config/vocab_size", int64_t{1} << 33, "vocab_size"},
      {"/text_config/rms_norm_eps", 0, "rms_norm_eps"},
      {"/text_config/hidden_act", "gelu", "\"silu\" was expected"},
      {"/text_config/attention_bias", true, "attention_bias: is true"},
      {"/text_config/rope_theta", nullptr, "rope_theta: is missing"},
      {"/text_config/rope_scaling", nullptr, "rope_scaling: is missing"},
      {"/text_config/rope_scaling/mrope_section", {6, 5, 6}, "the sum 16 (half of head_dim)"},
      {"/text_config/rope_scaling/mrope_section", {6, 10}, "three integers"},
      {"/text_config/rope_scaling/mrope_section", {32, -8, -8}, "mrope_section: is -8"},
      {"/text_config/rope_scaling/mrope_interleaved", false, "mrope_interleaved: is false"},
      {"/text_config/dtype", "int8", "\"bfloat16\", \"float16\" or \"float32\""},
      {"/text_config", "x", "text_config: is \"x\"; an object"},
      {"/vision_config", nullptr, "vision_config: is missing"},
      {"/vision_config/depth", 0, "vision_config.depth"},
      {"/vision_config/num_heads", 5, "a divisor of hidden_size (96)"},
      {"/vision_config/num_heads", 16, "multiple of 4"},
      {"/vision_config/patch_size", 0, "patch_size"},
      {"/vision_config/spatial_merge_size", 0, "spatial_merge_size"},
      {"/vision_config/out_hidden_size", 127, "hidden_size of the text model (128)"},
      {"/vision_config/num_position_embeddings", 2305, "a square number"},
      {"/vision_config/deepstack_visual_indexes", {0, 3}, "deepstack_visual_indexes: is 3"},
      {"/vision_config/deepstack_visual_indexes", {0, 0}, "distinct blocks"},
      {"/vision_config/deepstack_visual_indexes", {0, 1, 2, 0}, "has 4 entries"},
      {"/vision_config/hidden_act", "relu", "gelu_pytorch_tanh"},
      {"/image_token_id", nullptr, "image_token_id: is missing"},
      {"/image_token_id", 2048, "below vocab_size (2048)"},
      {"/tie_word_embeddings", "no", "tie_word_embeddings: is \"no\""},
  };
  for (const Case& item : cases) {
    SCOPED_TRACE(item.path + std::string(" = ") + item.value.dump());
    Json json = SourceJson();
    json[Json::json_pointer(item.path)] = item.value;
    ExpectError<FormatError>([&] { Load(json); },
                             AllOf(HasSubstr("config.json: "), HasSubstr(item.message)));
  }
}

TEST(GenerationConfig, ReadsFilesAndFallsBack) {
  const auto tiny = TestData("models/tiny-qwen3-vl");
  const auto config = LoadModelConfig(tiny);
  const auto generation = LoadGenerationConfig(tiny, config);
  EXPECT_TRUE(generation.do_sample);
  EXPECT_EQ(generation.temperature, 0.7f);
  EXPECT_EQ(generation.top_p, 0.8f);
  EXPECT_EQ(generation.top_k, 20);
  EXPECT_THAT(generation.eos_tokens, ElementsAre(2024, 2022));
  ScratchDir dir;
  EXPECT_THAT(LoadGenerationConfig(dir.path(), config).eos_tokens, ElementsAre(2024));
  dir.Write("generation_config.json", R"({"eos_token_id":5,"temperature":null})");
  EXPECT_THAT(LoadGenerationConfig(dir.path(), config).eos_tokens, ElementsAre(5));
  dir.Write("generation_config.json", R"({"top_p":1.5})");
  ExpectError<FormatError>([&] { LoadGenerationConfig(dir.path(), config); },
                           HasSubstr("top_p: is 1.5"));
}

TEST(ProcessorConfig, ReadsBothFormsOfTheLimits) {
  const auto image = LoadImageProcessor(TestData("models/tiny-qwen3-vl"));
  EXPECT_EQ(image.min_pixels, 1024);
  EXPECT_EQ(image.max_pixels, 1048576);
  EXPECT_EQ(image.patch, 16);
  EXPECT_EQ(image.merge, 2);
  EXPECT_THAT(image.mean, ElementsAre(0.5f, 0.5f, 0.5f));
  EXPECT_EQ(LoadVideoProcessor(TestData("models/tiny-qwen3-vl")).temporal_patch, 2);
  ScratchDir dir;
  Json json = Json::parse(Slurp(TestData("models/tiny-qwen3-vl/preprocessor_config.json")));
  json["max_pixels"] = 4096;
  dir.Write("preprocessor_config.json", json.dump());
  EXPECT_EQ(LoadImageProcessor(dir.path()).max_pixels, 4096);
  json["max_pixels"] = 10;
  dir.Write("preprocessor_config.json", json.dump());
  ExpectError<FormatError>([&] { LoadImageProcessor(dir.path()); },
                           HasSubstr("shortest_edge <= longest_edge"));
  json["max_pixels"] = 4096;
  json["image_std"] = {0.5, 0, 0.5};
  dir.Write("preprocessor_config.json", json.dump());
  ExpectError<FormatError>([&] { LoadImageProcessor(dir.path()); }, HasSubstr("image_std"));
  ExpectError<UserError>([&] { LoadVideoProcessor(dir.path()); }, HasSubstr("is missing"));
}

}  // namespace
}  // namespace ingot
