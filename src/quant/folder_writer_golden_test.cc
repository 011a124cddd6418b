// SPDX-License-Identifier: Apache-2.0
// The original tool's whole folder, byte for byte, from its checkpoint and the activation scales
// that it stored.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/json_fields.h"
#include "quant/folder_writer.h"
#include "quant/v0_rounding.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = fs::path(INGOT_TEST_DATA) / "goldens" / "quant";

// FNV-1a, 64 bit (the whole weight file is too large to keep; its hash is recorded).
std::string Fnv1a(const std::string& bytes) {
  uint64_t value = 0xcbf29ce484222325u;
  for (const char byte : bytes) value = (value ^ static_cast<uint8_t>(byte)) * 0x100000001b3u;
  return fmt::format("{:016x}", value);
}

// One setting of the original: where its folder is and what its linears hold.
struct Setting {
  const char* folder;
  const char* weights;
  LinearType type;
  DType input_dtype;  // of input_scale
};

void WriteOriginal(const ModelReader& source, const Setting& setting, const fs::path& out) {
  const SafetensorsFile golden(kRoot / setting.folder / setting.weights);
  FolderLayout layout = DefaultLayout(Target::kAscendV0, source.config());
  layout.options.run_dtype = DType::kF16;
  std::map<std::string, LinearType> types;
  for (const LinearSpec& spec : LinearTable(source.config())) {
    const bool kept = DefaultLinearType(layout, spec.kind) == LinearType::kFloat;
    types[spec.module] = kept ? LinearType::kFloat : setting.type;
  }
  FolderWriter::Options options;
  options.allow_overflow = true;
  options.v0_torch_dtype = "bfloat16";
  options.v0_input_dtype = setting.input_dtype;
  FolderWriter writer(source, out, layout, types, options);
  for (const LinearSpec& spec : LinearTable(source.config())) {
    if (types.at(spec.module) == LinearType::kFloat) continue;
    const TensorView weight = source.View(spec.module + ".weight");
    if (setting.type == LinearType::kDynamic) {
      writer.WriteLinear(spec, V0QuantizeDynamic(weight, nullptr, DType::kF16));
      continue;
    }
    ActivationParams params;
    params.scale = ToFloats(golden.View(spec.module + ".input_scale"))[0];
    params.offset = ToFloats(golden.View(spec.module + ".input_offset"))[0];
    params.dtype = setting.input_dtype;
    writer.WriteLinear(spec, V0QuantizeStatic(weight, nullptr, params, DType::kF16));
  }
  for (const std::string& name : writer.FloatNames()) writer.WriteFloat(name);
  writer.Commit();
}

fs::path FreshFolder(const std::string& name) {
  const fs::path out =
      fs::temp_directory_path() / fmt::format("ingot_writer_golden_{}_{}", getpid(), name);
  fs::remove_all(out);
  return out;
}

TEST(FolderWriterGolden, TheOriginalsFolderByteForByte) {
  const fs::path input = kRoot / "inputs" / "s_untied", expected = kRoot / "v0";
  const fs::path out = fs::temp_directory_path() / fmt::format("ingot_writer_golden_{}", getpid());
  fs::remove_all(out);
  const JsonValue hash = ReadJsonObject(expected / "hash.json", 1 << 16);
  const JsonFields fields(hash, "hash.json", "");
  const std::string weights = fields.StringOr("file", "");
  const ModelReader source(input);
  WriteOriginal(source, {"v0", weights.c_str(), LinearType::kStatic, DType::kF32}, out);

  std::vector<std::string> names;
  for (const auto& path : ListFiles(out)) {
    const std::string name = path.filename().string();
    names.push_back(name);
    const std::string bytes = ReadFile(path);
    if (name == weights) {
      EXPECT_EQ(static_cast<int64_t>(bytes.size()), fields.Int("bytes", 0, INT64_MAX));
      EXPECT_EQ(Fnv1a(bytes), fields.StringOr("fnv1a64", ""));
    } else {
      // Side files that the set does not repeat are those of the checkpoint.
      const fs::path from = fs::exists(expected / name) ? expected / name : input / name;
      EXPECT_EQ(bytes, ReadFile(from)) << name;
    }
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{"chat_template.json", "config.json", "generation_config.json",
                                      "preprocessor_config.json", "quant_model_description.json",
                                      weights, "tokenizer.json", "tokenizer_config.json",
                                      "video_preprocessor_config.json", "vocab.json"}));
  fs::remove_all(out);
}

// Folders of other settings, of which the set holds the header's order and the quantized tensors:
// mean of extremes (F16 scales) and dynamic.
TEST(FolderWriterGolden, OtherSettingsOfTheOriginal) {
  const ModelReader source(kRoot / "inputs" / "s_untied");
  for (const Setting& setting :
       {Setting{"v0_act1", "quant_model_weight_w8a8.safetensors", LinearType::kStatic, DType::kF16},
        Setting{"v0_dynamic", "quant_model_weight_w8a8_dynamic.safetensors", LinearType::kDynamic,
                DType::kF32}}) {
    SCOPED_TRACE(setting.folder);
    const fs::path expected = kRoot / setting.folder, out = FreshFolder(setting.folder);
    WriteOriginal(source, setting, out);
    for (const char* name : {"quant_model_description.json", "config.json"}) {
      EXPECT_EQ(ReadFile(out / name), ReadFile(expected / name)) << name;
    }
    const SafetensorsFile written(out / setting.weights), golden(expected / setting.weights);
    const JsonValue stripped = ReadJsonObject(expected / "stripped.json", 1 << 20);
    const std::vector<JsonValue>& order = stripped.Find("header_order")->items;
    ASSERT_EQ(order.size(), written.tensors().size());
    for (size_t i = 0; i < order.size(); ++i) {
      EXPECT_EQ(order[i].items[0].text, written.tensors()[i].name);
      EXPECT_EQ(order[i].items[1].text, DTypeName(written.tensors()[i].dtype));
    }
    for (const TensorInfo& info : golden.tensors()) {
      const TensorView a = golden.View(info), b = written.View(info.name);
      EXPECT_EQ(a.dtype, b.dtype);
      EXPECT_EQ(a.shape, b.shape);
      EXPECT_TRUE(std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin(), b.bytes.end()))
          << info.name;
    }
    fs::remove_all(out);
  }
}

}  // namespace
}  // namespace ingot
