// SPDX-License-Identifier: Apache-2.0
// The written formats against the folders of the original quantizer and converter: descriptions,
// config.json and indexes byte for byte, names, dtypes and shapes of every tensor.
#include "checkpoint/folder_layout.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "checkpoint/quant_format.h"
#include "checkpoint/test_files.h"

namespace ingot {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Golden(const std::string& name) { return Slurp(TestData("checkpoint/" + name)); }

ModelConfig SourceConfig() {
  ScratchDir dir;
  dir.Write("config.json", Golden("source_config.json"));
  return LoadModelConfig(dir.path());
}

FolderLayout Layout(Target target, DType run_dtype) {
  FolderLayout layout{.target = target};
  layout.options.run_dtype = run_dtype;
  return layout;
}

std::vector<LayoutTensor> Tensors(const FolderLayout& layout, bool tied = false) {
  return FolderTensors(
      layout, SourceConfig(), tied,
      [&](const LinearSpec& linear) { return DefaultLinearType(layout, linear.kind); },
      [](const std::string&) { return DType::kBF16; });
}

std::string Description(const FolderLayout& layout, const std::vector<LayoutTensor>& tensors) {
  const auto labels = Labels(tensors);
  return QuantDescriptionJson(ModelQuantType(labels), labels, *DescriptionStyleOf(layout.target));
}

// The default set of ascend-v0 in float16 is what the original writes: description and container.
TEST(FolderLayoutGolden, V0) {
  const auto layout = Layout(Target::kAscendV0, DType::kF16);
  const auto tensors = Tensors(layout);
  EXPECT_EQ(Description(layout, tensors), Golden("v0_description.json"));
  const auto plan = PlanShards(StoredTensors(tensors), ShardPolicyFor(layout, "W8A8"));
  ASSERT_EQ(plan.shards.size(), 1u);
  EXPECT_EQ(plan.shards[0].file_name, "quant_model_weight_w8a8.safetensors");
  EXPECT_EQ(IndexName(layout, plan, "W8A8"), std::nullopt);
  ScratchDir dir;
  SafetensorsWriter writer(dir.path(), plan, WriterOptions(layout));
  for (const auto& tensor : StoredTensors(tensors)) writer.MarkWritten(tensor.name);
  writer.Commit();
  const std::string golden = Golden("v0.header");
  EXPECT_EQ(Slurp(dir.path() / plan.shards[0].file_name).substr(0, golden.size()), golden);
}

TEST(FolderLayoutGolden, V0Dynamic) {
  const auto layout = Layout(Target::kAscendV0, DType::kF16);
  const auto tensors = FolderTensors(
      layout, SourceConfig(), false,
      [&](const LinearSpec& linear) {
        const auto type = DefaultLinearType(layout, linear.kind);
        return type == LinearType::kStatic ? LinearType::kDynamic : type;
      },
      [](const std::string&) { return DType::kBF16; });
  EXPECT_EQ(Description(layout, tensors), Golden("v0_dynamic_description.json"));
  EXPECT_EQ(ShardPolicyFor(layout, "W8A8_DYNAMIC").single_name,
            "quant_model_weight_w8a8_dynamic.safetensors");
}

// The recipe quantizes the vision tower's qkv, proj and fc1 too.
TEST(FolderLayoutGolden, V1) {
  auto layout = Layout(Target::kAscend, DType::kBF16);
  layout.options.keep_weight_scale = false;
  const auto tensors = FolderTensors(
      layout, SourceConfig(), false,
      [&](const LinearSpec& linear) {
        const bool vision = linear.kind == LinearKind::kVisionQkv ||
                            linear.kind == LinearKind::kVisionProj ||
                            linear.kind == LinearKind::kVisionFc1;
        return vision ? LinearType::kStatic : DefaultLinearType(layout, linear.kind);
      },
      [](const std::string&) { return DType::kBF16; });
  EXPECT_EQ(Description(layout, tensors), Golden("v1_description.json"));
  const auto plan = PlanShards(StoredTensors(tensors), ShardPolicyFor(layout, "W8A8"));
  EXPECT_EQ(IndexName(layout, plan, "W8A8"), "quant_model_weights.safetensors.index.json");
  // The original stores the float tensors of the text layers from 1 on as F32 and so counts more
  // bytes; files, order and form are equal.
  std::string text = IndexText(layout, plan);
  const std::string golden = Golden("v1_index.json");
  EXPECT_EQ(text.substr(text.find("weight_map")), golden.substr(golden.find("weight_map")));
}

// What the converter made of the V0 folder, header by header.
TEST(FolderLayoutGolden, GoldenStick) {
  const auto layout = Layout(Target::kGoldenStick310, DType::kF16);
  const auto tensors = Tensors(layout);
  EXPECT_EQ(Description(layout, tensors), Golden("v0_description.json"));
  const auto plan = PlanShards(StoredTensors(tensors), ShardPolicyFor(layout, "W8A8"));
  EXPECT_EQ(IndexName(layout, plan, "W8A8"), "model.safetensors.index.json");
  ScratchDir dir;
  SafetensorsWriter writer(dir.path(), plan, WriterOptions(layout));
  for (const auto& tensor : StoredTensors(tensors)) writer.MarkWritten(tensor.name);
  writer.Commit();
  const std::string golden = Golden("gs310.header");
  EXPECT_EQ(Slurp(dir.path() / plan.shards[0].file_name).substr(0, golden.size()), golden);

  // The converter's index has a bogus "version" entry and the file's size; the rest is equal.
  auto expected = nlohmann::ordered_json::parse(Golden("gs310_index.json"));
  expected["weight_map"].erase("version");
  expected["metadata"]["total_size"] = plan.data_bytes;
  EXPECT_EQ(IndexText(layout, plan), expected.dump(2));
}

TEST(FolderLayout, GoldenStick910) {
  const auto layout = Layout(Target::kGoldenStick910, DType::kBF16);
  std::map<std::string, LayoutTensor> tensors;
  for (const auto& tensor : Tensors(layout)) tensors[tensor.name] = tensor;
  const std::string o = "model.language_model.layers.1.self_attn.o_proj.";
  EXPECT_EQ(tensors.at(o + "input_scale").dtype, DType::kF16);
  EXPECT_EQ(tensors.at(o + "input_scale").shape, Shape{128});
  EXPECT_EQ(tensors.at(o + "input_offset").dtype, DType::kBF16);
  EXPECT_EQ(tensors.at(o + "deq_scale").dtype, DType::kF32);
  EXPECT_EQ(tensors.at(o + "weight_scale").dtype, DType::kBF16);
  EXPECT_EQ(tensors.at("lm_head.weight").dtype, DType::kBF16);
  EXPECT_EQ(TypeAllowed(layout, LinearKind::kQ, LinearType::kDynamic), false);
  EXPECT_EQ(TypeAllowed(layout, LinearKind::kDown, LinearType::kStatic), true);
  EXPECT_FALSE(QuantBiasHoldsBias(layout));
}

TEST(FolderLayout, AscendByRunType) {
  for (const Target target : {Target::kAscendV0, Target::kAscend}) {
    EXPECT_EQ(DeqScaleDType(Layout(target, DType::kF16)), DType::kI64);
    EXPECT_EQ(DeqScaleDType(Layout(target, DType::kBF16)), DType::kF32);
    EXPECT_EQ(InputScaleDType(Layout(target, DType::kBF16)), DType::kF32);
    EXPECT_TRUE(QuantBiasHoldsBias(Layout(target, DType::kF16)));
  }
  EXPECT_EQ(WeightScaleDType(Layout(Target::kAscendV0, DType::kBF16)), DType::kBF16);
  EXPECT_EQ(WeightScaleDType(Layout(Target::kAscend, DType::kBF16)), DType::kF32);
  const LinearSpec biased{"v", LinearKind::kVisionQkv, TensorPart::kVision, 0, 6, 2, true, "s"};
  const auto tensors = LinearTensors(Layout(Target::kAscendV0, DType::kBF16), biased,
                                     LinearType::kStatic, DType::kF32);
  std::vector<std::string> rows;
  for (const auto& t : tensors) {
    rows.push_back(
        fmt::format("{} {} {} {}", t.name, DTypeName(t.dtype), ShapeText(t.shape), t.label));
  }
  EXPECT_THAT(rows,
              ElementsAre("v.weight I8 [6, 2] W8A8", "v.bias BF16 [6] FLOAT",
                          "v.weight_scale BF16 [6, 1] W8A8", "v.weight_offset BF16 [6, 1] W8A8",
                          "v.input_scale F32 [1] W8A8", "v.input_offset F32 [1] W8A8",
                          "v.quant_bias I32 [6] W8A8", "v.deq_scale F32 [6] W8A8"));
}

TEST(FolderLayout, TiedHeads) {
  const auto last = [](const FolderLayout& layout) { return Tensors(layout, true).back(); };
  auto layout = Layout(Target::kGoldenStick310, DType::kF16);
  EXPECT_EQ(last(layout).name, "lm_head.weight");
  EXPECT_FALSE(last(layout).stored) << "a label without a tensor";
  EXPECT_EQ(StoredTensors(Tensors(layout, true)).size(), Tensors(layout, true).size() - 1);
  layout.options.write_tied_head = true;
  EXPECT_TRUE(last(layout).stored);
  EXPECT_EQ(last(layout).shape, (Shape{2048, 128}));
  EXPECT_EQ(last(Layout(Target::kCompressedTensors, DType::kBF16)).name,
            "model.language_model.norm.weight");
  ModelConfig config = SourceConfig();
  EXPECT_TRUE(DefaultLayout(Target::kAscend, config).options.write_tied_head);
  EXPECT_FALSE(DefaultLayout(Target::kGoldenStick910, config).options.write_tied_head);
}

TEST(FolderLayout, CompressedTensors) {
  auto layout = Layout(Target::kCompressedTensors, DType::kBF16);
  const LinearSpec up{"m.up_proj", LinearKind::kUp, TensorPart::kText, 0, 6, 2, false, "s"};
  const auto names = [&](LinearType type) {
    std::vector<std::string> rows;
    for (const auto& t : LinearTensors(layout, up, type, DType::kF32)) {
      rows.push_back(
          fmt::format("{} {} {}", SuffixOf(t.name), DTypeName(t.dtype), ShapeText(t.shape)));
    }
    return rows;
  };
  EXPECT_THAT(names(LinearType::kDynamic),
              ElementsAre("weight I8 [6, 2]", "weight_scale F32 [6, 1]"));
  EXPECT_THAT(names(LinearType::kFloat), ElementsAre("weight F32 [6, 2]"))
      << "keeps the source's type";
  ExpectError<UserError>([&] { names(LinearType::kStatic); },
                         HasSubstr("dynamic activation scales in all"));
  layout.options.ct_dynamic = false;
  layout.options.ct_symmetric = false;
  EXPECT_THAT(names(LinearType::kStatic),
              ElementsAre("weight I8 [6, 2]", "weight_scale F32 [6, 1]", "input_scale F32 [1]",
                          "input_zero_point I8 [1]"));
  const auto plan = PlanShards(StoredTensors(Tensors(layout)), ShardPolicyFor(layout, "W8A8"));
  EXPECT_EQ(plan.shards[0].file_name, "model.safetensors");
  EXPECT_EQ(IndexName(layout, plan, "W8A8"), std::nullopt);
}

TEST(FolderLayout, ShardsLikeTheOriginal) {
  auto layout = Layout(Target::kAscendV0, DType::kF16);
  layout.options.shard_bytes = uint64_t{1} << 30;
  const auto policy = ShardPolicyFor(layout, "W8A8");
  const int64_t half = int64_t{1} << 29;
  const auto plan = PlanShards({{"a", DType::kI8, {half}}, {"b", DType::kI8, {half}}}, policy);
  ASSERT_EQ(plan.shards.size(), 2u)
      << "a shard that would reach the limit exactly is closed before";
  EXPECT_EQ(plan.shards[1].file_name, "quant_model_weight_w8a8-00002-of-00002.safetensors");
  EXPECT_EQ(IndexName(layout, plan, "W8A8"), "quant_model_weight_w8a8.safetensors.index.json");
  const auto small = PlanShards({{"a", DType::kI8, {1}}}, policy);
  EXPECT_EQ(small.shards[0].file_name, "quant_model_weight_w8a8-00001-of-00001.safetensors");
  EXPECT_EQ(ShardPolicyFor(Layout(Target::kAscend, DType::kBF16), "W8A8").max_bytes,
            (uint64_t{4} << 30) - 1);
}

TEST(FolderLayout, RefusesContradictions) {
  ExpectError<UserError>([] { ValidateLayout(Layout(Target::kGoldenStick310, DType::kBF16)); },
                         HasSubstr("float16 only"));
  ExpectError<UserError>([] { ValidateLayout(Layout(Target::kAscend, DType::kF32)); },
                         HasSubstr("run type F32"));
  auto layout = Layout(Target::kAscend, DType::kBF16);
  layout.options.vector_scales = true;
  ExpectError<UserError>([&] { ValidateLayout(layout); }, HasSubstr("golden-stick folders only"));
  for (const Target target : AllTargets()) {
    EXPECT_EQ(ParseTarget(TargetName(target)), target);
    EXPECT_EQ(TargetOf(FormatOf(target)), target);
    EXPECT_NO_THROW(ValidateLayout(DefaultLayout(target, SourceConfig())));
    for (const LinearType type : {LinearType::kStatic, LinearType::kDynamic}) {
      EXPECT_FALSE(TypeAllowed(Layout(target, DType::kF16), LinearKind::kLmHead, type));
    }
  }
  EXPECT_EQ(TargetOf(FolderFormat::kFloat), std::nullopt);
  ExpectError<UserError>([] { ParseTarget("310"); }, HasSubstr("golden-stick-310"));
  EXPECT_EQ(ParseLinearType("dynamic"), LinearType::kDynamic);
  EXPECT_THROW(ParseLinearType("x"), UserError);
}

TEST(RewriteConfigGolden, V0) {
  const std::string source = Golden("source_config.json");
  EXPECT_EQ(RewriteConfig(Layout(Target::kAscendV0, DType::kBF16), source, {}),
            Golden("v0_config.json"));
  auto parity = Layout(Target::kAscendV0, DType::kF16);
  parity.options.declared_dtype = DType::kBF16;
  EXPECT_EQ(RewriteConfig(parity, source, {}), Golden("v0_config.json"));
}

using Json = nlohmann::ordered_json;

TEST(RewriteConfig, AscendLeavesAFittingFileAlone) {
  const std::string source = Golden("source_config.json");
  EXPECT_EQ(RewriteConfig(Layout(Target::kAscend, DType::kBF16), source, {}), source);
  const Json f16 = Json::parse(RewriteConfig(Layout(Target::kAscend, DType::kF16), source, {}));
  EXPECT_EQ(f16["torch_dtype"], "float16");
  EXPECT_EQ(f16["text_config"]["dtype"], "float16");
  const Json untied =
      Json::parse(RewriteConfig(Layout(Target::kAscend, DType::kBF16), source, {.untie = true}));
  EXPECT_EQ(untied["tie_word_embeddings"], false);
}

TEST(RewriteConfig, GoldenStickHasOneTypeAndNoQuantizationConfig) {
  Json source = Json::parse(Golden("source_config.json"));
  source["quantization_config"] = {{"quant_method", "x"}};
  source["text_config"]["quantization_config"] = {{"quant_method", "x"}};
  source["text_config"]["tie_word_embeddings"] = true;
  source["dtype"] = "bfloat16";
  const Json result = Json::parse(
      RewriteConfig(Layout(Target::kGoldenStick310, DType::kF16), source.dump(), {.untie = true}));
  EXPECT_EQ(result["torch_dtype"], "float16");
  EXPECT_EQ(result["dtype"], "float16");
  EXPECT_EQ(result["text_config"]["dtype"], "float16");
  EXPECT_FALSE(result.contains("quantization_config"));
  EXPECT_FALSE(result["text_config"].contains("quantization_config"));
  EXPECT_EQ(result["text_config"]["tie_word_embeddings"], false);
  EXPECT_EQ(result.begin().key(), "architectures") << "order is kept";
}

TEST(RewriteConfig, CompressedTensorsRoundTrip) {
  auto layout = Layout(Target::kCompressedTensors, DType::kBF16);
  for (const auto& [dynamic, symmetric] : {std::pair(true, true), {false, true}, {false, false}}) {
    layout.options.ct_dynamic = dynamic;
    layout.options.ct_symmetric = symmetric;
    ScratchDir dir;
    dir.Write("config.json", RewriteConfig(layout, Golden("source_config.json"),
                                           {.ct_ignore = {"lm_head", "re:a\\.b"}}));
    const auto read = LoadCompressedTensorsConfig(dir.path());
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->dynamic, dynamic);
    EXPECT_EQ(read->symmetric, symmetric);
    EXPECT_THAT(read->ignore, ElementsAre("lm_head", "re:a\\.b"));
    const Json json = Json::parse(Slurp(dir.path() / "config.json"));
    const Json& group = json["quantization_config"]["config_groups"]["group_0"];
    EXPECT_EQ(group["weights"]["strategy"], "channel");
    EXPECT_EQ(group["input_activations"]["strategy"], dynamic ? "token" : "tensor");
    EXPECT_EQ(group["input_activations"].contains("zp_dtype"), !symmetric);
    EXPECT_EQ(json["quantization_config"]["quant_method"], "compressed-tensors");
  }
}

