// SPDX-License-Identifier: Apache-2.0
// Every kernel table against the scalar one: floats within a bound from the operands' norms,
// integers bit for bit; a row's result is the same alone and among others, an output the same in
// any split.
#include "kernels/kernels.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "base/numeric.h"
#include "base/thread_pool.h"
#include "kernels/attention.h"
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

template <typename T>
struct AlignedAllocator {
  using value_type = T;
  T* allocate(size_t n) { return new (std::align_val_t{64}) T[n]; }
  void deallocate(T* p, size_t) { ::operator delete[](p, std::align_val_t{64}); }
  bool operator==(const AlignedAllocator&) const = default;
};
using AlignedFloats = std::vector<float, AlignedAllocator<float>>;

// n tokens from the first on; k, v: [n, all heads].
void Store(const AttentionLayout& layout, const Floats& k, const Floats& v, size_t n,
           AttentionPages* pages) {
  pages->Reset(layout, n);
  const AttentionStore store{.layout = layout,
                             .pages = pages->pages(),
                             .n = n,
                             .k = k.data(),
                             .v = v.data(),
                             .stride = layout.n_kv_heads * layout.head_dim};
  RunStores({&store, 1});
}

// Rows against head 1 of two; row r sees first_keys + r * step keys.
struct AttentionData {
  AttentionData(size_t rows, size_t head_dim, size_t first_keys, size_t step, uint32_t seed)
      : dim(head_dim), q(Random(rows * head_dim, seed)) {
    for (size_t row = 0; row < rows; ++row)
      n_keys.push_back(static_cast<int32_t>(first_keys + row * step));
    const size_t most = first_keys + (rows - 1) * step;
    const Floats k = Random(2 * most * dim, seed + 1), v = Random(2 * most * dim, seed + 2);
    Store({.n_kv_heads = 2, .head_dim = dim}, k, v, most, &f32);
    Store({.n_kv_heads = 2, .head_dim = dim, .bf16 = true}, k, v, most, &bf16);
  }
  Floats Run(const KernelTable& table, bool in_bf16, size_t first, size_t count) const {
    std::vector<const float*> q_rows;
    std::vector<float*> out_rows;
    Floats result(count * dim, 99.0f);
    size_t most = 0;
    for (size_t row = 0; row < count; ++row) {
      q_rows.push_back(q.data() + (first + row) * dim);
      out_rows.push_back(result.data() + row * dim);
      most = std::max(most, static_cast<size_t>(n_keys[first + row]));
    }
    AlignedFloats scratch(count * AttentionScratch(most, dim),
                          std::numeric_limits<float>::quiet_NaN());
    const AttentionPages& pages = in_bf16 ? bf16 : f32;
    (in_bf16 ? table.attention_bf16
             : table.attention_f32)({.n_rows = count,
                                     .q = q_rows.data(),
                                     .out = out_rows.data(),
                                     .n_keys = n_keys.data() + first,
                                     .head_dim = dim,
                                     .scale = 0.3f,
                                     .pages = pages.pages(),
                                     .key_offset = pages.layout().KeyBytes(),
                                     .value_offset = 2 * pages.layout().KeyBytes() +
                                                     pages.layout().ValueBytes(),
                                     .scratch = scratch.data()});
    return result;
  }
  size_t dim;
  std::vector<int32_t> n_keys;
  Floats q;
  AttentionPages f32, bf16;
};

double RelativeError(const Floats& a, const Floats& b) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(error / norm);
}

// rows, head size, keys of the first row, keys more for each next one.
const std::array<size_t, 4> kAttentionShapes[] = {
    {1, 128, 1, 0},    {1, 64, 700, 0},  {30, 72, 96, 0},   {30, 128, 3, 1},  {7, 24, 60, 3},
    {11, 36, 17, 1},   {30, 80, 500, 9}, {4, 128, 511, 1},  {29, 64, 250, 1}, {2, 16, 256, 1},
    {13, 160, 30, 40}, {6, 112, 513, 0}, {5, 72, 1023, 257}};

