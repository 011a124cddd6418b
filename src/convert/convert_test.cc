// SPDX-License-Identifier: Apache-2.0
// Conversions between all formats on small models: what is kept, what is derived, what is refused.
#include "convert/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>

#include "base/error.h"
#include "base/progress.h"
#include "checkpoint/model_reader.h"
#include "convert/folder_transaction.h"
#include "convert/numbers.h"
#include "convert/source.h"
#include "convert/test_folders.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using namespace ingot::testing;  // NOLINT
using ::testing::HasSubstr;

constexpr const char* kWeights = "quant_model_weight_w8a8.safetensors";
constexpr const char* kQ = "model.language_model.layers.0.self_attn.q_proj";

ConvertOptions From(const fs::path& original) {
  ConvertOptions options;
  options.original_dir = original;
  return options;
}

// The error's text, or "" when there is none; the kind must be the expected one.
template <typename Function>
std::string ErrorText(ErrorKind kind, Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind)) << error.what();
    return error.what();
  }
  return "";
}

// All tensors of a folder, whatever its files.
Tensors AllTensors(const fs::path& dir) {
  Tensors all;
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().extension() == ".safetensors") all.merge(ReadTensors(entry.path()));
  }
  return all;
}

bool SameTensor(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::ranges::equal(a.bytes(), b.bytes());
}

void ExpectSameTensors(const Tensors& a, const Tensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    ASSERT_TRUE(b.count(name)) << name;
    EXPECT_TRUE(SameTensor(tensor, b.at(name))) << name;
  }
}

class Convert : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { SetProgressStyle(ProgressStyle::kNone); }
  void Quantize(Target target, const QuantizeOptions& options = {}, DType run_dtype = DType::kF16,
                const std::string& model = "mini-qwen3-vl-untied") {
    model_ = TestModel(model);
    FolderLayout layout{target, {}};
    layout.options.run_dtype = run_dtype;
    layout.options.write_tied_head = target == Target::kAscend || target == Target::kAscendV0;
    QuantizeForTest(model_, quant_.path(), layout, options);
  }
  fs::path Out(const std::string& name) { return outs_ / name; }

  fs::path model_;
  TempFolder quant_, outs_;
};

// ---- there and back

TEST_F(Convert, AscendAndGoldenStickComeBackEqual) {
  Quantize(Target::kAscendV0);
  const Tensors before = AllTensors(quant_.path());
  for (const Target target : {Target::kAscend, Target::kGoldenStick310, Target::kGoldenStick910}) {
    const fs::path there = Out(std::string(TargetName(target))),
                   back = Out(std::string(TargetName(target)) + "-back");
    ConvertFolder(quant_.path(), there, target, From(model_));
    ConvertFolder(there, back, Target::kAscendV0, {});
    ExpectSameTensors(AllTensors(back), before);
    EXPECT_EQ(Slurp(back / kDescriptionName), Slurp(quant_ / std::string(kDescriptionName)));
    const ModelReader reader(there);
    EXPECT_EQ(reader.format(), FormatOf(target));
  }
}

TEST_F(Convert, QuantizedVisionBiasMovesOutOfQuantBiasAndBack) {
  QuantizeOptions options;
  options.vision = true;
  Quantize(Target::kAscend, options, DType::kBF16);
  const Tensors before = AllTensors(quant_.path());
  const std::string module = "model.visual.blocks.0.attn.qkv";
  const ConvertReport report =
      ConvertFolder(quant_.path(), Out("gs"), Target::kGoldenStick910, From(model_));
  EXPECT_THAT(ConvertReportText(report), HasSubstr("computed without the layer's bias"));
  const Tensors gs = AllTensors(Out("gs"));
  EXPECT_FALSE(SameTensor(gs.at(module + ".quant_bias"), before.at(module + ".quant_bias")));
  EXPECT_TRUE(SameTensor(gs.at(std::string(kQ) + ".quant_bias"),
                         before.at(std::string(kQ) + ".quant_bias")));
  EXPECT_THAT(Slurp(Out("gs") / kDescriptionName), HasSubstr("\"" + module + ".bias\": \"W8A8\""));
  ConvertFolder(Out("gs"), Out("back"), Target::kAscend, {});
  ExpectSameTensors(AllTensors(Out("back")), before);
}

