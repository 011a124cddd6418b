// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/tensor_table.h"

#include <map>
#include <set>

#include "checkpoint/model_reader.h"
#include "checkpoint/synth.h"
#include "checkpoint/test_files.h"

namespace ingot {
namespace {

uint64_t Parameters(const ModelConfig& config, bool tied) {
  uint64_t count = 0;
  for (const auto& spec : TensorTable(config, tied))
    count += static_cast<uint64_t>(NumElements(spec.shape));
  return count;
}

// Totals of the released models (the 8B total is that of its public tensor census: 750 tensors).
TEST(TensorTable, ParameterCountsOfTheReleasedModels) {
  const std::map<std::string, uint64_t> expected = {
      {"2b", 2'127'532'032},   {"4b", 4'437'815'808},       {"8b", 8'767'123'696},
      {"32b", 33'357'390'064}, {"30b-a3b", 31'070'754'032}, {"235b-a22b", 235'670'022'896},
  };
  for (const auto& [name, parameters] : expected) {
    const ModelConfig config = SynthConfig({.shape = name});
    EXPECT_EQ(Parameters(config, config.tie_word_embeddings), parameters) << name;
  }
  EXPECT_EQ(TensorTable(SynthConfig({.shape = "8b"}), false).size(), 750u);
}

TEST(TensorTable, MatchesTheTensorsOfRealFolders) {
  for (const char* name : {"tiny-qwen3-vl", "mini-qwen3-vl-untied"}) {
    SCOPED_TRACE(name);
    const ModelReader reader(TestData(std::string("models/") + name));
    EXPECT_EQ(reader.format(), FolderFormat::kFloat);
    EXPECT_NO_THROW(ValidateFloat(reader));
    EXPECT_EQ(TensorTable(reader.config(), reader.tied()).size(), reader.TensorNames().size());
  }
}

TEST(LinearTable, SitesAreSharedByLinearsOfOneInput) {
  const auto config = LoadModelConfig(TestData("models/tiny-qwen3-vl"));
  std::map<std::string, std::set<std::string>> sites;
  std::map<std::string, int64_t> width;
  for (const auto& linear : LinearTable(config)) {
    sites[linear.site].insert(std::string(LinearKindName(linear.kind)));
    const auto [it, fresh] = width.emplace(linear.site, linear.in);
    EXPECT_EQ(it->second, linear.in) << linear.module;
  }
  const std::set<std::string> attention = {"q_proj", "k_proj", "v_proj"},
                              mlp = {"gate_proj", "up_proj"};
  EXPECT_EQ(sites.at("text.layer.3.attn_in"), attention);
  EXPECT_EQ(sites.at("text.layer.0.mlp_in"), mlp);
  for (const char* site :
       {"text.layer.0.o_in", "text.layer.0.down_in", "vision.block.3.qkv_in",
        "vision.block.0.proj_in", "vision.block.0.fc1_in", "vision.block.0.fc2_in",
        "vision.merger.fc1_in", "vision.merger.fc2_in", "vision.deepstack.2.fc1_in",
        "vision.deepstack.0.fc2_in", "text.head_in"}) {
    EXPECT_EQ(sites.count(site), 1u) << site;
    EXPECT_EQ(sites[site].size(), 1u) << site;
  }
  // Each linear's weight stands in the tensor table with its shape.
  std::map<std::string, Shape> shapes;
  for (const auto& spec : TensorTable(config, false)) shapes[spec.name] = spec.shape;
  for (const auto& linear : LinearTable(config)) {
    EXPECT_EQ(shapes.at(linear.module + ".weight"), (Shape{linear.out, linear.in}));
    EXPECT_EQ(shapes.count(linear.module + ".bias") == 1, linear.bias) << linear.module;
  }
}

TEST(TensorNames, ModuleAndSuffix) {
  EXPECT_EQ(ModuleOf("a.b.weight"), "a.b");
  EXPECT_EQ(SuffixOf("a.b.weight"), "weight");
  EXPECT_EQ(ModuleOf("weight"), "");
  EXPECT_EQ(SuffixOf("weight"), "weight");
}

TEST(TensorTable, UnsupportedFamilies) {
  const auto config = LoadModelConfig(TestData("models/mini-qwen2.5-vl"));
  ExpectError<UserError>([&] { TensorTable(config, true); }, testing::HasSubstr("Qwen2.5-VL"));
}

}  // namespace
}  // namespace ingot
