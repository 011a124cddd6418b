// SPDX-License-Identifier: Apache-2.0
// Every kernel table against the scalar one: floats within a bound from the operands' norms,
// integers bit for bit; a row's result is the same alone and among others, an output the same in
// any split.
#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/numeric.h"
#include "base/thread_pool.h"
#include "kernels/gemm.h"

namespace ingot {
namespace {

using Floats = std::vector<float>;
using Halves = std::vector<uint16_t>;

Floats Random(size_t n, uint32_t seed, float scale = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  Floats values(n);
  for (float& value : values) value = normal(random);
  return values;
}

Halves ToBf16(const Floats& values) {
  Halves bits(values.size());
  for (size_t i = 0; i < values.size(); ++i) bits[i] = F32ToBf16(values[i]);
  return bits;
}
Halves ToF16(const Floats& values) {
  Halves bits(values.size());
  for (size_t i = 0; i < values.size(); ++i) bits[i] = F32ToF16(values[i]);
  return bits;
}
float Value(float v) { return v; }
template <float (*kWiden)(uint16_t)>
struct As {
  float operator()(uint16_t bits) const { return kWiden(bits); }
};

struct MatmulShape {
  size_t rows, n_out, k;
};
const MatmulShape kShapes[] = {{1, 1, 1},      {1, 8, 16},   {12, 19, 600},  {13, 25, 300},
                               {1, 37, 72},    {2, 9, 515},  {3, 13, 1025},  {4, 6, 512},
                               {5, 7, 31},     {7, 50, 96},  {16, 97, 1536}, {9, 100, 4304},
                               {131, 53, 700}, {24, 6, 2049}};

class KernelsTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    table_ = FindKernels(GetParam());
    if (table_ == nullptr) GTEST_SKIP() << "this CPU lacks " << GetParam();
  }
  // |error| <= 2 gamma |x| |w|, gamma = terms of a sum kept in 8 or more parts; 24 covers the
  // addition of parts.
  template <typename X, typename W, typename FX, typename FW>
  void CheckMatmul(MatmulFn<X, W, float> tested, MatmulFn<X, W, float> reference, FX widen_x,
                   FW widen_w, const std::vector<X>& x, const std::vector<W>& w,
                   const MatmulShape& shape, double unit) {
    const auto [rows, n_out, k] = shape;
    const size_t ldx = k + 3, ldy = n_out + 2;
    const Floats bias = Random(n_out, 3);
    Floats y(rows * ldy, -7.0f), expected(rows * ldy, -7.0f);
    tested(x.data(), ldx, rows, w.data(), n_out, k, bias.data(), y.data(), ldy);
    reference(x.data(), ldx, rows, w.data(), n_out, k, bias.data(), expected.data(), ldy);
    for (size_t m = 0; m < rows; ++m) {
      for (size_t n = 0; n < n_out; ++n) {
        double magnitude = std::fabs(bias[n]);
        for (size_t i = 0; i < k; ++i)
          magnitude += std::fabs(double{widen_x(x[m * ldx + i])} * widen_w(w[n * k + i]));
        const double bound = 2.0 * unit * (static_cast<double>(k) / 8 + 24) * magnitude;
        ASSERT_NEAR(y[m * ldy + n], expected[m * ldy + n], bound)
            << "row " << m << " output " << n << " k " << k;
      }
      EXPECT_EQ(y[m * ldy + n_out], -7.0f) << "written behind the row";
    }
    // Row by row and output by output: the same bits.
    Floats single(ldy);
    for (size_t m = 0; m < rows; ++m) {
      tested(x.data() + m * ldx, ldx, 1, w.data(), n_out, k, bias.data(), single.data(), ldy);
      ASSERT_EQ(std::memcmp(single.data(), y.data() + m * ldy, n_out * sizeof(float)), 0)
          << "row " << m << " alone";
    }
    for (size_t n = 0; n < n_out; n += 5) {
      Floats column(rows);
      tested(x.data(), ldx, rows, w.data() + n * k, 1, k, bias.data() + n, column.data(), 1);
      for (size_t m = 0; m < rows; ++m)
        ASSERT_EQ(column[m], y[m * ldy + n]) << "output " << n << " alone";
    }
  }
  const KernelTable* table_ = nullptr;
};

