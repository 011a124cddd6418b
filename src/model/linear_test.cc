// SPDX-License-Identifier: Apache-2.0
// W8A8 linears against the formula written out in double, and the loaders of every folder format.
#include "model/linear.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/files.h"
#include "base/numeric.h"
#include "checkpoint/folder_layout.h"
#include "checkpoint/model_reader.h"
#include "checkpoint/safetensors_writer.h"
#include "kernels/ops.h"
#include "model/tensor_lookup.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using Floats = std::vector<float>;

constexpr int64_t kRows = 37;

Floats Random(int64_t n, uint32_t seed, float scale = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  Floats values(static_cast<size_t>(n));
  for (float& value : values) value = normal(random);
  return values;
}

Tensor RandomCodes(int64_t out, int64_t in, uint32_t seed) {
  Tensor codes(DType::kI8, {out, in});
  std::mt19937 random(seed);
  for (int8_t& code : codes.As<int8_t>()) code = static_cast<int8_t>(random());
  return codes;
}

LinearSpec Spec(int64_t out, int64_t in) {
  LinearSpec spec;
  spec.module = "test";
  spec.out = out;
  spec.in = in;
  return spec;
}

// The formula of linear.h, with the exact integer sum.
Floats Formula(const Linear& linear, const Floats& x, int64_t rows) {
  Floats y;
  for (int64_t row = 0; row < rows; ++row) {
    const float* from = &x[static_cast<size_t>(row * linear.in)];
    float row_scale = 1.0f;
    if (linear.exec == LinearExec::kDynamic) {
      float top = 0;
      for (int64_t k = 0; k < linear.in; ++k) top = std::max(top, std::fabs(from[k]));
      row_scale = top / 127.0f;
    }
    std::vector<int64_t> codes;
    for (int64_t k = 0; k < linear.in; ++k) {
      const size_t i = linear.exec == LinearExec::kStaticVector ? static_cast<size_t>(k) : 0;
      float t, z = 0;
      if (linear.exec == LinearExec::kDynamic) {
        t = row_scale > 0 ? from[k] / row_scale : 0.0f;
      } else {
        t = linear.reciprocal ? from[k] * linear.input_scale[i] : from[k] / linear.input_scale[i];
        z = linear.input_offset[i];
      }
      codes.push_back(static_cast<int64_t>(std::clamp(Rne(t) + z, -128.0f, 127.0f)));
    }
    for (int64_t n = 0; n < linear.out; ++n) {
      int64_t sum = linear.quant_bias.empty() ? 0 : linear.quant_bias[static_cast<size_t>(n)];
      for (int64_t k = 0; k < linear.in; ++k)
        sum += linear.weight.data<int8_t>()[n * linear.in + k] * codes[static_cast<size_t>(k)];
      const float value = static_cast<float>(sum) * linear.deq[static_cast<size_t>(n)] * row_scale;
      y.push_back(linear.bias.empty() ? value : value + linear.bias[static_cast<size_t>(n)]);
    }
  }
  return y;
}

Floats Apply(const Linear& linear, const Floats& x, int64_t rows,
             Precision precision = Precision::kF32) {
  Floats y(static_cast<size_t>(rows * linear.out));
  RunLinear(linear, x.data(), rows, y.data(), precision);
  return y;
}

// All kinds that RunLinears knows, of one size.
std::vector<Linear> AllKinds(int64_t out, int64_t in, uint32_t seed) {
  const LinearSpec spec = Spec(out, in);
  const Floats deq = Random(out, seed, 0.01f), bias = Random(out, seed + 1);
  const Weight codes = Weight::Own(RandomCodes(out, in, seed + 2));
  Floats scales(static_cast<size_t>(in), 0.02f), offsets(static_cast<size_t>(in), 3.0f);
  Tensor bf16(DType::kBF16, {out, in}), f32(DType::kF32, {out, in});
  const Floats values = Random(out * in, seed + 3);
  std::copy(values.begin(), values.end(), f32.As<float>().begin());
  std::transform(values.begin(), values.end(), bf16.As<uint16_t>().begin(), F32ToBf16);
  return {MakeStaticLinear(spec, codes, {0.021f}, {17.0f}, {}, deq, bias),
          MakeStaticLinear(spec, codes, scales, offsets, {}, deq),
          MakeDynamicLinear(spec, codes, deq, bias),
          MakeFloatLinear(spec, Weight::Own(std::move(bf16)), bias),
          MakeFloatLinear(spec, Weight::Own(std::move(f32)))};
}