TEST(CompressedTensors, IgnorePatterns) {
  const auto config = SourceConfig();
  const auto layout = Layout(Target::kCompressedTensors, DType::kBF16);
  const auto patterns = CompressedTensorsIgnore(config, [&](const LinearSpec& linear) {
    if (linear.kind == LinearKind::kO && linear.layer != 1) return LinearType::kFloat;
    return DefaultLinearType(layout, linear.kind);
  });
  EXPECT_THAT(patterns,
              ElementsAre("lm_head", "re:.*lm_head", "re:.*visual.*",
                          "re:.*layers\\.(0|2)\\.self_attn\\.o_proj$", "re:.*mlp\\.down_proj$"));
}

TEST(SideFiles, ByTarget) {
  ScratchDir src, dst;
  for (const char* name :
       {"config.json", "tokenizer.json", "merges.txt", "chat_template.jinja", "README.md",
        "model.py", "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
        ".gitattributes", "quant_model_description.json", "quant_model_description_w8a8.json",
        "x.safetensors.partial"}) {
    src.Write(name, std::string("content of ") + name);
  }
  EXPECT_THAT(SideFiles(src.path(), Target::kAscendV0), ElementsAre("model.py", "tokenizer.json"));
  dst.Write("merges.txt", "old");
  EXPECT_THAT(
      CopySideFiles(src.path(), dst.path(), Target::kGoldenStick310),
      ElementsAre("README.md", "chat_template.jinja", "merges.txt", "model.py", "tokenizer.json"));
  EXPECT_EQ(Slurp(dst.path() / "merges.txt"), "content of merges.txt");
  EXPECT_FALSE(std::filesystem::exists(dst.path() / "config.json"));
  EXPECT_EQ(CopySideFiles(src.path(), src.path(), Target::kAscendV0).size(), 2u);
}

TEST(DeqScale, Encoding) {
  EXPECT_EQ(EncodeDeqScaleI64(2.5714611e-05f), 936883637);
  EXPECT_EQ(DecodeDeqScaleI64(936883637), 2.5714611e-05f);
  EXPECT_EQ(EncodeDeqScaleI64(-1.0f), 0xbf800000) << "zero-extended";
  EXPECT_EQ(DecodeDeqScaleI64(int64_t{1} << 32), std::nullopt);
  EXPECT_EQ(DecodeDeqScaleI64(-1), std::nullopt);
  const std::vector<float> deq = {1e-5f, 3.0f};
  for (const DType dtype : {DType::kI64, DType::kF32}) {
    const Tensor stored = EncodeDeqScale(deq, dtype);
    EXPECT_EQ(stored.dtype(), dtype);
    EXPECT_EQ(DecodeDeqScale(stored, "t"), deq);
  }
  ExpectError<FormatError>([] { DecodeDeqScale(Tensor(DType::kI8, {1}), "a.deq_scale"); },
                           HasSubstr("I8"));
  ExpectError<InternalError>([&] { EncodeDeqScale(deq, DType::kF16); }, HasSubstr("F16"));
}

}  // namespace
}  // namespace ingot