TEST_P(KernelsTest, FloatMatmulsAgreeWithScalar) {
  const KernelTable& scalar = ScalarKernels();
  constexpr double kUnit = 0x1p-24;
  for (const MatmulShape& shape : kShapes) {
    const Floats x = Random(shape.rows * (shape.k + 3), 1),
                 w = Random(shape.n_out * shape.k, 2, 0.1f);
    const As<Bf16ToF32> bf16;
    const As<F16ToF32> f16;
    CheckMatmul(table_->matmul_f32, scalar.matmul_f32, Value, Value, x, w, shape, kUnit);
    CheckMatmul(table_->matmul_f32_bf16, scalar.matmul_f32_bf16, Value, bf16, x, ToBf16(w), shape,
                kUnit);
    CheckMatmul(table_->matmul_f32_f16, scalar.matmul_f32_f16, Value, f16, x, ToF16(w), shape,
                kUnit);
    CheckMatmul(table_->matmul_bf16, scalar.matmul_bf16, bf16, bf16, ToBf16(x), ToBf16(w), shape,
                kUnit);
  }
}

TEST_P(KernelsTest, Int8MatmulIsExact) {
  std::mt19937 random(5);
  for (const MatmulShape& shape : kShapes) {
    const auto [rows, n_out, k] = shape;
    std::vector<int8_t> x(rows * (k + 1)), w(n_out * k);
    for (int8_t& v : x) v = static_cast<int8_t>(random());
    for (int8_t& v : w) v = static_cast<int8_t>(random());
    if (k > 100) {  // the largest sums
      for (size_t i = 0; i < k; ++i) x[i] = w[i] = -128;
    }
    std::vector<int32_t> y(rows * n_out), expected(rows * n_out);
    table_->matmul_i8(x.data(), k + 1, rows, w.data(), n_out, k, nullptr, y.data(), n_out);
    ScalarKernels().matmul_i8(x.data(), k + 1, rows, w.data(), n_out, k, nullptr, expected.data(),
                              n_out);
    EXPECT_EQ(y, expected) << rows << "x" << n_out << "x" << k;
    if (k > 100) {
      EXPECT_EQ(y[0], static_cast<int32_t>(16384 * k));
    }
  }
}

TEST_P(KernelsTest, NormsAndActivationsAgreeWithScalar) {
  const KernelTable& scalar = ScalarKernels();
  for (size_t n : {1u, 7u, 16u, 24u, 36u, 128u, 1152u, 4099u}) {
    const Floats x = Random(n, 1, 3.0f), w = Random(n, 2), b = Random(n, 3);
    Floats y(n), expected(n);
    const auto check = [&](double tolerance, const char* what) {
      for (size_t i = 0; i < n; ++i) {
        ASSERT_NEAR(y[i], expected[i], tolerance * (1 + std::fabs(expected[i])))
            << what << " n " << n << " at " << i;
      }
    };
    table_->rms_norm(x.data(), w.data(), 1e-6f, n, y.data());
    scalar.rms_norm(x.data(), w.data(), 1e-6f, n, expected.data());
    check(1e-6, "rms_norm");
    table_->layer_norm(x.data(), w.data(), b.data(), 1e-6f, n, y.data());
    scalar.layer_norm(x.data(), w.data(), b.data(), 1e-6f, n, expected.data());
    check(4e-6, "layer_norm");
    table_->silu_mul(x.data(), w.data(), n, y.data());
    scalar.silu_mul(x.data(), w.data(), n, expected.data());
    check(1e-6, "silu_mul");
    for (const auto& [op, reference, name] :
         {std::tuple{table_->gelu_tanh, scalar.gelu_tanh, "gelu_tanh"},
          std::tuple{table_->gelu_erf, scalar.gelu_erf, "gelu_erf"}}) {
      y = expected = x;
      op(y.data(), n);
      reference(expected.data(), n);
      check(1e-6, name);
    }
    const float far = std::numeric_limits<float>::infinity();
    y = {far, -300.0f, 300.0f, -5.5f, 5.5f, -0.0f, 1e-20f, -1e30f};
    expected = {far, 0, 300.0f, -1.0444108e-07f, 5.5f, 0, 5e-21f, 0};
    table_->gelu_erf(y.data(), y.size());
    for (size_t i = 0; i < y.size(); ++i)
      EXPECT_TRUE(y[i] == expected[i] || std::fabs(y[i] - expected[i]) < 1e-6f) << "far out at " << i;
    y = expected = x;
    table_->softmax(y.data(), n);
    scalar.softmax(expected.data(), n);
    check(1e-6, "softmax");
    EXPECT_EQ(table_->abs_max(x.data(), n), scalar.abs_max(x.data(), n));
  }
}