TEST(LinearTest, AddingAndGatingEqualSeparateSteps) {
  const int64_t out = 75, in = 130;
  const std::vector<Linear> gates = AllKinds(out, in, 1), ups = AllKinds(out, in, 20);
  for (const Precision precision : {Precision::kBF16, Precision::kF32}) {
    for (const int64_t rows : {1, 8, 13, 60}) {
      const Floats x = Random(rows * in, 5), before = Random(rows * out, 6);
      for (size_t i = 0; i < ups.size(); ++i) {
        SCOPED_TRACE(testing::Message() << LinearExecName(ups[i].exec) << " " << i << " rows " << rows);
        const Floats up = Apply(ups[i], x, rows, precision);
        Floats sum = before, expected = before;
        for (size_t j = 0; j < expected.size(); ++j) expected[j] += up[j];
        const LinearOutput output{&ups[i], sum.data(), /*add=*/true};
        RunLinears({&output, 1}, x.data(), rows, precision);
        EXPECT_EQ(sum, expected);
        for (const size_t other : {i, size_t{0}}) {  // inputs alike and not
          expected = Apply(gates[other], x, rows, precision);
          SiluMulInto(expected.data(), up.data(), expected.size(), expected.data());
          Floats gated(expected.size());
          RunGated(gates[other], ups[i], x.data(), rows, gated.data(), precision);
          EXPECT_EQ(std::memcmp(gated.data(), expected.data(), gated.size() * sizeof(float)), 0);
        }
      }
    }
  }
}

TEST(LinearTest, W8A8KindsFollowTheFormulaExactly) {
  const int64_t out = 70, in = 131;
  const Floats x = Random(kRows * in, 1, 2.0f), deq = Random(out, 2, 0.01f), bias = Random(out, 3);
  std::vector<int32_t> quant_bias;
  for (int64_t n = 0; n < out; ++n) quant_bias.push_back(static_cast<int32_t>(n * 1000 - 30000));
  Floats scales, offsets;
  for (int64_t k = 0; k < in; ++k)
    scales.push_back(0.01f + 0.0003f * static_cast<float>(k)),
        offsets.push_back(static_cast<float>(k % 200 - 100));
  const LinearSpec spec = Spec(out, in);
  const Weight codes = Weight::Own(RandomCodes(out, in, 4));
  std::vector<Linear> linears = {
      MakeStaticLinear(spec, codes, {0.021f}, {17.0f}, quant_bias, deq),
      MakeStaticLinear(spec, codes, {0.021f}, {-128.0f}, {}, deq, bias),
      MakeStaticLinear(spec, codes, scales, offsets, quant_bias, deq, bias),
      MakeDynamicLinear(spec, codes, deq, bias), MakeDynamicLinear(spec, codes, deq)};
  linears.push_back(linears[0]);
  linears.back().reciprocal = true;
  linears.back().input_scale = {47.5f};
  for (const Linear& linear : linears) {
    EXPECT_EQ(Apply(linear, x, kRows), Formula(linear, x, kRows)) << LinearExecName(linear.exec);
    // More rows than one block of sums, and one row alone.
    Floats many;
    for (int i = 0; i < 10; ++i) many.insert(many.end(), x.begin(), x.end());
    EXPECT_EQ(Apply(linear, many, 10 * kRows), Formula(linear, many, 10 * kRows));
    EXPECT_EQ(Apply(linear, x, 1), Formula(linear, x, 1));
  }
  EXPECT_EQ(Apply(linears[4], Floats(static_cast<size_t>(in)), 1), Floats(static_cast<size_t>(out)))
      << "a row of zeros";
}