TEST_F(Convert, CompressedTensorsStaticKeepsEveryNumber) {
  Quantize(Target::kAscendV0, {}, DType::kBF16);
  const Tensors before = AllTensors(quant_.path());
  ConvertFolder(quant_.path(), Out("ct"), Target::kCompressedTensors, From(model_));
  const Tensors ct = AllTensors(Out("ct"));
  EXPECT_EQ(ct.count(std::string(kQ) + ".deq_scale"), 0u);
  EXPECT_EQ(ct.at(std::string(kQ) + ".input_zero_point").dtype(), DType::kI8);
  const ModelReader reader(Out("ct"));
  ASSERT_TRUE(reader.compressed_tensors().has_value());
  EXPECT_FALSE(reader.compressed_tensors()->dynamic);
  ConvertFolder(Out("ct"), Out("back"), Target::kAscendV0, {});
  const Tensors back = AllTensors(Out("back"));
  for (const auto& [name, tensor] : before) {
    const bool wider = name.ends_with(".weight_scale") || name.ends_with(".weight_offset");
    EXPECT_EQ(ToFloats(back.at(name).view()), ToFloats(tensor.view())) << name;
    EXPECT_TRUE(wider || SameTensor(back.at(name), tensor)) << name;
  }
}

TEST_F(Convert, DynamicGoesBetweenAscendAndCompressedTensors) {
  QuantizeOptions options;
  options.dynamic = true;
  Quantize(Target::kAscendV0, options, DType::kBF16);
  ConvertFolder(quant_.path(), Out("ct"), Target::kCompressedTensors, {});
  EXPECT_TRUE(ModelReader(Out("ct")).compressed_tensors()->dynamic);
  ConvertFolder(Out("ct"), Out("back"), Target::kAscendV0, {});
  const Tensors before = AllTensors(quant_.path()), back = AllTensors(Out("back"));
  for (const auto& [name, tensor] : before)
    EXPECT_EQ(ToFloats(back.at(name).view()), ToFloats(tensor.view())) << name;
  EXPECT_TRUE(fs::exists(Out("back") / "quant_model_weight_w8a8_dynamic.safetensors"));
}

// V1 of msModelSlim has no weight_scale: it is recovered when s_x * s_w gives the stored deq_scale
// to the bit.
TEST_F(Convert, WeightScaleIsRecoveredExactlyOrLeftOut) {
  Quantize(Target::kAscendV0, {}, DType::kBF16);
  const Tensors before = AllTensors(quant_.path());
  const auto strip = [](Tensors& tensors) {
    std::erase_if(tensors, [](const auto& item) {
      return item.first.ends_with(".weight_scale") || item.first.ends_with(".weight_offset");
    });
  };
  std::string text = Slurp(quant_ / std::string(kDescriptionName)), kept;
  for (size_t at = 0, end; at < text.size(); at = end) {
    end = std::min(text.size(), text.find('\n', at) + 1);
    if (end == 0) end = text.size();
    const std::string line = text.substr(at, end - at);
    if (line.find(".weight_scale\"") == std::string::npos &&
        line.find(".weight_offset\"") == std::string::npos)
      kept += line;
  }
  EditTensors(quant_.path(), strip);
  Spill(quant_ / std::string(kDescriptionName), kept);
  ConvertFolder(quant_.path(), Out("v1"), Target::kAscend, {});
  const Tensors v1 = AllTensors(Out("v1"));
  const std::string name = std::string(kQ) + ".weight_scale";
  EXPECT_EQ(ToFloats(v1.at(name).view()), ToFloats(before.at(name).view()));

  // No number times s_x gives this one: the scale is left out, the rest goes on.
  EditTensors(quant_.path(), [](Tensors& tensors) {
    tensors.at(std::string(kQ) + ".deq_scale").As<float>()[0] = 0.0f;
  });
  const ConvertReport report = ConvertFolder(quant_.path(), Out("v1b"), Target::kAscend, {});
  EXPECT_EQ(AllTensors(Out("v1b")).count(name), 0u);
  EXPECT_THAT(ConvertReportText(report), HasSubstr("without weight_scale"));
  EXPECT_THAT(ErrorText(ErrorKind::kUser,
                        [&] {
                          ConvertFolder(quant_.path(), Out("ct"), Target::kCompressedTensors,
                                        From(model_));
                        }),
              HasSubstr("no product input_scale * weight_scale"));
}

