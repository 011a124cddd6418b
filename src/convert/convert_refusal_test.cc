// SPDX-License-Identifier: Apache-2.0
// What convert refuses, with the reason, and without touching anything.
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
#include "convert/convert_fixture.h"
#include "convert/folder_transaction.h"
#include "convert/numbers.h"
#include "convert/source.h"
#include "convert/test_folders.h"

namespace ingot::convert_test {
namespace {

using ::testing::HasSubstr;

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
}  // namespace ingot::convert_test