TEST_P(KernelsTest, ElementwiseKernelsAreBitEqual) {
  const KernelTable& scalar = ScalarKernels();
  for (size_t n : {2u, 16u, 36u, 62u, 128u}) {
    const Floats cos = Random(n, 1), sin = Random(n, 2);
    Floats x = Random(3 * 2 * n, 3), expected = x;
    table_->rope(x.data(), 3, cos.data(), sin.data(), n);
    scalar.rope(expected.data(), 3, cos.data(), sin.data(), n);
    EXPECT_EQ(x, expected);
    table_->add(x.data(), cos.data(), n);
    scalar.add(expected.data(), cos.data(), n);
    EXPECT_EQ(x, expected);
    Halves bits(x.size());
    table_->to_bf16(x.data(), x.size(), bits.data());
    EXPECT_EQ(bits, ToBf16(x));
    table_->round_bf16(x.data(), x.size());
    for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(x[i], Bf16ToF32(bits[i]));
  }
}

TEST_P(KernelsTest, QuantizeAndDequantizeAreBitEqual) {
  const KernelTable& scalar = ScalarKernels();
  const float inf = std::numeric_limits<float>::infinity();
  for (size_t n : {1u, 15u, 16u, 33u, 200u}) {
    Floats x = Random(n, 9, 40.0f);
    if (n > 16) {  // ties, saturation, infinities, NaN
      const Floats special = {0.5f, 1.5f, 2.5f,          -0.5f,  -1.5f,  1e30f,  -1e30f,
                              inf,  -inf, std::nanf(""), 126.5f, 127.5f, -128.5f};
      std::copy(special.begin(), special.end(), x.begin());
    }
    Floats scale(n), offset(n);
    for (size_t i = 0; i < n; ++i) {
      scale[i] = i < 16 ? 1.0f : 0.25f + 0.01f * static_cast<float>(i);
      offset[i] = i < 16 ? 0.0f : static_cast<float>(static_cast<int>(i % 200) - 100);
    }
    for (bool per_channel : {false, true}) {
      for (bool reciprocal : {false, true}) {
        const QuantizeArgs args = {scale.data(), offset.data(), per_channel, reciprocal};
        std::vector<int8_t> codes(n), expected(n);
        table_->quantize_i8(x.data(), n, args, codes.data());
        scalar.quantize_i8(x.data(), n, args, expected.data());
        EXPECT_EQ(codes, expected);
        if (n > 16) {
          const std::vector<int8_t> known = {0,   2,    2,    0,   -2,  127, -128,
                                             127, -128, -128, 126, 127, -128};
          EXPECT_EQ(std::vector<int8_t>(codes.begin(), codes.begin() + 13), known);
        }
      }
    }
    std::vector<int32_t> sum(n), quant_bias(n);
    for (size_t i = 0; i < n; ++i)
      sum[i] = static_cast<int32_t>(i * 7919 * 7919),
      quant_bias[i] = std::numeric_limits<int32_t>::min();
    Floats y(n), expected(n);
    for (const int32_t* qb :
         {static_cast<const int32_t*>(nullptr), static_cast<const int32_t*>(quant_bias.data())}) {
      for (const float* bias :
           {static_cast<const float*>(nullptr), static_cast<const float*>(offset.data())}) {
        table_->dequantize_i32(sum.data(), n, qb, scale.data(), 0.125f, bias, y.data());
        scalar.dequantize_i32(sum.data(), n, qb, scale.data(), 0.125f, bias, expected.data());
        EXPECT_EQ(y, expected);
      }
    }
  }
}