// deq_scale follows the type that config.json names, which the original V0 folder contradicts.
TEST_F(Convert, EncodingFollowsTheRunType) {
  Quantize(Target::kAscendV0, {}, DType::kF16);
  ConvertOptions options;
  options.run_dtype = DType::kBF16;
  ConvertFolder(quant_.path(), Out("bf16"), Target::kAscend, options);
  EXPECT_EQ(AllTensors(Out("bf16")).at(std::string(kQ) + ".deq_scale").dtype(), DType::kF32);
  EXPECT_EQ(ModelReader(Out("bf16")).config().torch_dtype, "bfloat16");
  ConvertFolder(quant_.path(), Out("f16"), Target::kAscend, {});
  EXPECT_EQ(AllTensors(Out("f16")).at(std::string(kQ) + ".deq_scale").dtype(), DType::kI64);
  EXPECT_EQ(ModelReader(Out("f16")).config().torch_dtype, "float16");
  options.run_dtype = DType::kBF16;
  EXPECT_THAT(
      ErrorText(ErrorKind::kUser,
                [&] { ConvertFolder(quant_.path(), Out("x"), Target::kGoldenStick310, options); }),
      HasSubstr("float16 only"));
}

TEST_F(Convert, TiedHeadIsClonedForAscendAndLeftOutForGoldenStick) {
  Quantize(Target::kAscendV0, {}, DType::kF16, "mini-qwen3-vl");
  ASSERT_EQ(AllTensors(quant_.path()).count("lm_head.weight"), 1u);
  ConvertFolder(quant_.path(), Out("gs"), Target::kGoldenStick310, {});
  EXPECT_EQ(AllTensors(Out("gs")).count("lm_head.weight"), 0u);
  EXPECT_THAT(Slurp(Out("gs") / kDescriptionName), HasSubstr("\"lm_head.weight\": \"FLOAT\""));
  ConvertFolder(Out("gs"), Out("v1"), Target::kAscend, {});
  const Tensors v1 = AllTensors(Out("v1"));
  EXPECT_TRUE(
      SameTensor(v1.at("lm_head.weight"), v1.at("model.language_model.embed_tokens.weight")));
}

// ---- in place

TEST_F(Convert, ShardsAreJoinedAndOldFilesGo) {
  Quantize(Target::kAscendV0);
  TempFolder single;
  CopyFolder(quant_.path(), single.path());
  ConvertInPlace(single.path(), Target::kGoldenStick310, From(model_));
  ConvertOptions sharded;
  sharded.shard_bytes = 1'000'000;
  ConvertFolder(quant_.path(), Out("v0"), Target::kAscendV0, sharded);
  ASSERT_TRUE(fs::exists(Out("v0") / "quant_model_weight_w8a8.safetensors.index.json"));
  ConvertOptions exact = From(model_);
  exact.exact = true;
  EXPECT_THAT(ErrorText(ErrorKind::kUser,
                        [&] { ConvertInPlace(Out("v0"), Target::kGoldenStick310, exact); }),
              HasSubstr("exactly one"));
  ConvertInPlace(Out("v0"), Target::kGoldenStick310, From(model_));
  EXPECT_EQ(Contents(Out("v0")), Contents(single.path()));
}

TEST_F(Convert, TwiceChangesNothingAndTheOtherTargetIsReached) {
  Quantize(Target::kAscendV0);
  TempFolder direct;
  CopyFolder(quant_.path(), direct.path());
  EXPECT_TRUE(ConvertInPlace(quant_.path(), Target::kGoldenStick310, From(model_)).changed);
  const auto once = Contents(quant_.path());
  const ConvertReport again = ConvertInPlace(quant_.path(), Target::kGoldenStick310, From(model_));
  EXPECT_FALSE(again.changed);
  EXPECT_THAT(ConvertReportText(again), HasSubstr("complete already"));
  EXPECT_EQ(Contents(quant_.path()), once);
  ConvertOptions exact = From(model_);
  exact.exact = true;
  EXPECT_THAT(ErrorText(ErrorKind::kUser,
                        [&] { ConvertInPlace(quant_.path(), Target::kGoldenStick910, exact); }),
              HasSubstr("made for the other target"));
  ConvertInPlace(quant_.path(), Target::kGoldenStick910, From(model_));
  ConvertInPlace(direct.path(), Target::kGoldenStick910, From(model_));
  EXPECT_EQ(Contents(quant_.path()), Contents(direct.path()));
}

