// SPDX-License-Identifier: Apache-2.0
// Folders: what is found, what is refused, and which format is recognised.
#include "checkpoint/model_reader.h"

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "checkpoint/folder_layout.h"
#include "checkpoint/synth.h"
#include "checkpoint/test_files.h"

namespace ingot {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// A file with these tensors, data zero.
void WriteWeights(const std::filesystem::path& dir, const std::string& file_name,
                  const std::vector<PlannedTensor>& tensors) {
  SafetensorsWriter writer(dir, PlanShards(tensors, {.single_name = file_name}), {});
  for (const auto& tensor : tensors) writer.MarkWritten(tensor.name);
  writer.Commit();
}

void WriteConfig(const ScratchDir& dir) {
  dir.Write("config.json", Slurp(TestData("checkpoint/source_config.json")));
}

// A quantized folder of the small source model in one of our layouts, data zero.
void WriteFolder(const ScratchDir& dir, const FolderLayout& layout) {
  WriteConfig(dir);
  const auto type_of = [&](const LinearSpec& linear) {
    return DefaultLinearType(layout, linear.kind);
  };
  const auto tensors = FolderTensors(layout, LoadModelConfig(dir.path()), false, type_of,
                                     [](const std::string&) { return DType::kBF16; });
  const auto labels = Labels(tensors);
  const std::string type = ModelQuantType(labels);
  const auto plan = PlanShards(StoredTensors(tensors), ShardPolicyFor(layout, type));
  SafetensorsWriter writer(dir.path(), plan, WriterOptions(layout));
  for (const auto& tensor : StoredTensors(tensors)) writer.MarkWritten(tensor.name);
  writer.Commit();
  if (const auto index = IndexName(layout, plan, type)) dir.Write(*index, IndexText(layout, plan));
  if (const auto style = DescriptionStyleOf(layout.target)) {
    dir.Write(std::string(kDescriptionName), QuantDescriptionJson(type, labels, *style));
  }
  const ConfigEdits edits{.ct_ignore =
                              CompressedTensorsIgnore(LoadModelConfig(dir.path()), type_of)};
  dir.Write("config.json", RewriteConfig(layout, Slurp(dir.path() / "config.json"), edits));
}

TEST(ModelReader, RecognisesEveryFormatThatIsWritten) {
  for (const Target target : AllTargets()) {
    SCOPED_TRACE(TargetName(target));
    ScratchDir dir;
    FolderLayout layout{.target = target};
    layout.options.run_dtype = target == Target::kGoldenStick910 ? DType::kBF16 : DType::kF16;
    WriteFolder(dir, layout);
    const ModelReader reader(dir.path());
    EXPECT_EQ(FolderFormatName(reader.format()), TargetName(target));
    EXPECT_EQ(reader.description().has_value(), target != Target::kCompressedTensors);
    EXPECT_EQ(reader.compressed_tensors().has_value(), target == Target::kCompressedTensors);
    EXPECT_FALSE(reader.tied());
    const std::string q = "model.language_model.layers.0.self_attn.q_proj.weight";
    EXPECT_EQ(reader.View(q).dtype, DType::kI8);
    if (reader.description()) {
      EXPECT_EQ(*reader.description()->Find(q), "W8A8");
      EXPECT_EQ(reader.description()->Find("nothing"), nullptr);
    }
    ExpectError<UserError>(
        [&] { ValidateFloat(reader); },
        AllOf(HasSubstr("quantized already"), HasSubstr(std::string(TargetName(target)))));
  }
}

TEST(ModelReader, TellsV0FromV1WithoutTheFileName) {
  for (const Target target : {Target::kAscendV0, Target::kAscend}) {
    ScratchDir dir;
    WriteFolder(dir, {.target = target});
    for (const auto& path : ListFiles(dir.path())) {
      if (path.extension() == ".safetensors")
        std::filesystem::rename(path, dir.path() / "model.safetensors");
      if (path.string().ends_with("index.json")) std::filesystem::remove(path);
    }
    EXPECT_EQ(TargetOf(ModelReader(dir.path()).format()), target);
  }
}

TEST(ModelReader, AcceptsTheIndexOfTheOriginalConverter) {
  ScratchDir dir;
  WriteFolder(dir, {Target::kGoldenStick310, {.run_dtype = DType::kF16}});
  auto index = nlohmann::ordered_json::parse(Slurp(dir.path() / "model.safetensors.index.json"));
  index["weight_map"]["version"] = "quant_model_weight_w8a8.safetensors";
  index["metadata"]["total_size"] = 1;
  dir.Write("model.safetensors.index.json", index.dump(2));
  const ModelReader reader(dir.path());
  EXPECT_EQ(reader.format(), FolderFormat::kGoldenStick310);
  EXPECT_EQ(reader.index()->total_size, 1u);
}

TEST(ModelReader, ReadsShardedFolders) {
  const ModelReader reader(TestData("models/mini-qwen3-vl-untied"));
  EXPECT_EQ(reader.files().size(), 3u);
  EXPECT_FALSE(reader.tied());
  uint64_t bytes = 0;
  for (const auto& name : reader.TensorNames()) bytes += reader.View(name).bytes.size();
  EXPECT_EQ(bytes, reader.data_bytes());
  reader.Prefetch("lm_head.weight");
  reader.Drop("lm_head.weight");
  ExpectError<FormatError>([&] { reader.View("x.weight"); },
                           AllOf(HasSubstr("x.weight"), HasSubstr("is missing")));
}

class BrokenFolder : public testing::Test {
 protected:
  BrokenFolder() { WriteConfig(dir_); }
  void Weights(const std::string& file, const std::vector<std::string>& names,
               DType dtype = DType::kF32) {
    std::vector<PlannedTensor> planned;
    for (const auto& name : names) planned.push_back({name, dtype, {2}});
    WriteWeights(dir_.path(), file, planned);
  }
  void Index(const std::string& map) {
    dir_.Write("model.safetensors.index.json",
               "{\"metadata\":{\"total_size\":8},\"weight_map\":" + map + "}");
  }
  template <typename E>
  void Fails(const char* message) {
    ExpectError<E>([&] { ModelReader reader(dir_.path()); }, HasSubstr(message));
  }
  ScratchDir dir_;
};

TEST_F(BrokenFolder, NoWeights) {
  Fails<UserError>("no *.safetensors file");
  dir_.Write("pytorch_model.bin", "x");
  Fails<UserError>("pytorch_model.bin");
}

TEST_F(BrokenFolder, UnfinishedWeights) {
  dir_.Write("model.safetensors.partial", "x");
  Fails<UserError>("unfinished");
}

TEST_F(BrokenFolder, SeveralCandidates) {
  Weights("model.safetensors", {"a"});
  Weights("consolidated.safetensors", {"b"});
  Fails<UserError>("consolidated.safetensors, model.safetensors");
}

TEST_F(BrokenFolder, SetsWithoutIndex) {
  Weights("m-00001-of-00002.safetensors", {"a"});
  Weights("m-00003-of-00002.safetensors", {"b"});
  Fails<FormatError>("has 2 of the 2 shards");
  std::filesystem::remove(dir_.path() / "m-00003-of-00002.safetensors");
  Weights("m-00002-of-00002.safetensors", {"b"});
  EXPECT_THAT(ModelReader(dir_.path()).TensorNames(), ElementsAre("a", "b"));
  Weights("n-00001-of-00002.safetensors", {"c"});
  Fails<UserError>("no index that chooses");
}

TEST_F(BrokenFolder, MissingShard) {
  Weights("a.safetensors", {"a"});
  Index(R"({"a":"a.safetensors","b":"b.safetensors"})");
  Fails<FormatError>("names the file b.safetensors, which is not in the folder");
}

TEST_F(BrokenFolder, IndexThatLies) {
  Weights("a.safetensors", {"a"});
  Weights("b.safetensors", {"b"});
  Index(R"({"a":"a.safetensors","b":"b.safetensors","c":"b.safetensors"})");
  Fails<FormatError>("tensor c: should be in b.safetensors, no file holds it");
  Index(R"({"a":"b.safetensors","b":"a.safetensors"})");
  Fails<FormatError>("tensor a: should be in b.safetensors, a.safetensors holds it");
  Index(R"({"a":"a.safetensors","a":"b.safetensors"})");
  Fails<FormatError>("\"a\" stands twice");
  Index(R"({"a":"../a.safetensors"})");
  Fails<FormatError>("names no file of this folder");
  Index(R"({"a":"..","b":3})");
  Fails<FormatError>("names no file of this folder");
  Index("{}");
  Fails<FormatError>("weight_map: is empty");
  Index("[]");
  Fails<FormatError>("weight_map: is a list");
  dir_.Write("other.safetensors.index.json", "{}");
  Fails<UserError>("holds 2 indexes");
}

TEST_F(BrokenFolder, TensorInTwoShards) {
  Weights("m-00001-of-00002.safetensors", {"a"});
  Weights("m-00002-of-00002.safetensors", {"a"});
  Fails<FormatError>("tensor a: is also in m-00001-of-00002.safetensors");
}

TEST_F(BrokenFolder, QuantizedWithoutDescription) {
  Weights("model.safetensors", {"x.weight"}, DType::kI8);
  Fails<FormatError>(
      "tensor x.weight: is int8, but the folder has no quant_model_description.json");
}

TEST_F(BrokenFolder, TwoDescriptions) {
  Weights("model.safetensors", {"a"});
  const std::string description = R"({"model_quant_type":"W8A8","a":"FLOAT"})";
  dir_.Write("quant_model_description_w8a8.json", description);
  EXPECT_EQ(ModelReader(dir_.path()).description()->file_name, "quant_model_description_w8a8.json");
  dir_.Write("quant_model_description.json", description);
  Fails<UserError>("holds 2 quantization descriptions");
}

TEST_F(BrokenFolder, OtherQuantizationMethods) {
  Weights("model.safetensors", {"a"});
  auto json = nlohmann::ordered_json::parse(Slurp(dir_.path() / "config.json"));
  json["quantization_config"] = {{"quant_method", "fp8"}};
  dir_.Write("config.json", json.dump());
  Fails<UserError>("quant_method is \"fp8\"");
  json["quantization_config"] = {{"quant_method", "compressed-tensors"},
                                 {"format", "pack-quantized"}};
  dir_.Write("config.json", json.dump());
  Fails<UserError>("format is \"pack-quantized\"");
}

TEST_F(BrokenFolder, ValidateFloat) {
  Weights("model.safetensors", {"lm_head.weight"});
  ExpectError<FormatError>([&] { ValidateFloat(ModelReader(dir_.path())); },
                           HasSubstr("tensor model.visual.patch_embed.proj.weight: is missing"));
  Weights("model.safetensors", {"model.visual.patch_embed.proj.weight"});
  ExpectError<FormatError>([&] { ValidateFloat(ModelReader(dir_.path())); },
                           HasSubstr("lm_head.weight: is missing"));
  Weights("model.safetensors", {"lm_head.weight", "model.visual.patch_embed.proj.weight"});
  ExpectError<FormatError>(
      [&] { ValidateFloat(ModelReader(dir_.path())); },
      HasSubstr("is F32 [2]; BF16, F16 or F32 [96, 3, 2, 16, 16] was expected"));
}

TEST(QuantDescription, ParsesBothStyles) {
  const auto v0 = ParseQuantDescription(TestData("checkpoint/v0_description.json"));
  EXPECT_TRUE(v0.header_first);
  EXPECT_EQ(v0.model_quant_type, "W8A8");
  EXPECT_EQ(v0.version, "1.0.0");
  EXPECT_THAT(v0.header_keys, ElementsAre("version", "model_quant_type"));
  EXPECT_EQ(v0.labels.size(), 3u * 47 + (12 * 3 + 6 * 3 + 9) + 3);
  EXPECT_EQ(QuantDescriptionJson("W8A8", v0.labels, DescriptionStyle::kV0),
            Slurp(TestData("checkpoint/v0_description.json")));
  const auto v1 = ParseQuantDescription(TestData("checkpoint/v1_description.json"));
  EXPECT_FALSE(v1.header_first);
  EXPECT_EQ(*v1.Find("model.visual.blocks.0.attn.qkv.bias"), "FLOAT");
  EXPECT_EQ(QuantDescriptionJson("W8A8", v1.labels, DescriptionStyle::kV1),
            Slurp(TestData("checkpoint/v1_description.json")));
}

TEST(QuantDescription, RefusesBadFiles) {
  ScratchDir dir;
  const auto fails = [&](const std::string& text, const char* message) {
    const auto path = dir.Write("quant_model_description.json", text);
    ExpectError<FormatError>(
        [&] { ParseQuantDescription(path); },
        AllOf(HasSubstr("quant_model_description.json: "), HasSubstr(message)));
  };
  fails("[]", "a JSON object was expected");
  fails("{\"a.weight\":\"W8A8\"}", "model_quant_type: is missing");
  fails("{\"model_quant_type\":3}", "model_quant_type: is 3");
  fails("{\"model_quant_type\":\"W8A8\",\"a\":1}", "a: the label is an integer");
  fails("{\"model_quant_type\":\"W8A8\",\"a\":\"X\",\"a\":\"X\"}", "stands twice");
}

}  // namespace
}  // namespace ingot