TEST(LinearTest, LinearsOfOneInputEqualSingleRuns) {
  const int64_t out = 40, in = 96;
  const Floats x = Random(kRows * in, 1), w = Random(out * in, 2), deq(40, 0.01f);
  const LinearSpec spec = Spec(out, in);
  const Linear linears[] = {
      MakeFloatLinear(spec, Weight::Own(FromFloats(w, DType::kBF16, {out, in})), Random(out, 3)),
      MakeStaticLinear(spec, Weight::Own(RandomCodes(out, in, 4)), {0.02f}, {3.0f}, {}, deq),
      MakeStaticLinear(spec, Weight::Own(RandomCodes(out, in, 5)), {0.02f}, {3.0f}, {}, deq),
      MakeStaticLinear(spec, Weight::Own(RandomCodes(out, in, 5)), {0.02f}, {4.0f}, {}, deq),
      MakeDynamicLinear(spec, Weight::Own(RandomCodes(out, in, 6)), deq),
      MakeFloatLinear(spec, Weight::Own(FromFloats(w, DType::kF16, {out, in})))};
  for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
    std::vector<Floats> together(std::size(linears), Floats(static_cast<size_t>(kRows * out)));
    std::vector<LinearOutput> outputs;
    for (size_t i = 0; i < std::size(linears); ++i)
      outputs.push_back({&linears[i], together[i].data()});
    RunLinears(outputs, x.data(), kRows, precision);
    for (size_t i = 0; i < std::size(linears); ++i)
      EXPECT_EQ(together[i], Apply(linears[i], x, kRows, precision)) << i;
  }
}

TEST(LinearTest, Bf16PrecisionRoundsTheInput) {
  const LinearSpec spec = Spec(1, 2);
  const Floats x = {1.001f, 2.0f};
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    const Linear linear =
        MakeFloatLinear(spec, Weight::Own(FromFloats(Floats{1.0f, 0.5f}, dtype, {1, 2})));
    EXPECT_EQ(Apply(linear, x, 1, Precision::kF32).front(), 2.001f);
    EXPECT_EQ(Apply(linear, x, 1, Precision::kBF16).front(), 2.0f);
  }
}

TEST(LinearTest, MakersRefuseSizesThatDoNotFit) {
  const LinearSpec spec = Spec(4, 8);
  const Weight codes = Weight::Own(RandomCodes(4, 8, 1));
  const Weight weight = Weight::Own(FromFloats(Floats(32), DType::kF32, {4, 8}));
  EXPECT_ANY_THROW(MakeFloatLinear(spec, codes));
  EXPECT_ANY_THROW(MakeFloatLinear(Spec(8, 4), weight));
  EXPECT_ANY_THROW(MakeFloatLinear(spec, weight, Floats(3)));
  EXPECT_ANY_THROW(MakeDynamicLinear(spec, weight, Floats(4)));
  EXPECT_ANY_THROW(MakeStaticLinear(spec, codes, Floats(7), Floats(7), {}, Floats(4)));
  EXPECT_ANY_THROW(
      MakeStaticLinear(spec, codes, {1.0f}, {0.0f}, std::vector<int32_t>(5), Floats(4)));
}

// ---- loaders ----

struct NamedTensor {
  std::string suffix;
  Tensor tensor;
};

Tensor Ints(const std::vector<int32_t>& values) {
  Tensor tensor(DType::kI32, {static_cast<int64_t>(values.size())});
  std::memcpy(tensor.bytes().data(), values.data(), values.size() * sizeof(int32_t));
  return tensor;
}
Tensor Vector(const Floats& values, DType dtype) {
  return FromFloats(values, dtype, {static_cast<int64_t>(values.size())});
}

