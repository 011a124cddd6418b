// SPDX-License-Identifier: Apache-2.0
// The original tool's whole folder, byte for byte, from its checkpoint and the activation scales
// that it stored.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
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

void WriteOriginal(const ModelReader& source, const SafetensorsFile& golden, const fs::path& out) {
  FolderLayout layout = DefaultLayout(Target::kAscendV0, source.config());
  layout.options.run_dtype = DType::kF16;
  std::map<std::string, LinearType> types;
  for (const LinearSpec& spec : LinearTable(source.config()))
    types[spec.module] = DefaultLinearType(layout, spec.kind);
  FolderWriter::Options options;
  options.allow_overflow = true;
  options.v0_torch_dtype = "bfloat16";
  FolderWriter writer(source, out, layout, types, options);
  for (const LinearSpec& spec : LinearTable(source.config())) {
    if (types.at(spec.module) == LinearType::kFloat) continue;
    ActivationParams params;
    params.scale = ToFloats(golden.View(spec.module + ".input_scale"))[0];
    params.offset = ToFloats(golden.View(spec.module + ".input_offset"))[0];
    writer.WriteLinear(
        spec, V0QuantizeStatic(source.View(spec.module + ".weight"), nullptr, params, DType::kF16));
  }
  for (const std::string& name : writer.FloatNames()) writer.WriteFloat(name);
  writer.Commit();
}

TEST(FolderWriterGolden, TheOriginalsFolderByteForByte) {
  const fs::path input = kRoot / "inputs" / "s_untied", expected = kRoot / "v0";
  const fs::path out = fs::temp_directory_path() / fmt::format("ingot_writer_golden_{}", getpid());
  fs::remove_all(out);
  const JsonValue hash = ReadJsonObject(expected / "hash.json", 1 << 16);
  const JsonFields fields(hash, "hash.json", "");
  const std::string weights = fields.StringOr("file", "");
  const ModelReader source(input);
  WriteOriginal(source, SafetensorsFile(expected / weights), out);

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

}  // namespace
}  // namespace ingot