TEST_F(Convert, OldNamesAndBiasesBecomeWhatTheEngineLooksFor) {
  TempFolder model;
  WriteOldStyleModel(model.path());
  QuantizeOldStyle(model.path(), quant_.path());
  const Tensors before = AllTensors(quant_.path());
  const ConvertReport report =
      ConvertInPlace(quant_.path(), Target::kGoldenStick910, From(model.path()));
  EXPECT_THAT(ConvertReportText(report), HasSubstr("--quantization golden-stick"));
  const Tensors after = AllTensors(quant_.path());
  EXPECT_EQ(after.count("model.layers.0.self_attn.q_proj.weight"), 0u);
  EXPECT_EQ(after.count("visual.blocks.0.attn.qkv.weight_scale"), 0u);
  const std::string q = "model.language_model.layers.0.self_attn.q_proj";
  ASSERT_EQ(after.count(q + ".quant_bias"), 1u);
  // quant_bias = rne(-S * z), the bias stays a tensor of its own.
  const auto codes = after.at(q + ".weight").As<int8_t>();
  const float z = ToFloats(after.at(q + ".input_offset").view())[0];
  for (size_t row = 0; row < 32; ++row) {
    int sum = 0;
    for (size_t col = 0; col < 32; ++col) sum += codes[row * 32 + col];
    EXPECT_EQ(after.at(q + ".quant_bias").As<int32_t>()[row], -sum * static_cast<int>(z));
  }
  EXPECT_TRUE(SameTensor(after.at(q + ".bias"), before.at("model.layers.0.self_attn.q_proj.bias")));
  const std::string labels = Slurp(quant_ / std::string(kDescriptionName));
  EXPECT_THAT(labels, HasSubstr("\"" + q + ".bias\": \"W8A8\""));
  EXPECT_EQ(labels.find("\"model.layers"), std::string::npos);
  EXPECT_FALSE(ConvertInPlace(quant_.path(), Target::kGoldenStick910, From(model.path())).changed);
}

// ---- refusals: one line, with a remedy, nothing touched

TEST_F(Convert, RefusalsNameTheReasonAndTouchNothing) {
  Quantize(Target::kAscendV0, {}, DType::kBF16);
  ConvertOptions exact = From(model_);
  exact.exact = true;
  const auto before = Contents(quant_.path());
  EXPECT_THAT(ErrorText(ErrorKind::kUser,
                        [&] { ConvertInPlace(quant_.path(), Target::kGoldenStick310, exact); }),
              HasSubstr("makes every scale 0"));
  EXPECT_THAT(ErrorText(ErrorKind::kUser,
                        [&] { ConvertInPlace(quant_.path(), Target::kAscend, From(model_)); }),
              HasSubstr("310 and 910"));
  EXPECT_THAT(
      ErrorText(
          ErrorKind::kUser,
          [&] { ConvertInPlace(quant_.path(), Target::kGoldenStick310, From("/no/such/folder")); }),
      HasSubstr("--original_dir"));
  EXPECT_THAT(ErrorText(ErrorKind::kUser,
                        [&] {
                          ConvertInPlace(quant_.path(), Target::kGoldenStick310,
                                         From(TestModel("tiny-qwen3-vl")));
                        }),
              HasSubstr("another one"));
  EXPECT_THAT(ErrorText(ErrorKind::kUser,
                        [&] { ConvertInPlace(model_, Target::kGoldenStick310, From(model_)); }),
              HasSubstr("ingot quantize"));
  EXPECT_THAT(ErrorText(ErrorKind::kUser,
                        [&] { ConvertFolder(quant_.path(), quant_.path(), Target::kAscend, {}); }),
              HasSubstr("source itself"));
  EXPECT_THAT(ErrorText(ErrorKind::kUser,
                        [&] { ConvertFolder(quant_.path(), model_, Target::kAscend, {}); }),
              HasSubstr("not empty"));
  EXPECT_EQ(Contents(quant_.path()), before);
  EXPECT_FALSE(fs::exists(quant_ / std::string(kStagingName)));
}

TEST_F(Convert, FloatWeightsBesideTheQuantizedOnesAreRefused) {
  Quantize(Target::kAscendV0);
  fs::copy(model_ / "model-00001-of-00003.safetensors",
           quant_ / "model-00001-of-00003.safetensors");
  EXPECT_THAT(
      ErrorText(ErrorKind::kUser,
                [&] { ConvertInPlace(quant_.path(), Target::kGoldenStick310, From(model_)); }),
      HasSubstr("Move the float weights out"));
  fs::remove(quant_ / "model-00001-of-00003.safetensors");
  fs::copy(quant_ / kWeights, quant_ / "quant_model_weight_copy.safetensors");
  EXPECT_THAT(
      ErrorText(ErrorKind::kUser,
                [&] { ConvertInPlace(quant_.path(), Target::kGoldenStick310, From(model_)); }),
      HasSubstr("one run only"));
}