// A folder with the config of a small model and the tensors of one linear.
class LoadLinearTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / fmt::format("ingot_linear_test_{}", getpid());
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    config_text_ = ReadFile(fs::path(INGOT_TEST_DATA) / "models/mini-qwen3-vl/config.json");
    spec_ = FindLinearSpec(LoadModelConfig(fs::path(INGOT_TEST_DATA) / "models/mini-qwen3-vl"),
                           LinearKind::kO, 1);
    scale_ = 0.0123f;
    deq_ = Random(spec_.out, 2, 1e-4f);
    for (float& value : deq_) value = std::fabs(value) + 1e-5f;
    for (int64_t n = 0; n < spec_.out; ++n)
      quant_bias_.push_back(static_cast<int32_t>(100 * n - 5000));
    bias_ = Random(spec_.out, 7);
    x_ = Random(kRows * spec_.in, 8, 0.5f);
  }
  void TearDown() override { fs::remove_all(dir_); }

  // `label` "" writes no description; `config_insert` goes behind the first brace of config.json.
  Linear Load(const std::string& file, std::vector<NamedTensor> tensors, const std::string& label,
              Emulate emulate = Emulate::kNone, const std::string& config_insert = "") {
    for (const auto& entry : fs::directory_iterator(dir_)) fs::remove(entry.path());
    std::vector<PlannedTensor> planned = {
        {spec_.module + ".weight", DType::kI8, {spec_.out, spec_.in}}};
    for (const auto& [suffix, tensor] : tensors)
      planned.push_back({spec_.module + "." + suffix, tensor.dtype(), tensor.shape()});
    SafetensorsWriter writer(dir_, PlanShards(planned, {.single_name = file}), {});
    writer.Write(spec_.module + ".weight", RandomCodes(spec_.out, spec_.in, 1));
    for (const auto& [suffix, tensor] : tensors) writer.Write(spec_.module + "." + suffix, tensor);
    writer.Commit();
    std::string config = config_text_;
    config.insert(config.find('{') + 1, config_insert);
    std::ofstream(dir_ / "config.json") << config;
    if (!label.empty()) {
      std::vector<std::pair<std::string, std::string>> labels;
      for (const auto& tensor : planned) labels.emplace_back(tensor.name, label);
      std::ofstream(dir_ / "quant_model_description.json")
          << QuantDescriptionJson("W8A8", labels, DescriptionStyle::kV0);
    }
    reader_ = std::make_unique<ModelReader>(dir_);
    return LoadLinear(*reader_, spec_, {.emulate = emulate});
  }

  std::vector<NamedTensor> Ascend(DType scale_type, DType deq_type) const {
    std::vector<NamedTensor> tensors;
    tensors.push_back({"input_scale", Vector({scale_}, scale_type)});
    tensors.push_back({"input_offset", Vector({-31.0f}, scale_type)});
    tensors.push_back({"quant_bias", Ints(quant_bias_)});
    tensors.push_back({"deq_scale", EncodeDeqScale(deq_, deq_type)});
    tensors.push_back({"bias", Vector(bias_, DType::kF16)});  // contained in quant_bias
    return tensors;
  }
  std::vector<NamedTensor> GoldenStick(DType offset_type, DType deq_type) const {
    std::vector<NamedTensor> tensors;
    tensors.push_back(
        {"input_scale", Vector(Floats(static_cast<size_t>(spec_.in), scale_), DType::kF16)});
    tensors.push_back(
        {"input_offset", Vector(Floats(static_cast<size_t>(spec_.in), -31.0f), offset_type)});
    tensors.push_back({"quant_bias", Ints(quant_bias_)});
    tensors.push_back({"deq_scale", EncodeDeqScale(deq_, deq_type)});
    tensors.push_back({"bias", Vector(bias_, DType::kF32)});  // added by the engine
    return tensors;
  }
  Floats Mapped(float (*function)(float)) const {
    Floats mapped = deq_;
    for (float& value : mapped) value = function(value);
    return mapped;
  }

  fs::path dir_;
  std::string config_text_;
  LinearSpec spec_;
  float scale_ = 0;
  Floats deq_, bias_, x_;
  std::vector<int32_t> quant_bias_;
  std::unique_ptr<ModelReader> reader_;
};

constexpr char kV0File[] = "quant_model_weight_w8a8.safetensors",
               kV1File[] = "quant_model_weights-00001-of-00001.safetensors";

TEST_F(LoadLinearTest, Ascend) {
  for (const auto& [file, scale_type, deq_type] : {std::tuple{kV0File, DType::kF32, DType::kI64},
                                                   std::tuple{kV0File, DType::kBF16, DType::kF32},
                                                   std::tuple{kV1File, DType::kF32, DType::kF32},
                                                   std::tuple{kV1File, DType::kF32, DType::kI64}}) {
    const Linear linear = Load(file, Ascend(scale_type, deq_type), "W8A8");
    EXPECT_EQ(linear.exec, LinearExec::kStatic);
    EXPECT_EQ(linear.input_scale,
              Floats{scale_type == DType::kBF16 ? RoundToBf16(scale_) : scale_});
    EXPECT_EQ(linear.input_offset, Floats{-31.0f});
    EXPECT_EQ(linear.quant_bias, quant_bias_);
    EXPECT_EQ(linear.deq, deq_) << "deq of " << DTypeName(deq_type);
    EXPECT_TRUE(linear.bias.empty()) << "the bias is inside quant_bias";
    EXPECT_FALSE(linear.reciprocal);
    EXPECT_EQ(Apply(linear, x_, kRows), Formula(linear, x_, kRows));
  }
}

