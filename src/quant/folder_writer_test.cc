// SPDX-License-Identifier: Apache-2.0
// Folders written from a small checkpoint: complete for every target, resumable, and never complete
// before Commit.
#include "quant/folder_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "base/error.h"
#include "base/files.h"
#include "quant/range_search.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const fs::path kModel = fs::path(INGOT_TEST_DATA) / "models" / "mini-qwen3-vl";

class FolderWriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() /
           fmt::format("ingot_writer_{}_{}", getpid(),
                       ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }

  static FolderLayout LayoutFor(Target target, const ModelReader& source) {
    FolderLayout layout = DefaultLayout(target, source.config());
    return layout;
  }

  static std::map<std::string, LinearType> DefaultTypes(const ModelReader& source,
                                                        const FolderLayout& layout) {
    std::map<std::string, LinearType> types;
    for (const LinearSpec& spec : LinearTable(source.config())) {
      types[spec.module] = DefaultLinearType(layout, spec.kind);
    }
    return types;
  }

  static QuantizedLinear Quantize(const ModelReader& source, const LinearSpec& spec,
                                  LinearType type, const FolderLayout& layout) {
    const RuntimeRules rules = RulesFor(layout);
    const TensorView weight = source.View(spec.module + ".weight");
    TensorView bias;
    if (spec.bias) bias = source.View(spec.module + ".bias");
    const TensorView* bias_view = spec.bias ? &bias : nullptr;
    if (type == LinearType::kDynamic) return QuantizeDynamic(weight, bias_view, rules);
    return QuantizeStatic(weight, bias_view,
                          FullRangeParams(-2.0f, 3.0f, rules.input_scale, rules.symmetric), rules);
  }

  static void WriteLinears(FolderWriter& writer, const ModelReader& source,
                           const FolderLayout& layout,
                           const std::map<std::string, LinearType>& types) {
    for (const LinearSpec& spec : LinearTable(source.config())) {
      const LinearType type = types.at(spec.module);
      if (type != LinearType::kFloat)
        writer.WriteLinear(spec, Quantize(source, spec, type, layout));
    }
  }

  void WriteAll(const ModelReader& source, const FolderLayout& layout, const fs::path& out,
                const std::map<std::string, LinearType>& types) {
    FolderWriter writer(source, out, layout, types, {});
    WriteLinears(writer, source, layout, types);
    for (const std::string& name : writer.FloatNames()) writer.WriteFloat(name);
    writer.Commit();
  }

  static std::map<std::string, std::string> Contents(const fs::path& dir) {
    std::map<std::string, std::string> files;
    for (const auto& path : ListFiles(dir)) files[path.filename().string()] = ReadFile(path);
    return files;
  }

  fs::path dir_;
};

TEST_F(FolderWriterTest, EveryTargetGivesAFolderThatReadsBack) {
  const ModelReader source(kModel);
  for (const Target target : AllTargets()) {
    SCOPED_TRACE(std::string(TargetName(target)));
    const FolderLayout layout = LayoutFor(target, source);
    const auto types = DefaultTypes(source, layout);
    const fs::path out = dir_ / std::string(TargetName(target));
    WriteAll(source, layout, out, types);
    EXPECT_TRUE(LooksComplete(out));
    const ModelReader written(out);
    EXPECT_EQ(written.format(), FormatOf(target));
    EXPECT_EQ(written.data_bytes(), PlannedBytes(source, layout, types));
    int quantized = 0;
    for (const LinearSpec& spec : LinearTable(source.config())) {
      const LinearType type = types.at(spec.module);
      if (spec.kind == LinearKind::kLmHead && !written.Has(spec.module + ".weight")) continue;
      const TensorView weight = written.View(spec.module + ".weight");
      EXPECT_EQ(weight.dtype == DType::kI8, type != LinearType::kFloat) << spec.module;
      if (type == LinearType::kFloat) continue;
      ++quantized;
      const QuantizedLinear q = Quantize(source, spec, type, layout);
      EXPECT_EQ(std::memcmp(weight.bytes.data(), q.codes.data(), q.codes.size()), 0);
      if (written.Has(spec.module + ".deq_scale")) {
        EXPECT_EQ(DecodeDeqScale(written.View(spec.module + ".deq_scale"), spec.module), q.deq);
      }
      if (written.Has(spec.module +
                      ".input_scale")) {  // chosen so that the stored type loses nothing
        for (const float s : ToFloats(written.View(spec.module + ".input_scale")))
          EXPECT_EQ(s, q.input.scale);
      }
    }
    EXPECT_GT(quantized, 0);
  }
}

TEST_F(FolderWriterTest, NothingHasItsNameBeforeCommit) {
  const ModelReader source(kModel);
  const FolderLayout layout = LayoutFor(Target::kGoldenStick310, source);
  const auto types = DefaultTypes(source, layout);
  FolderWriter writer(source, dir_, layout, types, {});
  WriteLinears(writer, source, layout, types);
  writer.Sync();
  for (const auto& path : ListFiles(dir_)) EXPECT_EQ(path.extension(), ".partial") << path;
  EXPECT_FALSE(LooksComplete(dir_));
  EXPECT_THROW(writer.Commit(), InternalError);  // the float tensors are missing
  EXPECT_FALSE(fs::exists(dir_ / "config.json"));
}

