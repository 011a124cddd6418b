// SPDX-License-Identifier: Apache-2.0
// Every rule of the checklist against a folder that breaks it: the rule reports, and only sensible
// others do.
#include "check/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "base/error.h"
#include "base/numeric.h"
#include "base/progress.h"
#include "check/rules.h"
#include "convert/convert.h"
#include "convert/test_folders.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using namespace ingot::testing;  // NOLINT
using ::testing::HasSubstr;

const std::string kLayer = "model.language_model.layers.0.";
const std::string kQ = kLayer + "self_attn.q_proj";
const std::string kK = kLayer + "self_attn.k_proj";
const std::string kO = kLayer + "self_attn.o_proj";
const std::string kDown = kLayer + "mlp.down_proj";
const std::string kDescription(kDescriptionName);

// The sound folders that the mutations start from, made once.
class Bases {
 public:
  static const fs::path& Get(const std::string& name) {
    static Bases bases;
    auto& dir = bases.dirs_[name];
    if (!dir) {
      dir = std::make_unique<TempFolder>();
      Make(name, dir->path());
    }
    return dir->path();
  }

 private:
  static void Make(const std::string& name, const fs::path& dir) {
    const fs::path model = TestModel(name == "tied" ? "mini-qwen3-vl" : "mini-qwen3-vl-untied");
    if (name == "float") return CopyFolder(model, dir);
    const std::map<std::string, Target> targets = {{"v0", Target::kAscendV0},
                                                   {"v1", Target::kAscend},
                                                   {"tied", Target::kGoldenStick910},
                                                   {"gs310", Target::kGoldenStick310},
                                                   {"tiny310", Target::kGoldenStick310},
                                                   {"gs910", Target::kGoldenStick910},
                                                   {"ct", Target::kCompressedTensors},
                                                   {"ctdyn", Target::kCompressedTensors}};
    FolderLayout layout{targets.at(name), {}};
    layout.options.run_dtype =
        layout.target == Target::kGoldenStick310 || name == "v0" ? DType::kF16 : DType::kBF16;
    QuantizeOptions options;
    options.vision = name == "v1";
    options.dynamic = name == "ctdyn";
    // Scales far from (or deep inside) the subnormal numbers of float16.
    if (name == "gs310") options.weight_factor = 64;
    if (name == "tiny310") options.weight_factor = 1e-4;
    QuantizeForTest(model, dir, layout, options);
    if (layout.target == Target::kAscendV0) fs::copy(model / "merges.txt", dir / "merges.txt");
  }
  std::map<std::string, std::unique_ptr<TempFolder>> dirs_;
};

std::string Text(const CheckReport& report) { return CheckReportText(report); }

std::set<int> RulesOf(const CheckReport& report, Severity severity) {
  std::set<int> rules;
  for (const Finding& finding : report.findings) {
    if (finding.severity == severity) rules.insert(finding.rule);
  }
  return rules;
}

const Finding* FindingOf(const CheckReport& report, int rule, Severity severity) {
  for (const Finding& finding : report.findings) {
    if (finding.rule == rule && finding.severity == severity) return &finding;
  }
  return nullptr;
}

TEST(Check, SoundFoldersHaveNothingToReport) {
  const std::map<std::string, FolderFormat> formats = {
      {"float", FolderFormat::kFloat},          {"v0", FolderFormat::kAscendV0},
      {"v1", FolderFormat::kAscendV1},          {"gs310", FolderFormat::kGoldenStick310},
      {"gs910", FolderFormat::kGoldenStick910}, {"tied", FolderFormat::kGoldenStick910},
      {"ct", FolderFormat::kCompressedTensors}, {"ctdyn", FolderFormat::kCompressedTensors}};
  for (const auto& [name, format] : formats) {
    CheckOptions options;
    options.deep = true;
    const CheckReport report = CheckFolder(Bases::Get(name), options);
    EXPECT_TRUE(report.sound()) << name << "\n" << Text(report);
    EXPECT_EQ(report.Count(Severity::kWarning), 0) << name << "\n" << Text(report);
    EXPECT_EQ(report.format, format) << name;
  }
}

TEST(Check, SoundAgainstTheirSource) {
  for (const char* name : {"v0", "v1", "gs910", "ct", "ctdyn", "float"}) {
    CheckOptions options;
    options.source = TestModel("mini-qwen3-vl-untied");
    const CheckReport report = CheckFolder(Bases::Get(name), options);
    EXPECT_TRUE(report.sound()) << name << "\n" << Text(report);
  }
}