TEST_F(LoadLinearTest, AscendEmulated) {
  const Linear on_910 = Load(kV1File, Ascend(DType::kF32, DType::kF32), "W8A8", Emulate::k910);
  EXPECT_TRUE(on_910.reciprocal);
  EXPECT_EQ(on_910.input_scale, Floats{RoundToBf16(1.0f / RoundToBf16(scale_))});
  EXPECT_EQ(on_910.deq, deq_);
  EXPECT_EQ(Apply(on_910, x_, kRows), Formula(on_910, x_, kRows));
  const Linear on_310 = Load(kV1File, Ascend(DType::kF32, DType::kI64), "W8A8", Emulate::k310);
  EXPECT_TRUE(on_310.reciprocal);
  EXPECT_EQ(on_310.input_scale, Floats{RoundToF16(1.0f / RoundToF16(scale_))});
  for (size_t n = 0; n < deq_.size(); ++n) {
    EXPECT_LE(on_310.deq[n], deq_[n]);
    EXPECT_GT(on_310.deq[n], deq_[n] * (1 - 0x1p-9f));
    EXPECT_EQ(std::bit_cast<uint32_t>(on_310.deq[n]) & 0x1fffu, 0u);
  }
  EXPECT_THROW(Load(kV1File, Ascend(DType::kF32, DType::kF32), "W8A8", Emulate::k310), UserError)
      << "F32 deq cannot run on 310P";
}

TEST_F(LoadLinearTest, GoldenStick) {
  const Linear plain = Load(kV0File, GoldenStick(DType::kF16, DType::kF32), "W8A8");
  EXPECT_EQ(reader_->format(), FolderFormat::kGoldenStick310);
  EXPECT_EQ(plain.exec, LinearExec::kStaticVector);
  EXPECT_EQ(plain.input_scale, Floats(static_cast<size_t>(spec_.in), RoundToF16(scale_)));
  EXPECT_EQ(plain.deq, deq_);
  EXPECT_EQ(plain.bias, bias_) << "the engine adds it";
  EXPECT_EQ(Apply(plain, x_, kRows), Formula(plain, x_, kRows));
  const Linear on_310 = Load(kV0File, GoldenStick(DType::kF16, DType::kF32), "W8A8", Emulate::k310);
  EXPECT_EQ(on_310.deq, Mapped(RoundToF16));
  EXPECT_FALSE(on_310.reciprocal);
  const Linear on_910 =
      Load(kV0File, GoldenStick(DType::kBF16, DType::kF32), "W8A8", Emulate::k910);
  EXPECT_EQ(reader_->format(), FolderFormat::kGoldenStick910);
  EXPECT_EQ(on_910.input_scale,
            Floats(static_cast<size_t>(spec_.in), RoundToBf16(RoundToF16(scale_))));
  EXPECT_EQ(on_910.deq, deq_);
  // The original converter leaves I64 on 910; the engine then converts by value.
  EXPECT_EQ(Load(kV0File, GoldenStick(DType::kBF16, DType::kI64), "W8A8").deq, deq_);
  EXPECT_GT(Load(kV0File, GoldenStick(DType::kBF16, DType::kI64), "W8A8", Emulate::k910).deq[0],
            1e8f);
}

TEST_F(LoadLinearTest, Dynamic) {
  std::vector<NamedTensor> tensors;
  tensors.push_back({"weight_scale", FromFloats(deq_, DType::kF32, {spec_.out, 1})});
  tensors.push_back(
      {"weight_offset", FromFloats(Floats(deq_.size()), DType::kF32, {spec_.out, 1})});
  const Linear linear = Load(kV1File, tensors, "W8A8_DYNAMIC");
  EXPECT_EQ(linear.exec, LinearExec::kDynamic);
  EXPECT_EQ(linear.deq, deq_);
  EXPECT_THROW(Load(kV1File, tensors, "W8A16"), UserError)
      << "looks the same, computes differently";
}