// Values around the middle between two codes, where a product with 1 / scale would round differently
// from the quotient.
TEST_P(KernelsTest, QuantizeNearTiesIsBitEqual) {
  std::mt19937 random(5);
  std::uniform_real_distribution<float> exponent(-20.0f, 10.0f);
  std::vector<float> scales = {1e-38f, 1e-45f, 3e38f, 1.0f / 3.0f};
  for (int i = 0; i < 200; ++i) scales.push_back(std::exp2(exponent(random)));
  for (const float scale : scales) {
    Floats x;
    for (int code = -140; code < 140; ++code) {
      float value = (static_cast<float>(code) + 0.5f) * scale;
      for (int step = 0; step < 3; ++step) value = std::nextafterf(value, -1e38f);
      for (int step = 0; step < 7; ++step, value = std::nextafterf(value, 1e38f)) x.push_back(value);
    }
    for (const float offset : {0.0f, -128.0f, 127.0f, 128.0f}) {
      std::vector<int8_t> codes(x.size()), expected(x.size());
      const QuantizeArgs args = {&scale, &offset, false, false};
      table_->quantize_i8(x.data(), x.size(), args, codes.data());
      ScalarKernels().quantize_i8(x.data(), x.size(), args, expected.data());
      ASSERT_EQ(codes, expected) << "scale " << scale << " offset " << offset;
    }
  }
}

TEST_P(KernelsTest, NanIsNotSwallowed) {
  Floats x = Random(40, 1), y(40);
  x[20] = std::nanf("");
  table_->silu_mul(x.data(), x.data(), 40, y.data());
  EXPECT_TRUE(std::isnan(y[20]));
  EXPECT_FALSE(std::isnan(y[19]));
  const Floats before = x;
  table_->gelu_tanh(x.data(), 40);
  EXPECT_TRUE(std::isnan(x[20]));
  x = before;
  table_->gelu_erf(x.data(), 40);
  EXPECT_TRUE(std::isnan(x[20]));
  EXPECT_FALSE(std::isnan(x[21]));
}

#if defined(__aarch64__)
INSTANTIATE_TEST_SUITE_P(Isa, KernelsTest, testing::Values("scalar", "neon", "dotprod", "i8mm"),
#else
INSTANTIATE_TEST_SUITE_P(Isa, KernelsTest, testing::Values("scalar", "avx2", "avxvnni", "avx512", "amx"),
#endif
                         [](const auto& isa) { return std::string(isa.param); });

TEST(KernelDispatch, UnknownNameIsRefused) {
  EXPECT_ANY_THROW(FindKernels("sse9"));
  EXPECT_STREQ(FindKernels("scalar")->name, "scalar");
}

// The test program runs once per instruction set with INGOT_ISA set (CMakeLists.txt).
TEST(KernelDispatch, ForcedTableIsUsed) {
  const char* wanted = std::getenv("INGOT_ISA");
  if (wanted == nullptr) GTEST_SKIP() << "INGOT_ISA is not set";
  if (FindKernels(wanted) == nullptr) {
    EXPECT_ANY_THROW(Kernels());
  } else {
    EXPECT_STREQ(Kernels().name, wanted);
  }
}

TEST(Threads, AnyNumberGivesTheSameBits) {
  const size_t rows = 19, n_out = 211, k = 333;
  const Floats x = Random(rows * k, 1), w = Random(n_out * k, 2);
  Floats first;
  for (int threads : {1, 2, 3, 7}) {
    SetNumThreads(threads);
    Floats y(rows * n_out);
    GemmF32(x.data(), rows, w.data(), n_out, k, nullptr, y.data());
    if (threads == 1) first = y;
    EXPECT_EQ(y, first);
  }
  SetNumThreads(2);
}

}  // namespace
}  // namespace ingot
