// SPDX-License-Identifier: Apache-2.0
// The original's observers on synthetic data with known answers (recorded from the original tool).
#include "quant/v0_observer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <tuple>

#include "base/error.h"

namespace ingot {
namespace {

// u <- 1664525 u + 1013904223 (mod 2^32); x = float32(a * (2u / 2^32 - 1)^p + b).
std::vector<float> Draw(uint32_t seed, int n, double a, double b, int p) {
  std::vector<float> x(static_cast<size_t>(n));
  uint32_t u = seed;
  for (float& v : x) {
    u = 1664525u * u + 1013904223u;
    const double t = 2.0 * u / 4294967296.0 - 1.0;
    double power = 1;
    for (int i = 0; i < p; ++i) power *= t;
    v = static_cast<float>(a * power + b);
  }
  return x;
}

struct Draws {
  uint32_t seed;
  int n;
  double a, b;
  int p;
};
struct Case {
  const char* name;
  std::vector<Draws> samples;
  float lo, hi, scale, offset, mass, scale1, offset1;
};

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      {"A",
       {{1, 4096, 20, 0, 3}},
       -19.9981422f,
       19.9408951f,
       0.156623676f,
       0,
       4017,
       0.156853437f,
       -1},
      {"B",
       {{1, 4096, 20, 0, 3}, {2, 4096, 30, 1, 3}},
       -28.8329544f,
       31.0755959f,
       0.234935492f,
       -5,
       8083,
       0.195839107f,
       -3},
      {"C",
       {{3, 4096, 0.9, 0, 3}},
       -0.898132145f,
       0.889852226f,
       0.00701170322f,
       0,
       4096,
       0.00703920005f,
       0},
      {"D",
       {{4, 4096, 4.15, 3.75, 1}},
       -0.396905631f,
       7.89573145f,
       0.0325201452f,
       -116,
       3410,
       0.0325360335f,
       -116},
      {"E",
       {{5, 8192, 6, 0, 5}, {6, 8192, 3, 0.5, 5}, {7, 8192, 14.5, -2, 9}},
       -16.423315f,
       12.4711132f,
       0.113311484f,
       17,
       24225,
       0.0612901859f,
       7},
      {"F",
       {{8, 4096, 0.4, 0, 1}, {9, 4096, 3.7, 0, 7}},
       -3.68487787f,
       3.6852088f,
       0.0289023016f,
       -1,
       8080,
       0.0160341468f,
       -1}};
  return cases;
}

TEST(V0Observer, GeneratorGivesTheDocumentedValues) {
  const std::vector<float> x = Draw(1, 3, 20, 0, 3);
  EXPECT_FLOAT_EQ(x[0], -2.92874622f);
  EXPECT_FLOAT_EQ(x[1], -0.357469559f);
  EXPECT_FLOAT_EQ(x[2], 1.22135498e-05f);
}

TEST(V0Observer, HistogramGivesTheRecordedRanges) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.name);
    V0Observer observer(V0ActMethod::kHistogram, DType::kF32);
    for (const Draws& d : c.samples) observer.Observe(Draw(d.seed, d.n, d.a, d.b, d.p));
    const ActivationParams params = observer.Params();
    EXPECT_EQ(params.lo, c.lo);
    EXPECT_EQ(params.hi, c.hi);
    EXPECT_EQ(params.scale, c.scale);
    EXPECT_EQ(params.offset, c.offset);
    const std::span<const float> bins = observer.histogram().bins();
    EXPECT_EQ(std::round(std::accumulate(bins.begin(), bins.end(), 0.0)), c.mass);
  }
}

TEST(V0Observer, MeanOfExtremesGivesTheRecordedScales) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.name);
    V0Observer observer(V0ActMethod::kMinMax, DType::kF32);
    for (const Draws& d : c.samples) observer.Observe(Draw(d.seed, d.n, d.a, d.b, d.p));
    EXPECT_EQ(observer.Params().scale, c.scale1);
    EXPECT_EQ(observer.Params().offset, c.offset1);
  }
}

TEST(V0Observer, ConstantAndTinyInputsStayDefined) {
  V0Observer observer(V0ActMethod::kHistogram, DType::kF16);
  observer.Observe(std::vector<float>(64, 0.0f));
  ActivationParams params = observer.Params();
  EXPECT_GT(params.scale, 0.0f);
  EXPECT_TRUE(std::isfinite(params.offset));
  observer.Observe(std::vector<float>{-3.0f, 5.0f, 1.0f});  // a constant first sample is forgotten
  params = observer.Params();
  EXPECT_LE(params.CodeLo(), -2.9f);
  EXPECT_GE(params.CodeHi(), 4.9f);
  observer.Observe(std::vector<float>{1e30f, -1e30f});  // the old range is nothing beside this one
  EXPECT_TRUE(std::isfinite(observer.Params().scale));
}

TEST(V0Observer, RefusesValuesThatAreNotFinite) {
  V0Observer observer(V0ActMethod::kHistogram, DType::kF16, "text.layer.3.attn_in");
  const std::vector<float> x = {1.0f, INFINITY};
  try {
    observer.Observe(x);
    FAIL() << "no error";
  } catch (const FormatError& e) {
    EXPECT_NE(std::string(e.what()).find("text.layer.3.attn_in"), std::string::npos);
  }
}

TEST(V0Observer, ParamsFollowTheTypeOfTheActivations) {
  const ValueRange range{-3.1f, 9.7f};
  const ActivationParams f16 = V0Params(range, V0ActMethod::kHistogram, DType::kF16);
  EXPECT_EQ(f16.dtype, DType::kF32);
  EXPECT_EQ(f16.scale, (9.7f + 3.1f) / 255.0f);
  const ActivationParams bf16 = V0Params(range, V0ActMethod::kHistogram, DType::kBF16);
  EXPECT_EQ(bf16.dtype, DType::kBF16);
  EXPECT_NE(bf16.scale, f16.scale);
  EXPECT_EQ(bf16.offset, f16.offset);
  EXPECT_EQ(V0Params(range, V0ActMethod::kMinMax, DType::kF16).dtype, DType::kF16);
  // A range on one side of zero is extended to contain it.
  EXPECT_EQ(V0Params({2.0f, 6.0f}, V0ActMethod::kHistogram, DType::kF32).offset, -128.0f);
}

TEST(V0Observer, RangeParamPicksTheMethod) {
  V0RangeParam smooth(4), spiky(4);
  std::vector<float> x = Draw(11, 4000, 1.0, 0, 1);
  smooth.Update(x);
  EXPECT_LT(smooth.Value(), 10);
  EXPECT_EQ(smooth.Select(), V0ActMethod::kHistogram);
  // Two loud values among a million quiet ones.
  std::vector<float> y(1000000, 0.0f);
  for (size_t i = 0; i < y.size(); ++i) y[i] = (i % 2 ? 1e-6f : -1e-6f);
  y[12] = 100.0f;
  y[16] = -100.0f;  // the same channel, so its shift is zero
  spiky.Update(y);
  EXPECT_GT(spiky.Value(), 50);
  EXPECT_EQ(spiky.Select(), V0ActMethod::kMinMax);
}

}  // namespace
}  // namespace ingot