TEST_F(LoadLinearTest, CompressedTensors) {
  std::vector<NamedTensor> tensors;
  tensors.push_back({"weight_scale", FromFloats(deq_, DType::kF32, {spec_.out, 1})});
  tensors.push_back({"bias", Vector(bias_, DType::kF32)});
  const auto config = [](bool dynamic) {
    return "\"quantization_config\":" +
           CompressedTensorsJson({.dynamic = dynamic, .symmetric = false, .ignore = {}}) + ",";
  };
  const Linear dynamic = Load("model.safetensors", tensors, "", Emulate::kNone, config(true));
  EXPECT_EQ(reader_->format(), FolderFormat::kCompressedTensors);
  EXPECT_EQ(dynamic.exec, LinearExec::kDynamic);
  EXPECT_EQ(dynamic.bias, bias_);
  tensors.push_back({"input_scale", Vector({scale_}, DType::kF32)});
  Tensor zero_point(DType::kI8, {1});
  zero_point.As<int8_t>()[0] = -9;
  tensors.push_back({"input_zero_point", zero_point});
  const Linear fixed = Load("model.safetensors", tensors, "", Emulate::kNone, config(false));
  EXPECT_EQ(fixed.exec, LinearExec::kStatic);
  EXPECT_EQ(fixed.input_offset, Floats{-9.0f});
  EXPECT_EQ(fixed.deq[3], deq_[3] * scale_);
  // x_q - z times Wq, summed without quant_bias.
  const Floats y = Apply(fixed, x_, 1);
  std::vector<int8_t> codes(static_cast<size_t>(spec_.in));
  QuantizeInput(fixed, x_.data(), 1, codes.data(), nullptr);
  int32_t sum = 0;
  for (int64_t k = 0; k < spec_.in; ++k)
    sum += fixed.weight.data<int8_t>()[k] * (codes[static_cast<size_t>(k)] + 9);
  EXPECT_FLOAT_EQ(y[0], static_cast<float>(sum) * scale_ * deq_[0] + bias_[0]);
}

TEST_F(LoadLinearTest, DamagedFoldersAreRefused) {
  const auto broken = [&](size_t which, Tensor tensor) {
    std::vector<NamedTensor> tensors = Ascend(DType::kF32, DType::kF32);
    tensors[which].tensor = std::move(tensor);
    return tensors;
  };
  EXPECT_THROW(Load(kV1File, broken(0, Vector({0.0f}, DType::kF32)), "W8A8"), FormatError);
  EXPECT_THROW(Load(kV1File, broken(0, Vector({std::nanf("")}, DType::kF32)), "W8A8"), FormatError);
  EXPECT_THROW(Load(kV1File, broken(0, Vector({1.0f, 2.0f}, DType::kF32)), "W8A8"), FormatError);
  EXPECT_THROW(Load(kV1File, broken(1, Vector({300.0f}, DType::kF32)), "W8A8"), FormatError);
  EXPECT_THROW(Load(kV1File, broken(1, Vector({0.5f}, DType::kF32)), "W8A8"), FormatError);
  EXPECT_THROW(Load(kV1File, broken(2, Ints({1, 2})), "W8A8"), FormatError);
  EXPECT_THROW(Load(kV1File, broken(2, Vector(deq_, DType::kF32)), "W8A8"), FormatError);
  EXPECT_THROW(Load(kV1File, broken(3, Vector(Floats(3), DType::kF32)), "W8A8"), FormatError);
  EXPECT_THROW(Load(kV1File, {}, "W8A8"), FormatError) << "codes without scales";
}

TEST(Emulation, Names) {
  EXPECT_EQ(ParseEmulate("none"), Emulate::kNone);
  EXPECT_EQ(ParseEmulate("310p"), Emulate::k310);
  EXPECT_EQ(ParseEmulate("910b"), Emulate::k910);
  EXPECT_THROW(ParseEmulate("320"), UserError);
}

}  // namespace
}  // namespace ingot