struct Mutation {
  const char* what;
  int rule;
  Severity severity;
  const char* base;
  std::function<void(const fs::path&)> apply;
  std::set<int> also = {};  // other rules that may report errors
  const char* found = "";   // part of the finding
  bool with_source = false;
};

std::function<void(const fs::path&)> OnTensors(std::function<void(Tensors&)> edit) {
  return [edit](const fs::path& dir) { EditTensors(dir, edit); };
}

std::function<void(const fs::path&)> OnText(const std::string& file, const std::string& from,
                                            const std::string& to) {
  return [=](const fs::path& dir) { EditText(dir / file, from, to); };
}

std::function<void(const fs::path&)> Without(const std::string& file) {
  return [=](const fs::path& dir) { ASSERT_TRUE(fs::remove(dir / file)); };
}

Tensor Recast(const Tensor& tensor, DType dtype) {
  return FromFloats(ToFloats(tensor.view()), dtype, tensor.shape());
}

// Drops one whole line of a description or an index.
std::function<void(const fs::path&)> WithoutLine(const std::string& file, const std::string& key) {
  return [=](const fs::path& dir) {
    std::string text = Slurp(dir / file);
    const size_t at = text.find("\"" + key + "\"");
    ASSERT_NE(at, std::string::npos) << key;
    const size_t begin = text.rfind('\n', at), end = text.find('\n', at);
    text.erase(begin, end - begin);
    Spill(dir / file, text);
  };
}

const Severity kE = Severity::kError, kW = Severity::kWarning, kN = Severity::kNote;
const char* const kGsIndex = "model.safetensors.index.json";

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

