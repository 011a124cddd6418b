// SPDX-License-Identifier: Apache-2.0
// Rules 21 to 24: config.json, side files, float values, compressed-tensors.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/numeric.h"
#include "check/mutations.h"

namespace ingot::check_test {

std::vector<Mutation> ConfigMutations() {
  return {
      {"quantization_config for an Ascend engine", 21, kE, "gs310",
       OnText("config.json", "{",
              "{\"quantization_config\": {\"quant_method\": \"compressed-tensors\"},")},
      {"key of old MindIE", 21, kW, "v1", OnText("config.json", "{", "{\"quantize\": \"w8a8\",")},
      {"no config.json", 21, kE, "gs310", Without("config.json"), {}},
      {"config.json is no JSON", 21, kE, "gs310",
       [](const fs::path& dir) { Spill(dir / "config.json", "{"); }},
      {"another architecture", 21, kW, "float", OnText("config.json", "\"qwen3_vl\"", "\"llama\"")},
      {"description beside compressed-tensors", 21, kE, "gs310",
       [](const fs::path& dir) {
         fs::remove(dir / "config.json");
         fs::copy(SoundFolder("ct") / "config.json", dir / "config.json");
       }},
      {"bfloat16 on a 310P", 22, kW, "gs310",
       OnText("config.json", "\"torch_dtype\": \"float16\"", "\"torch_dtype\": \"bfloat16\"")},
      {"no tokenizer", 22, kE, "gs310", Without("tokenizer.json")},
      {"no processor", 22, kE, "float", Without("preprocessor_config.json")},
      {"no merges", 22, kW, "v0", Without("merges.txt")},
      {"no template", 22, kW, "gs310",
       [](const fs::path& dir) {
         fs::remove(dir / "chat_template.json");
         Spill(dir / "tokenizer_config.json", "{}");
       }},
      {"no video processor", 22, kW, "gs310", Without("video_preprocessor_config.json")},
      {"processor is no JSON", 22, kE, "gs310",
       [](const fs::path& dir) { Spill(dir / "preprocessor_config.json", "nonsense"); }},
      {"NaN in a float tensor", 23, kE, "v0",
       OnTensors([](Tensors& t) { t.at(kDown + ".weight").As<uint16_t>()[9] = 0x7e00; })},
      {"infinity in the bias of a quantized linear",
       23,
       kE,
       "v1",
       OnTensors([](Tensors& t) {
         t.at("model.visual.blocks.0.attn.qkv.bias").As<float>()[0] = INFINITY;
       }),
       {16}},
      {"float tensor that is not the source's",
       23,
       kE,
       "v0",
       OnTensors(
           [](Tensors& t) { t.at("model.visual.pos_embed.weight").As<uint16_t>()[0] ^= 0x40; }),
       {},
       "",
       true},
      {"codes taken for weights",
       23,
       kE,
       "float",
       [](const fs::path& dir) {
         const fs::path file = dir / "model-00001-of-00003.safetensors";
         Tensors tensors = ReadTensors(file);
         auto& [name, tensor] = *std::find_if(tensors.begin(), tensors.end(), [](const auto& item) {
           return item.first.ends_with("_proj.weight") || item.first.ends_with("fc1.weight");
         });
         for (uint16_t& value : tensor.As<uint16_t>()) value = F32ToBf16(value % 100);
         WriteTensors(file, tensors);
       },
       {},
       "not the source's",
       true},
      {"smoothed model",
       23,
       kN,
       "v0",
       OnTensors(
           [](Tensors& t) { t.at(kLayer + "input_layernorm.weight").As<uint16_t>()[0] ^= 0x40; }),
       {},
       "",
       true},
      {"float linear that nobody ignores", 24, kE, "ct",
       OnText("config.json", "re:.*visual.*", "re:.*nothing.*")},
      {"int8 linear that is ignored", 24, kE, "ct",
       OnText("config.json", "re:.*visual.*", "re:.*visual.*\",\n\"re:.*q_proj")},
      {"patterns in checkpoint names only", 24, kE, "ct",
       OnText("config.json", "re:.*visual.*", "re:model\\\\.visual.*")},
      {"pattern that is no pattern", 24, kE, "ct",
       OnText("config.json", "re:.*visual.*", "re:.*visual.*\",\n\"re:(")},
      {"zero point in a symmetric folder", 24, kE, "ct",
       [](const fs::path& dir) {
         const std::string text = Slurp(dir / "config.json");
         const size_t at = text.find("\"symmetric\": false");
         ASSERT_NE(at, std::string::npos);
         EditText(dir / "config.json", "\"symmetric\": false", "\"symmetric\": true");
       }},
      {"static scales in a dynamic folder",
       24,
       kE,
       "ctdyn",
       OnTensors([](Tensors& t) { t.emplace(kO + ".input_scale", Tensor(DType::kF32, {1})); }),
       {13}},
      {"no static scale", 24, kE, "ct", OnTensors([](Tensors& t) {
         t.erase(kO + ".input_scale");
         t.erase(kO + ".input_zero_point");
       })},
  };
}

TEST(CheckMutations, ConfigurationAndValues) { RunTable(ConfigMutations()); }

}  // namespace ingot::check_test
