// SPDX-License-Identifier: Apache-2.0
// A folder that the original quantizer wrote (msModelSlim, V0), run on activations that it
// recorded: the integer arithmetic equals dequantized weights times dequantized activations, and
// approximates the float linear as 8 bits should.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/numeric.h"
#include "checkpoint/model_reader.h"
#include "checkpoint/safetensors.h"
#include "model/linear.h"

namespace ingot {
namespace {

using Floats = std::vector<float>;

const std::string kQuant = std::string(INGOT_TEST_DATA) + "/goldens/quant/";

double RelativeL2(const Floats& found, const Floats& expected) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    error += (double{found[i]} - expected[i]) * (double{found[i]} - expected[i]);
    norm += double{expected[i]} * expected[i];
  }
  return std::sqrt(error / norm);
}

Floats Apply(const Linear& linear, const Floats& x) {
  const int64_t rows = static_cast<int64_t>(x.size()) / linear.in;
  Floats y(static_cast<size_t>(rows * linear.out));
  RunLinear(linear, x.data(), rows, y.data(), Precision::kF32);
  return y;
}

// s_w[n] Wq[n, k] as an F32 linear.
Linear Dequantized(const ModelReader& reader, const LinearSpec& spec, const Linear& quantized) {
  const Floats scale = ToFloats(reader.View(spec.module + ".weight_scale"));
  Floats weight = ToFloats(quantized.weight.view());
  for (size_t i = 0; i < weight.size(); ++i) weight[i] *= scale[i / static_cast<size_t>(spec.in)];
  return MakeFloatLinear(spec, Weight::Own(FromFloats(weight, DType::kF32, {spec.out, spec.in})));
}

Floats FakeQuantized(const Linear& linear, Floats x) {
  const float scale = linear.input_scale[0], offset = linear.input_offset[0];
  for (float& value : x)
    value = (std::clamp(Rne(value / scale) + offset, -128.0f, 127.0f) - offset) * scale;
  return x;
}

TEST(QuantGolden, LinearsOfTheOriginalQuantizer) {
  const ModelReader quantized(kQuant + "v0"), original(kQuant + "inputs/s_untied");
  const SafetensorsFile recorded(kQuant + "v0_dump/acts.safetensors");
  ASSERT_EQ(quantized.format(), FolderFormat::kAscendV0);
  int compared = 0;
  for (const LinearSpec& spec : LinearTable(quantized.config())) {
    const std::string first = spec.module + ".quant_input/0";
    if (recorded.Find(first) == nullptr) continue;
    Floats x;
    for (int sample = 0; sample < 12; ++sample) {
      const Floats part =
          ToFloats(recorded.View(fmt::format("{}.quant_input/{}", spec.module, sample)));
      x.insert(x.end(), part.begin(), part.end());
    }
    const Linear linear = LoadLinear(quantized, spec);
    ASSERT_EQ(linear.exec, LinearExec::kStatic) << spec.module;
    const Floats y = Apply(linear, x);
    EXPECT_LT(RelativeL2(y, Apply(Dequantized(quantized, spec, linear), FakeQuantized(linear, x))),
              1e-6)
        << spec.module;
    const double error = RelativeL2(y, Apply(LoadLinear(original, spec), x));
    EXPECT_LT(error, 0.15) << spec.module;  // loud channels: q_proj has 0.10, the others about 0.01
    EXPECT_GT(error, 1e-4) << spec.module;
    // What an engine makes of it stays close: roundings of the scales, not another function.
    for (const Emulate emulate : {Emulate::k310, Emulate::k910}) {
      EXPECT_LT(RelativeL2(Apply(LoadLinear(quantized, spec, {.emulate = emulate}), x), y), 0.012)
          << spec.module;
    }
    ++compared;
  }
  EXPECT_EQ(compared, 4);
}

}  // namespace
}  // namespace ingot