std::vector<Mutation> LinearMutations() {
  return {
      {"linear without quant_bias", 10, kE, "v0",
       [](const fs::path& dir) {
         EditTensors(dir, [](Tensors& t) { t.erase(kO + ".quant_bias"); });
         WithoutLine(kDescription, kO + ".quant_bias")(dir);
       }},
      {"weight_scale without weight_offset", 10, kW, "v0",
       [](const fs::path& dir) {
         EditTensors(dir, [](Tensors& t) { t.erase(kO + ".weight_offset"); });
         WithoutLine(kDescription, kO + ".weight_offset")(dir);
       }},
      {"quant_bias as F32", 11, kE, "v0", OnTensors([](Tensors& t) {
         t.at(kO + ".quant_bias") = Tensor(DType::kF32, t.at(kO + ".quant_bias").shape());
       })},
      {"scalar where golden-stick wants a vector",
       11,
       kE,
       "gs310",
       OnTensors([](Tensors& t) {
         t.at(kO + ".input_scale") = FromFloats(std::vector<float>{0.02f}, DType::kF16, {1});
       }),
       {15}},
      {"vector where ascend wants a scalar",
       11,
       kE,
       "v1",
       OnTensors([](Tensors& t) {
         t.at(kO + ".input_scale") = FromFloats(std::vector<float>(96, 0.02f), DType::kF32, {96});
       }),
       {15}},
      {"offset of the wrong type for 310", 11, kW, "gs310", OnTensors([](Tensors& t) {
         t.at(kO + ".input_offset") = Recast(t.at(kO + ".input_offset"), DType::kF32);
       })},
      {"codes labelled FLOAT", 11, kE, "gs310",
       [](const fs::path& dir) {
         std::string text = Slurp(dir / kDescription);
         for (size_t at = 0; (at = text.find(kO + ".", at)) != std::string::npos; ++at) {
           text.replace(text.find("W8A8", at), 4, "FLOAT");
         }
         Spill(dir / kDescription, text);
       }},
      {"the code -128",
       12,
       kW,
       "v0",
       OnTensors([](Tensors& t) { t.at(kO + ".weight").As<int8_t>()[0] = -128; }),
       {16}},
      {"coarse codes",
       12,
       kW,
       "v0",
       OnTensors([](Tensors& t) {
         for (auto& [name, tensor] : t) {
           if (tensor.dtype() != DType::kI8) continue;
           for (int8_t& code : tensor.As<int8_t>()) code = static_cast<int8_t>(code / 2);
         }
       }),
       {16}},
      {"input_scale NaN", 13, kE, "v0",
       OnTensors([](Tensors& t) { t.at(kO + ".input_scale").As<float>()[0] = NAN; })},
      {"input_scale negative", 13, kE, "v0",
       OnTensors([](Tensors& t) { t.at(kO + ".input_scale").As<float>()[0] = -1; })},
      {"input_offset with a fraction",
       13,
       kE,
       "v0",
       OnTensors([](Tensors& t) { t.at(kO + ".input_offset").As<float>()[0] = 0.5f; }),
       {16}},
      {"weight_offset not zero", 13, kE, "v0",
       OnTensors([](Tensors& t) { t.at(kO + ".weight_offset").As<uint16_t>()[3] = F32ToF16(1); })},
      {"q and k with different scales",
       14,
       kE,
       "gs310",
       OnTensors([](Tensors& t) {
         for (uint16_t& value : t.at(kK + ".input_scale").As<uint16_t>()) value += 1;
       }),
       {15}},
      {"deq_scale with a wrong factor", 15, kE, "v1", OnTensors([](Tensors& t) {
         for (float& deq : t.at(kO + ".deq_scale").As<float>()) deq *= 2;
       })},
      {"deq_scale a little off", 15, kW, "v1", OnTensors([](Tensors& t) {
         for (float& deq : t.at(kO + ".deq_scale").As<float>()) deq *= 1.02f;
       })},
      {"deq_scale not a float pattern", 15, kE, "v0",
       OnTensors([](Tensors& t) { t.at(kO + ".deq_scale").As<int64_t>()[2] = int64_t{1} << 33; })},
      {"deq_scale infinite", 15, kE, "gs910",
       OnTensors([](Tensors& t) { t.at(kO + ".deq_scale").As<float>()[1] = INFINITY; })},
      {"int64 pattern converted by value", 15, kE, "gs910", OnTensors([](Tensors& t) {
         for (float& deq : t.at(kO + ".deq_scale").As<float>())
           deq = static_cast<float>(std::bit_cast<uint32_t>(deq));
       })},
      {"row that vanished in float16", 15, kW, "v0", OnTensors([](Tensors& t) {
         t.at(kO + ".deq_scale").As<int64_t>()[4] = 0;
         t.at(kO + ".quant_bias").As<int32_t>()[4] = INT32_MIN;
       })},
      {"quant_bias shifted", 16, kE, "gs310",
       OnTensors([](Tensors& t) { t.at(kO + ".quant_bias").As<int32_t>()[7] += 1000; })},
      {"quant_bias without the bias",
       16,
       kE,
       "v1",
       OnTensors([](Tensors& t) {
         const std::string module = "model.visual.blocks.0.attn.proj";
         const Tensor& weight = t.at(module + ".weight");
         const auto z = static_cast<int64_t>(ToFloats(t.at(module + ".input_offset").view())[0]);
         const size_t cols = static_cast<size_t>(weight.shape()[1]);
         for (size_t row = 0; row < static_cast<size_t>(weight.shape()[0]); ++row) {
           int64_t sum = 0;
           for (size_t col = 0; col < cols; ++col) sum += weight.As<int8_t>()[row * cols + col];
           t.at(module + ".quant_bias").As<int32_t>()[row] = static_cast<int32_t>(-sum * z);
         }
       }),
       {},
       "bias is not inside"},
      {"bfloat16 named, int64 encoding", 17, kE, "v0",
       OnText("config.json", "\"torch_dtype\": \"float16\"", "\"torch_dtype\": \"bfloat16\"")},
      {"golden-stick with int64", 17, kE, "gs910", OnTensors([](Tensors& t) {
         for (auto& [name, tensor] : t) {
           if (name.ends_with(".deq_scale"))
             tensor = EncodeDeqScale(tensor.As<float>(), DType::kI64);
         }
       })},
      {"two encodings", 17, kE, "v1", OnTensors([](Tensors& t) {
         Tensor& tensor = t.at(kO + ".deq_scale");
         tensor = EncodeDeqScale(tensor.As<float>(), DType::kI64);
       })},
      {"scales below float16", 18, kE, "tiny310", [](const fs::path&) {}},
      {"scales among the subnormals", 18, kW, "gs310", OnTensors([](Tensors& t) {
         t.at(kO + ".deq_scale").As<float>()[0] = 2.1e-7f;
         t.at(kO + ".weight_scale").As<uint16_t>()[0] =
             F32ToF16(2.1e-7f / ToFloats(t.at(kO + ".input_scale").view())[0]);
       })},
      {"other weights than the source's",
       19,
       kE,
       "v0",
       OnTensors([](Tensors& t) {
         auto codes = t.at(kO + ".weight").As<int8_t>();
         std::swap(codes[0], codes[1]);
         codes[2] = static_cast<int8_t>(codes[2] ^ 64);
         codes[3] = static_cast<int8_t>(codes[3] ^ 64);
       }),
       {16},
       "",
       true},
      {"int32 overflow",
       20,
       kE,
       "v0",
       OnTensors([](Tensors& t) { t.at(kO + ".quant_bias").As<int32_t>()[0] = INT32_MAX - 5; }),
       {16}},
  };
}

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
         fs::copy(Bases::Get("ct") / "config.json", dir / "config.json");
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