TEST_F(Convert, WhatAFormatCannotHoldIsRefused) {
  QuantizeOptions dynamic;
  dynamic.dynamic = true;
  Quantize(Target::kAscendV0, dynamic);
  EXPECT_THAT(
      ErrorText(ErrorKind::kUser,
                [&] { ConvertInPlace(quant_.path(), Target::kGoldenStick310, From(model_)); }),
      HasSubstr("dynamic layers"));
  TempFolder gs;
  FolderLayout layout{Target::kGoldenStick310, {}};
  layout.options.run_dtype = DType::kF16;
  QuantizeForTest(model_, gs.path(), layout);
  EditTensors(gs.path(), [](Tensors& tensors) {
    tensors.at(std::string(kQ) + ".input_scale").As<uint16_t>()[3] ^= 1;
  });
  EXPECT_THAT(ErrorText(ErrorKind::kUser,
                        [&] { ConvertFolder(gs.path(), Out("v0"), Target::kAscendV0, {}); }),
              HasSubstr("differs by input channel"));
  ConvertFolder(gs.path(), Out("gs910"), Target::kGoldenStick910, {});
  EXPECT_TRUE(SameTensor(AllTensors(Out("gs910")).at(std::string(kQ) + ".input_scale"),
                         AllTensors(gs.path()).at(std::string(kQ) + ".input_scale")));
}

TEST_F(Convert, ScalesThatF16CannotHoldAreRefused) {
  Quantize(Target::kAscendV0);
  for (const float scale : {1e-9f, 1e6f}) {
    EditTensors(quant_.path(), [&](Tensors& tensors) {
      tensors.at(std::string(kQ) + ".input_scale").As<float>()[0] = scale;
    });
    for (const bool exact : {false, true}) {
      ConvertOptions options = From(model_);
      options.exact = exact;
      EXPECT_THAT(
          ErrorText(ErrorKind::kUser,
                    [&] { ConvertInPlace(quant_.path(), Target::kGoldenStick310, options); }),
          HasSubstr("cannot hold"));
    }
  }
}

// ---- hostile input

TEST_F(Convert, DamagedInputIsNamed) {
  Quantize(Target::kAscendV0);
  const std::string q(kQ);
  struct Case {
    const char* message;
    std::function<void(const fs::path&)> damage;
  };
  const auto tensors = [](std::function<void(Tensors&)> edit) {
    return [edit](const fs::path& dir) { EditTensors(dir, edit); };
  };
  const Case cases[] = {
      {"finite and positive",
       tensors([&](Tensors& t) { t.at(q + ".input_scale").As<float>()[0] = NAN; })},
      {"finite and positive",
       tensors([&](Tensors& t) { t.at(q + ".input_scale").As<float>()[0] = 0; })},
      {"integer from -128",
       tensors([&](Tensors& t) { t.at(q + ".input_offset").As<float>()[0] = 0.5f; })},
      {"integer from -128",
       tensors([&](Tensors& t) { t.at(q + ".input_offset").As<float>()[0] = 300; })},
      {"no float pattern",
       tensors([&](Tensors& t) { t.at(q + ".deq_scale").As<int64_t>()[0] |= int64_t{1} << 40; })},
      {"one for each output row",
       tensors([&](Tensors& t) { t.at(q + ".deq_scale") = Tensor(DType::kI64, {3}); })},
      {"expected one number",
       tensors([&](Tensors& t) { t.at(q + ".input_scale") = Tensor(DType::kF32, {5}); })},
      {"two dimensions",
       tensors([&](Tensors& t) { t.at(q + ".weight") = Tensor(DType::kI8, {4}); })},
      {"no weight file has this tensor", tensors([&](Tensors& t) { t.erase(q + ".deq_scale"); })},
      {"has no label",
       tensors([&](Tensors& t) { t.emplace("stray.weight", Tensor(DType::kF16, {2})); })},
      {"is labelled",
       [&](const fs::path& dir) {
         EditText(dir / kDescriptionName, q + ".weight\": \"W8A8\"",
                  q + ".weight\": \"W4A8_DYNAMIC\"");
       }},
      {"is labelled",
       [&](const fs::path& dir) {
         EditText(dir / kDescriptionName, q + ".deq_scale\": \"W8A8\"",
                  q + ".deq_scale\": \"FLOAT\"");
       }},
      {"quant_model_description.json",
       [](const fs::path& dir) { Spill(dir / kDescriptionName, "{\"version\": "); }},
      {"config.json", [](const fs::path& dir) { Spill(dir / "config.json", "[1, 2]"); }},
      {"description", [](const fs::path& dir) { fs::remove(dir / kDescriptionName); }},
      {".safetensors",
       [](const fs::path& dir) {
         fs::resize_file(dir / kWeights, fs::file_size(dir / kWeights) / 2);
       }},
      {".safetensors", [](const fs::path& dir) { Spill(dir / kWeights, "not a weight file"); }},
      {".safetensors", [](const fs::path& dir) { fs::remove(dir / kWeights); }},
  };
  for (const Case& c : cases) {
    TempFolder dir;
    CopyFolder(quant_.path(), dir.path());
    c.damage(dir.path());
    const auto before = Contents(dir.path());
    std::string text;
    try {
      ConvertInPlace(dir.path(), Target::kGoldenStick310, From(model_));
    } catch (const Error& error) {
      EXPECT_TRUE(error.kind() == ErrorKind::kUser || error.kind() == ErrorKind::kFormat)
          << error.what();
      text = error.what();
    }
    EXPECT_THAT(text, HasSubstr(c.message));
    EXPECT_EQ(text.find('\n'), std::string::npos);
    EXPECT_EQ(Contents(dir.path()), before) << text;
    EXPECT_FALSE(fs::exists(dir / std::string(kStagingName)));
  }
}