TEST_P(KernelsTest, AttentionAgreesWithScalar) {
  for (const auto& [rows, dim, first, step] : kAttentionShapes) {
    SCOPED_TRACE(fmt::format("rows {} dim {} keys {} + {}", rows, dim, first, step));
    const AttentionData data(rows, dim, first, step, static_cast<uint32_t>(dim));
    const Floats out = data.Run(*table_, false, 0, rows);
    const Floats expected = data.Run(ScalarKernels(), false, 0, rows);
    for (size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(out[i], expected[i], 2e-5) << i;
    // Rounding queries and weights to bfloat16 (8 bits) may cost this much, in all.
    const Floats out16 = data.Run(*table_, true, 0, rows);
    const Floats expected16 = data.Run(ScalarKernels(), true, 0, rows);
    EXPECT_LT(RelativeError(out16, expected16), 1e-2);
    EXPECT_LT(RelativeError(expected16, expected), 1e-2);
  }
}

// The same bits alone and among others, however many keys the others see.
TEST_P(KernelsTest, AttentionOfARowIsItsOwn) {
  for (const auto& [rows, dim, first, step] : kAttentionShapes) {
    const AttentionData data(rows, dim, first, step, static_cast<uint32_t>(dim));
    for (const bool bf16 : {false, true}) {
      const Floats out = data.Run(*table_, bf16, 0, rows);
      for (size_t row = 0; row < rows; ++row) {
        const Floats single = data.Run(*table_, bf16, row, 1);
        ASSERT_EQ(std::memcmp(single.data(), out.data() + row * dim, dim * sizeof(float)), 0)
            << "row " << row << " of " << rows << " dim " << dim << (bf16 ? " bf16" : "");
      }
    }
  }
}

// Tokens stored one by one, in odd pieces or at once lie in the same places.
TEST(Attention, PagesDoNotDependOnThePieces) {
  const size_t n = 530, heads = 3, dim = 24, stride = heads * dim;
  const Floats k = Random(n * stride, 1), v = Random(n * stride, 2), q = Random(stride, 3);
  for (const bool bf16 : {false, true}) {
    Floats expected;
    for (const size_t piece : {n, size_t{1}, size_t{7}, size_t{256}}) {
      AttentionPages pages;
      pages.Reset({.n_kv_heads = heads, .head_dim = dim, .bf16 = bf16}, n);
      for (size_t first = 0; first < n; first += piece) {
        const AttentionStore store{.layout = pages.layout(),
                                   .pages = pages.pages(),
                                   .first = first,
                                   .n = std::min(piece, n - first),
                                   .k = k.data() + first * stride,
                                   .v = v.data() + first * stride,
                                   .stride = stride};
        RunStores({&store, 1});
      }
      Floats out(stride);
      const AttentionJob job{.layout = pages.layout(),
                             .pages = pages.pages(),
                             .n_queries = 1,
                             .q = q.data(),
                             .q_stride = stride,
                             .out = out.data(),
                             .out_stride = stride,
                             .n_keys = n};
      RunAttention({&job, 1});
      if (expected.empty()) expected = out;
      EXPECT_EQ(out, expected) << piece;
    }
  }
}

// Keys whose scores differ by far more than float32 can exponentiate, the largest in a later page.
TEST_P(KernelsTest, AttentionHoldsOutLargeScores) {
  const size_t n = 600, dim = 64;
  for (const bool bf16 : {false, true}) {
    for (const size_t peak : {0u, 100u, 300u, 599u}) {
      Floats q(dim, 1.0f), k(n * dim, -50.0f), v(n * dim, 1.0f), out(dim);
      std::fill_n(k.begin() + static_cast<std::ptrdiff_t>(peak * dim), dim, 50.0f);
      std::fill_n(v.begin() + static_cast<std::ptrdiff_t>(peak * dim), dim, 7.0f);
      AttentionPages pages;
      Store({.n_kv_heads = 1, .head_dim = dim, .bf16 = bf16}, k, v, n, &pages);
      const float* q_row = q.data();
      float* out_row = out.data();
      const int32_t n_keys = static_cast<int32_t>(n);
      AlignedFloats scratch(AttentionScratch(n, dim));
      const AttentionArgs args{.n_rows = 1,
                               .q = &q_row,
                               .out = &out_row,
                               .n_keys = &n_keys,
                               .head_dim = dim,
                               .pages = pages.pages(),
                               .value_offset = pages.layout().KeyBytes(),
                               .scratch = scratch.data()};
      (bf16 ? table_->attention_bf16 : table_->attention_f32)(args);
      for (const float value : out) ASSERT_NEAR(value, 7.0f, 1e-5);
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
  const size_t queries = 50, keys = 577, heads = 3, group = 2, dim = 32, stride = heads * dim;
  const Floats q = Random(queries * group * stride, 8), kv = Random(keys * stride, 9);
  Floats first, first_attention;
  for (int threads : {1, 2, 3, 7}) {
    SetNumThreads(threads);
    Floats y(rows * n_out), out(2 * q.size());
    GemmF32(x.data(), rows, w.data(), n_out, k, nullptr, y.data());
    std::array<AttentionPages, 2> pages;
    std::vector<AttentionJob> jobs;
    for (const bool bf16 : {false, true}) {
      AttentionPages& own = pages[bf16 ? 1 : 0];
      Store({.n_kv_heads = heads, .head_dim = dim, .bf16 = bf16}, kv, kv, keys, &own);
      jobs.push_back({.layout = own.layout(),
                      .pages = own.pages(),
                      .n_queries = queries,
                      .group = group,
                      .q = q.data(),
                      .q_stride = group * stride,
                      .out = out.data() + (bf16 ? q.size() : 0),
                      .out_stride = group * stride,
                      .n_keys = keys,
                      .causal = true,
                      .scale = 0.2f});
    }
    RunAttention(jobs);
    if (threads == 1) first = y, first_attention = out;
    EXPECT_EQ(y, first);
    EXPECT_EQ(out, first_attention);
  }
  SetNumThreads(2);
}

}  // namespace
}  // namespace ingot
