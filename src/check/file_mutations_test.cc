// SPDX-License-Identifier: Apache-2.0
// Rules 0 to 9: files, descriptions, indexes, labels.
#include <gtest/gtest.h>

#include <string>

#include "check/mutations.h"

namespace ingot::check_test {

std::vector<Mutation> FileMutations() {
  return {
      {"commit list of a conversion", 0, kE, "gs310",
       [](const fs::path& dir) {
         fs::create_directories(dir / ".ingot-convert");
         Spill(dir / ".ingot-convert/commit.json", "{}");
       }},
      {"unfinished file", 0, kW, "v0",
       [](const fs::path& dir) { Spill(dir / "x.safetensors.partial", "x"); }},
      {"half a weight file",
       1,
       kE,
       "v0",
       [](const fs::path& dir) {
         fs::resize_file(WeightFile(dir), fs::file_size(WeightFile(dir)) / 2);
       },
       {3, 6}},
      {"no weight file",
       1,
       kE,
       "v0",
       [](const fs::path& dir) { fs::remove(WeightFile(dir)); },
       {3, 6}},
      {"header length beyond the file",
       1,
       kE,
       "v0",
       [](const fs::path& dir) { Spill(WeightFile(dir), std::string(8, '\xff') + "{}"); },
       {3, 6}},
      {"two copies of a tensor", 1, kE, "v0",
       [](const fs::path& dir) {
         fs::copy(WeightFile(dir), dir / "quant_model_weight_b.safetensors");
       }},
      {"no description", 2, kE, "v0", Without(kDescription)},
      {"no description of vectors", 2, kE, "gs310", Without(kDescription)},
      {"a second description", 2, kE, "gs310",
       [](const fs::path& dir) { fs::copy(dir / kDescription, dir / ("old_" + kDescription)); }},
      {"the older name beside", 2, kW, "gs310",
       [](const fs::path& dir) {
         fs::copy(dir / kDescription, dir / "quant_model_description_w8a8.json");
       }},
      {"the older name only", 2, kE, "v0",
       [](const fs::path& dir) {
         fs::rename(dir / kDescription, dir / "quant_model_description_w8a8.json");
       }},
      {"description is no JSON", 2, kE, "v0",
       [](const fs::path& dir) { Spill(dir / kDescription, "{\"a\": "); }},
      {"no model_quant_type", 2, kE, "v0", WithoutLine(kDescription, "model_quant_type")},
      {"label that is no string", 2, kE, "v0",
       OnText(kDescription, "\"lm_head.weight\": \"FLOAT\"", "\"lm_head.weight\": 8")},
      {"tensor without label", 3, kE, "v0", WithoutLine(kDescription, kQ + ".deq_scale")},
      {"label without tensor",
       3,
       kE,
       "v0",
       OnTensors([](Tensors& t) { t.erase(kQ + ".quant_bias"); }),
       {10}},
      {"stale total size", 4, kN, "gs310",
       OnText(kGsIndex, "\"total_size\": ", "\"total_size\": 9")},
      {"bogus keys", 4, kN, "gs310",
       OnText(kGsIndex, "\"weight_map\": {",
              "\"weight_map\": {\n\"version\": \"quant_model_weight_w8a8.safetensors\",")},
      {"index without a tensor", 4, kW, "gs310", WithoutLine(kGsIndex, kQ + ".weight")},
      {"index with a tensor that is not there", 4, kE, "gs310",
       OnText(kGsIndex, "\"weight_map\": {",
              "\"weight_map\": {\n\"x.weight\": \"quant_model_weight_w8a8.safetensors\",")},
      {"index is no JSON", 4, kE, "gs310",
       [](const fs::path& dir) { Spill(dir / kGsIndex, "[]"); }},
      {"tensor in another shard", 4, kE, "float",
       OnText(kGsIndex, "\"lm_head.weight\": \"model-00001-of-00003.safetensors\"",
              "\"lm_head.weight\": \"model-00002-of-00003.safetensors\"")},
      {"index names a missing file", 5, kE, "gs310",
       OnText(kGsIndex, "\"lm_head.weight\": \"quant_model_weight_w8a8.safetensors\"",
              "\"lm_head.weight\": \"other.safetensors\"")},
      {"the float model's index", 5, kE, "v0",
       [](const fs::path& dir) {
         fs::copy(TestModel("mini-qwen3-vl-untied") / kGsIndex, dir / kGsIndex);
       }},
      {"leftover float shards",
       5,
       kE,
       "v0",
       [](const fs::path& dir) {
         WriteTensors(dir / "model-00001-of-00002.safetensors",
                      {{"model.visual.extra.weight", Tensor(DType::kBF16, {4})}});
       },
       {3}},
      {"leftover float shards behind an index",
       5,
       kW,
       "gs310",
       [](const fs::path& dir) {
         WriteTensors(dir / "model-00001-of-00002.safetensors",
                      {{"model.visual.extra.weight", Tensor(DType::kBF16, {4})}});
       },
       {3}},
      {"float shards without index", 5, kE, "float", Without(kGsIndex)},
      {"a float shard is missing",
       5,
       kE,
       "float",
       Without("model-00002-of-00003.safetensors"),
       {6}},
      {"a tensor of the model is missing", 6, kE, "v0",
       [](const fs::path& dir) {
         EditTensors(dir, [](Tensors& t) { t.erase("model.visual.pos_embed.weight"); });
         WithoutLine(kDescription, "model.visual.pos_embed.weight")(dir);
       }},
      {"a shape that config.json contradicts", 6, kE, "v0", OnTensors([](Tensors& t) {
         t.at("model.language_model.norm.weight") = Tensor(DType::kF16, {7});
       })},
      {"a tensor that the source lacks is missing here",
       6,
       kE,
       "v0",
       [](const fs::path& dir) {
         EditTensors(dir, [](Tensors& t) { t.erase(kDown + ".weight"); });
         WithoutLine(kDescription, kDown + ".weight")(dir);
       },
       {8},
       "",
       true},
      {"a foreign tensor", 6, kW, "v0",
       [](const fs::path& dir) {
         EditTensors(dir,
                     [](Tensors& t) { t.emplace("model.extra.weight", Tensor(DType::kF16, {2})); });
         EditText(dir / kDescription, "\"lm_head.weight\"",
                  "\"model.extra.weight\": \"FLOAT\",\n  \"lm_head.weight\"");
       }},
  };
}

std::vector<Mutation> LabelMutations() {
  return {
      {"unknown label", 7, kE, "v0",
       OnText(kDescription, kDown + ".weight\": \"FLOAT\"", kDown + ".weight\": \"W9A9\"")},
      {"mixed labels in a module", 7, kE, "v0",
       OnText(kDescription, kO + ".deq_scale\": \"W8A8\"", kO + ".deq_scale\": \"FLOAT\"")},
      {"golden-stick knows no dynamic",
       7,
       kE,
       "gs310",
       OnText(kDescription, kDown + ".weight\": \"FLOAT\"", kDown + ".weight\": \"W8A8_DYNAMIC\""),
       {11}},
      {"q/k/v disagree", 8, kE, "v0",
       [](const fs::path& dir) {
         std::string text = Slurp(dir / kDescription);
         for (size_t at = 0; (at = text.find(kK + ".", at)) != std::string::npos; ++at) {
           text.replace(text.find("W8A8", at), 4, "W8A16");
         }
         Spill(dir / kDescription, text);
       }},
      {"no entry for the head",
       8,
       kE,
       "v1",
       [](const fs::path& dir) {
         WithoutLine(kDescription, "lm_head.weight")(dir);
         EditTensors(dir, [](Tensors& t) { t.erase("lm_head.weight"); });
       },
       {4, 6}},
      {"model type below the labels", 9, kE, "v0",
       OnText(kDescription, "\"model_quant_type\": \"W8A8\"", "\"model_quant_type\": \"FLOAT\"")},
      {"model type above the labels", 9, kW, "v0",
       OnText(kDescription, "\"model_quant_type\": \"W8A8\"",
              "\"model_quant_type\": \"W8A8_MXFP8\"")},
  };
}

TEST(CheckMutations, Files) { RunTable(FileMutations()); }
TEST(CheckMutations, LabelsOfTheDescription) { RunTable(LabelMutations()); }

}  // namespace ingot::check_test