TEST_F(Convert, ABiasThatQuantBiasContradictsIsDamage) {
  TempFolder model;
  WriteOldStyleModel(model.path());
  QuantizeOldStyle(model.path(), quant_.path());
  EditTensors(quant_.path(), [](Tensors& tensors) {
    tensors.at("model.layers.0.self_attn.q_proj.quant_bias").As<int32_t>()[5] += 100000;
  });
  EXPECT_THAT(
      ErrorText(
          ErrorKind::kFormat,
          [&] { ConvertInPlace(quant_.path(), Target::kGoldenStick910, From(model.path())); }),
      HasSubstr("neither with nor without the bias"));
}

// ---- the folder's transaction

TEST_F(Convert, AFullDiskLeavesTheFolderAlone) {
  Quantize(Target::kAscendV0);
  const auto before = Contents(quant_.path());
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  const rlimit small{100'000, old.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string text = ErrorText(ErrorKind::kResource, [&] {
    ConvertInPlace(quant_.path(), Target::kGoldenStick310, From(model_));
  });
  ErrorText(ErrorKind::kResource,
            [&] { ConvertFolder(quant_.path(), Out("new"), Target::kAscend, {}); });
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_FALSE(fs::exists(Out("new")));
  EXPECT_THAT(text, HasSubstr(kWeights));
  EXPECT_EQ(Contents(quant_.path()), before);
  EXPECT_FALSE(fs::exists(quant_ / std::string(kStagingName)));
}

TEST_F(Convert, ASecondConversionOfTheSameFolderWaits) {
  Quantize(Target::kAscendV0);
  const FolderTransaction first(quant_.path());
  EXPECT_THAT(
      ErrorText(ErrorKind::kResource,
                [&] { ConvertInPlace(quant_.path(), Target::kGoldenStick310, From(model_)); }),
      HasSubstr("another ingot convert"));
}

TEST_F(Convert, AForeignCommitListIsRefused) {
  Quantize(Target::kAscendV0);
  fs::create_directories(quant_ / (std::string(kStagingName) + "/files"));
  for (const char* text : {"{\"replace\": [\"../x\"], \"remove\": []}", "{\"replace\": []}",
                           "{\"replace\": [], \"remove\": [\"\"]}"}) {
    Spill(quant_ / (std::string(kStagingName) + "/commit.json"), text);
    EXPECT_THAT(
        ErrorText(ErrorKind::kFormat,
                  [&] { ConvertInPlace(quant_.path(), Target::kGoldenStick310, From(model_)); }),
        HasSubstr("interrupted conversion"));
  }
}

}  // namespace
}  // namespace ingot