void RunTable(const std::vector<Mutation>& table) {
  for (const Mutation& mutation : table) {
    SCOPED_TRACE(mutation.what);
    TempFolder dir;
    CopyFolder(Bases::Get(mutation.base), dir.path());
    mutation.apply(dir.path());
    CheckOptions options;
    options.deep = true;
    if (mutation.with_source) options.source = TestModel("mini-qwen3-vl-untied");
    const CheckReport report = CheckFolder(dir.path(), options);
    const Finding* finding = FindingOf(report, mutation.rule, mutation.severity);
    ASSERT_NE(finding, nullptr) << Text(report);
    EXPECT_THAT(finding->found, HasSubstr(mutation.found));
    EXPECT_FALSE(finding->why.empty());
    EXPECT_FALSE(finding->remedy.empty());
    std::set<int> allowed = mutation.also;
    if (mutation.severity == Severity::kError) allowed.insert(mutation.rule);
    for (const int rule : RulesOf(report, Severity::kError))
      EXPECT_TRUE(allowed.count(rule)) << rule << "\n" << Text(report);
    EXPECT_EQ(report.sound(), RulesOf(report, Severity::kError).empty());
    EXPECT_TRUE(nlohmann::json::accept(CheckReportJson(report)));
  }
}

TEST(CheckMutations, Files) { RunTable(FileMutations()); }
TEST(CheckMutations, LabelsOfTheDescription) { RunTable(LabelMutations()); }
TEST(CheckMutations, QuantizedLinears) { RunTable(LinearMutations()); }
TEST(CheckMutations, ConfigurationAndValues) { RunTable(ConfigMutations()); }

TEST(CheckMutations, EveryRuleIsBroken) {
  std::set<int> rules;
  for (const auto& table :
       {FileMutations(), LabelMutations(), LinearMutations(), ConfigMutations()}) {
    for (const Mutation& mutation : table) rules.insert(mutation.rule);
  }
  rules.insert(kAnswersRule);  // TEST(Check, AnswersBecomeFindings)
  for (int rule = 0; rule <= kNumRules; ++rule) EXPECT_TRUE(rules.count(rule)) << rule;
}

TEST(Check, AnswersBecomeFindings) {
  GeneratedText good, bad;
  good.prompt_name = bad.prompt_name = "question";
  good.text = "A short and ordinary answer.";
  good.steps.resize(5);
  good.stopped = true;
  for (int64_t i = 0; i < 5; ++i) good.steps[static_cast<size_t>(i)].token = i;
  bad.text = "the the the";
  bad.steps.resize(40);
  const auto run = [](const GeneratedText& answer, std::optional<SourceAgreement> agreement) {
    CheckReport report;
    AddAnswers({&answer, 1}, agreement, &report);
    return report;
  };
  EXPECT_TRUE(run(good, std::nullopt).findings.empty());
  EXPECT_FALSE(run(bad, std::nullopt).sound());
  EXPECT_EQ(run(bad, std::nullopt).findings[0].rule, kAnswersRule);
  EXPECT_TRUE(run(good, SourceAgreement{50, 49}).findings.empty());
  EXPECT_EQ(run(good, SourceAgreement{50, 35}).Count(Severity::kWarning), 1);
  EXPECT_FALSE(run(good, SourceAgreement{50, 10}).sound());
  EXPECT_TRUE(run(good, SourceAgreement{3, 0}).sound());  // too few tokens to judge
  CheckReport failed;
  AddRunFailure("tokenizer.json: is missing", &failed);
  EXPECT_FALSE(failed.sound());
}

TEST(Check, RuleNumbersAndNamesAreStable) {
  std::set<std::string_view> ids;
  for (size_t i = 0; i < Rules().size(); ++i) {
    EXPECT_EQ(Rules()[i].number, static_cast<int>(i));
    EXPECT_TRUE(ids.insert(Rules()[i].id).second);
  }
}

TEST(Check, ManyFindingsOfOneRuleAreCounted) {
  TempFolder dir;
  CopyFolder(Bases::Get("v0"), dir.path());
  EditTensors(dir.path(), [](Tensors& tensors) {
    for (auto& [name, tensor] : tensors) {
      if (name.ends_with(".input_scale")) tensor.As<float>()[0] = -1;
    }
  });
  CheckOptions options;
  options.max_findings_per_rule = 3;
  const CheckReport report = CheckFolder(dir.path(), options);
  int shown = 0;
  for (const Finding& finding : report.findings) shown += finding.rule == 13 ? 1 : 0;
  EXPECT_EQ(shown, 3);
  EXPECT_EQ(report.omitted[13], 24 - 3);  // 4 layers of 6 linears
  EXPECT_THAT(Text(report), HasSubstr("more of the same kinds"));
}

