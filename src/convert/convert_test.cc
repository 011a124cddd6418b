// SPDX-License-Identifier: Apache-2.0
// Conversions between all formats on small models: what is kept, what is derived, what is refused.
#include "convert/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/progress.h"
#include "checkpoint/model_reader.h"
#include "convert/convert_fixture.h"
#include "convert/folder_transaction.h"
#include "convert/numbers.h"
#include "convert/source.h"
#include "convert/test_folders.h"

namespace ingot::convert_test {
namespace {

using ::testing::HasSubstr;

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

}  // namespace
}  // namespace ingot::convert_test