TEST_F(FolderWriterTest, ResumedRunsGiveTheSameBytes) {
  const ModelReader source(kModel);
  FolderLayout layout = LayoutFor(Target::kAscend, source);
  layout.options.shard_bytes = 1'000'000;
  const auto types = DefaultTypes(source, layout);
  WriteAll(source, layout, dir_ / "whole", types);
  std::vector<std::string> done;
  {
    FolderWriter writer(source, dir_ / "resumed", layout, types, {});
    WriteLinears(writer, source, layout, types);
    for (const LinearSpec& spec : LinearTable(source.config())) {
      if (types.at(spec.module) == LinearType::kFloat) continue;
      for (const std::string& name : writer.LinearTensorNames(spec)) done.push_back(name);
    }
    const auto& floats = writer.FloatNames();
    for (size_t i = 0; i < floats.size() / 2; ++i) {
      writer.WriteFloat(floats[i]);
      done.push_back(floats[i]);
    }
    writer.Sync();
  }
  FolderWriter::Options options;
  options.mode = AtomicFile::Mode::kResume;
  FolderWriter writer(source, dir_ / "resumed", layout, types, options);
  for (const std::string& name : done) writer.MarkWritten(name);
  for (const std::string& name : writer.FloatNames()) {
    if (!writer.IsWritten(name)) writer.WriteFloat(name);
  }
  writer.Commit();
  const auto whole = Contents(dir_ / "whole");
  EXPECT_GT(whole.size(), 8u);
  EXPECT_EQ(whole, Contents(dir_ / "resumed"));
  EXPECT_TRUE(whole.count("quant_model_weights.safetensors.index.json"));
}

TEST_F(FolderWriterTest, DynamicAndStaticMixAndVisionBiases) {
  const ModelReader source(kModel);
  const FolderLayout layout = LayoutFor(Target::kAscend, source);
  auto types = DefaultTypes(source, layout);
  for (const LinearSpec& spec : LinearTable(source.config())) {
    if (spec.kind == LinearKind::kDown) types[spec.module] = LinearType::kDynamic;
    if (spec.kind == LinearKind::kVisionQkv) types[spec.module] = LinearType::kStatic;
  }
  WriteAll(source, layout, dir_, types);
  const ModelReader written(dir_);
  const std::string down = "model.language_model.layers.0.mlp.down_proj",
                    qkv = "model.visual.blocks.0.attn.qkv";
  EXPECT_EQ(*written.description()->Find(down + ".weight"), "W8A8_DYNAMIC");
  EXPECT_TRUE(written.Has(down + ".weight_scale"));
  EXPECT_FALSE(written.Has(down + ".deq_scale"));
  EXPECT_EQ(*written.description()->Find(qkv + ".bias"), "FLOAT");
  EXPECT_EQ(ToFloats(written.View(qkv + ".bias")), ToFloats(source.View(qkv + ".bias")));
  EXPECT_EQ(written.description()->model_quant_type, "W8A8");
}

TEST_F(FolderWriterTest, TheOriginalsTypesOfInputScale) {
  const ModelReader source(kModel);
  FolderLayout layout = LayoutFor(Target::kAscendV0, source);
  layout.options.run_dtype = DType::kF16;
  FolderWriter::Options options;
  options.v0_input_dtype = DType::kF16;
  const FolderWriter writer(source, dir_, layout, DefaultTypes(source, layout), options);
  for (const LayoutTensor& tensor : writer.tensors()) {
    const std::string suffix = SuffixOf(tensor.name);
    if (suffix == "input_scale" || suffix == "input_offset") {
      EXPECT_EQ(tensor.dtype, DType::kF16);
    }
  }
}

TEST_F(FolderWriterTest, RefusesUnknownLinearsAndWrongTypes) {
  const ModelReader source(kModel);
  const FolderLayout layout = LayoutFor(Target::kGoldenStick910, source);
  auto types = DefaultTypes(source, layout);
  types["model.language_model.layers.99.mlp.up_proj"] = LinearType::kStatic;
  EXPECT_THROW(FolderWriter(source, dir_, layout, types, {}), UserError);
  types = DefaultTypes(source, layout);
  types["model.language_model.layers.0.mlp.up_proj"] = LinearType::kDynamic;
  EXPECT_THROW(FolderWriter(source, dir_, layout, types, {}), UserError);
  EXPECT_FALSE(fs::exists(dir_));
}

// A copy of the model in which one norm weight is beyond F16.
fs::path WithOverflow(const fs::path& dir, const std::string& tensor) {
  fs::create_directories(dir);
  for (const auto& path : ListFiles(kModel)) fs::copy_file(path, dir / path.filename());
  const SafetensorsFile file(kModel / "model.safetensors");
  const TensorInfo* info = file.Find(tensor);
  fs::permissions(dir / "model.safetensors", fs::perms::owner_write, fs::perm_options::add);
  std::fstream out(dir / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  out.seekp(static_cast<std::streamoff>(info->offset));
  const Tensor big = FromFloats(std::vector<float>{1e6f}, info->dtype, {1});
  out.write(reinterpret_cast<const char*>(big.bytes().data()),
            static_cast<std::streamsize>(big.bytes().size()));
  return dir;
}

TEST_F(FolderWriterTest, OverflowInFloat16NamesTheTensor) {
  const std::string tensor = "model.language_model.norm.weight";
  const ModelReader source(WithOverflow(dir_ / "source", tensor));
  const FolderLayout layout = LayoutFor(Target::kGoldenStick310, source);
  const auto types = DefaultTypes(source, layout);
  FolderWriter strict(source, dir_ / "strict", layout, types, {});
  try {
    strict.WriteFloat(tensor);
    FAIL() << "no error";
  } catch (const FormatError& e) {
    EXPECT_THAT(e.what(), HasSubstr(tensor));
    EXPECT_THAT(e.what(), HasSubstr("65504"));
  }
  FolderWriter::Options options;
  options.allow_overflow = true;
  FolderWriter original(source, dir_ / "original", layout, types, options);
  original.WriteFloat(tensor);
  EXPECT_TRUE(original.IsWritten(tensor));
}

}  // namespace
}  // namespace ingot