TEST(Check, NamesTheEngineAndItsCommand) {
  const CheckReport gs = CheckFolder(Bases::Get("gs310"), {});
  ASSERT_FALSE(gs.engines.empty());
  EXPECT_TRUE(gs.engines[0].works);
  EXPECT_THAT(gs.engines[0].command, HasSubstr("--quantization golden-stick"));
  EXPECT_THAT(Text(gs), HasSubstr("answers garbage"));
  const CheckReport v0 = CheckFolder(Bases::Get("v0"), {});
  for (const EngineVerdict& engine : v0.engines) {
    EXPECT_EQ(engine.works, engine.engine == "vLLM-Ascend in float16 (310P)") << engine.engine;
  }
  const CheckReport v1 = CheckFolder(Bases::Get("v1"), {});
  const auto works = [&](const std::string& name) {
    return std::any_of(v1.engines.begin(), v1.engines.end(),
                       [&](const EngineVerdict& e) { return e.engine == name && e.works; });
  };
  EXPECT_TRUE(works("MindIE"));
  EXPECT_TRUE(works("vLLM-Ascend in bfloat16"));
  EXPECT_FALSE(works("vllm-mindspore on 310P"));
}

TEST(Check, AProfileSaysWhatTheFolderShouldBe) {
  CheckOptions options;
  options.profile = FolderFormat::kGoldenStick310;
  EXPECT_FALSE(CheckFolder(Bases::Get("v0"), options).sound());
  options.profile = FolderFormat::kGoldenStick910;
  const CheckReport report = CheckFolder(Bases::Get("gs310"), options);
  EXPECT_NE(FindingOf(report, 11, Severity::kWarning), nullptr) << Text(report);
}

TEST(Check, QuickLeavesTheWeightsAlone) {
  TempFolder dir;
  CopyFolder(Bases::Get("gs310"), dir.path());
  EditTensors(dir.path(), [](Tensors& t) { t.at(kO + ".quant_bias").As<int32_t>()[7] += 1000; });
  CheckOptions options;
  options.quick = true;
  EXPECT_TRUE(CheckFolder(dir.path(), options).sound());
  options.quick = false;
  EXPECT_FALSE(CheckFolder(dir.path(), options).sound());
}

// Bytes of small files and of headers turned at random: findings or one-line errors, never anything
// else.
TEST(Check, SurvivesRandomDamage) {
  uint32_t state = 12345;
  const auto next = [&state] { return state = 1664525u * state + 1013904223u, state >> 8; };
  const std::vector<std::string> names = {"config.json", kDescription, kGsIndex,
                                          "quant_model_weight_w8a8.safetensors",
                                          "preprocessor_config.json"};
  TempFolder dir;
  CopyFolder(Bases::Get("gs310"), dir.path());
  SetProgressStyle(ProgressStyle::kNone);
  for (int round = 0; round < 60; ++round) {
    SCOPED_TRACE(round);
    const std::string name = names[round % names.size()];
    const std::string good = Slurp(dir / name);
    std::string bad = good;
    const size_t range = std::min<size_t>(bad.size(), 4096);
    for (uint32_t i = 0; i <= next() % 3; ++i) bad[next() % range] = static_cast<char>(next());
    if (next() % 4 == 0) bad.resize(next() % range);
    Spill(dir / name, bad);
    EXPECT_FALSE(CheckReportText(CheckFolder(dir.path(), {})).empty());
    TempFolder out;
    try {
      ConvertFolder(dir.path(), out / "new", Target::kAscend, {});
    } catch (const Error& error) {
      EXPECT_TRUE(error.kind() == ErrorKind::kUser || error.kind() == ErrorKind::kFormat)
          << error.what();
      EXPECT_FALSE(fs::exists(out / "new/config.json"));
    }
    Spill(dir / name, good);
  }
}

TEST(Check, FoldersThatAreNone) {
  EXPECT_THROW(CheckFolder("/no/such/folder", {}), UserError);
  TempFolder empty;
  const CheckReport report = CheckFolder(empty.path(), {});
  EXPECT_FALSE(report.sound());
  EXPECT_FALSE(report.format.has_value());
  CheckOptions options;
  options.source = Bases::Get("v0");
  EXPECT_THROW(CheckFolder(Bases::Get("v0"), options), UserError);
}

}  // namespace
}  // namespace ingot
