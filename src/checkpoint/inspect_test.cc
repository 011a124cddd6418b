// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/inspect.h"

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "checkpoint/folder_layout.h"
#include "checkpoint/synth.h"
#include "checkpoint/test_files.h"

namespace ingot {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Inspect, FloatFolder) {
  const Inspection found = Inspect(TestData("models/tiny-qwen3-vl"));
  EXPECT_EQ(found.format, "float");
  EXPECT_TRUE(found.problems.empty()) << found.problems[0];
  uint64_t bytes = 0;
  size_t tensors = 0;
  for (const auto& kind : found.kinds) {
    bytes += kind.bytes;
    tensors += kind.tensors;
  }
  EXPECT_EQ(bytes, found.data_bytes);
  EXPECT_EQ(tensors, found.tensors.size());
  const std::string text = InspectText(found, {});
  EXPECT_THAT(
      text, HasSubstr("Qwen3-VL; text: 4 layers of 256, 4/2 heads of 64; vision: 4 blocks of 192"));
  EXPECT_THAT(text, HasSubstr("text 0-3"));
  EXPECT_THAT(text, HasSubstr("model.language_model.layers.{0-3}.self_attn.q_proj.weight"));
  EXPECT_THAT(text, Not(HasSubstr("Problems")));
  const std::string filtered =
      InspectText(found, {.filter = "layers.2.*norm.weight", .all_tensors = true});
  EXPECT_THAT(filtered, HasSubstr("no tensor matches")) << "a glob is for the whole name";
  EXPECT_THAT(InspectText(found, {.filter = "*layers.2.*norm.weight", .all_tensors = true}),
              HasSubstr("model.language_model.layers.2.self_attn.q_norm.weight"));
}

TEST(Inspect, QuantizedFolderWithAContradiction) {
  ScratchDir dir;
  WriteSynthModel({.shape = "tiny"}, dir.path() / "m");
  // A description that calls a float weight W8A8, as a mixed-up folder would have it.
  std::vector<std::pair<std::string, std::string>> labels;
  for (const auto& spec : TensorTable(SynthConfig({.shape = "tiny"}), true)) {
    labels.emplace_back(spec.name, spec.name.find("layers.1.self_attn.o_proj") != std::string::npos
                                       ? "W8A8"
                                       : "FLOAT");
  }
  labels.pop_back();
  std::ofstream(dir.path() / "m" / kDescriptionName)
      << QuantDescriptionJson("W8A8", labels, DescriptionStyle::kV0);
  const Inspection found = Inspect(dir.path() / "m");
  EXPECT_EQ(found.model_quant_type, "W8A8");
  ASSERT_EQ(found.problems.size(), 1u);
  EXPECT_THAT(found.problems[0], HasSubstr("no label for 1 of"));
  const std::string text = InspectText(found, {});
  EXPECT_THAT(text, HasSubstr("W8A8 (BF16)"));
  EXPECT_THAT(text, HasSubstr("text 1")) << "unequal layers are not folded";
  const auto json = nlohmann::json::parse(InspectJson(found, {.filter = "o_proj.weight"}));
  EXPECT_EQ(json["tensors"].size(), 2u);
  EXPECT_EQ(json["tensors"][1]["label"], "W8A8");
  EXPECT_EQ(json["parameters"], SynthSizeOf(SynthConfig({.shape = "tiny"})).parameters);
}

TEST(Inspect, BrokenFolders) {
  ScratchDir dir;
  ExpectError<UserError>([&] { Inspect(dir.path() / "none"); }, HasSubstr("none"));
  ExpectError<UserError>([&] { Inspect(dir.path()); }, HasSubstr("no *.safetensors"));
  WriteSynthModel({.shape = "tiny", .shard_bytes = 100'000}, dir.path() / "m");
  const auto out = dir.path() / "m";
  std::vector<std::filesystem::path> shards;
  for (const auto& path : ListFiles(out)) {
    if (path.extension() == ".safetensors") shards.push_back(path);
  }
  std::filesystem::resize_file(shards[0], 5000);
  std::filesystem::remove(out / "config.json");
  const Inspection found = Inspect(out);
  EXPECT_EQ(found.format, "unknown");
  EXPECT_EQ(found.problems.size(), 2u);
  EXPECT_GT(found.tensors.size(), 10u) << "the other files are shown";
  EXPECT_THAT(InspectText(found, {}), HasSubstr("no config.json"));
  const Inspection one = Inspect(shards[1]);
  EXPECT_EQ(one.files.size(), 1u);
  ExpectError<FormatError>([&] { Inspect(shards[0]); }, HasSubstr("cut off"));
}

TEST(Inspect, FiltersAndNumbers) {
  EXPECT_TRUE(MatchesFilter("a.b.c", "b.c"));
  EXPECT_TRUE(MatchesFilter("a.b.c", ""));
  EXPECT_TRUE(MatchesFilter("a.b.c", "a*c"));
  EXPECT_TRUE(MatchesFilter("a.b.c", "?.b.?"));
  EXPECT_FALSE(MatchesFilter("a.b.c", "b*"));
  EXPECT_TRUE(MatchesFilter("aaab", "*a*ab"));
  EXPECT_EQ(SplitLayerNumber("m.layers.12.x").first, "m.layers.{}.x");
  EXPECT_EQ(SplitLayerNumber("m.layers.12.x").second, 12);
  EXPECT_EQ(SplitLayerNumber("m.layers12.x").second, std::nullopt);
  EXPECT_EQ(SplitLayerNumber("m.99999999999.x").second, std::nullopt);
}

}  // namespace
}  // namespace ingot
