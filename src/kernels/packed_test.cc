// SPDX-License-Identifier: Apache-2.0
// Products with packed weights on every table: int8 bit for bit the scalar sums and
// dequantization, bfloat16 within the bound of the operands' norms; a row alone, any number of
// threads, weights as stored or packed before: the same bits.
#include "kernels/packed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/numeric.h"
#include "base/thread_pool.h"

namespace ingot {
namespace {

using Floats = std::vector<float>;

template <typename T>
std::vector<T> Random(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<T> values(n);
  for (T& value : values) {
    if constexpr (std::is_same_v<T, float>) {
      value = normal(random);
    } else if constexpr (std::is_same_v<T, uint16_t>) {
      value = F32ToBf16(normal(random));
    } else {
      value = static_cast<T>(random());
    }
  }
  return values;
}

struct ProductShape {
  size_t rows, n_out, k;
};

// All heights of a tile, outputs and k around the multiples of a panel and of a group.
std::vector<ProductShape> Shapes() {
  std::vector<ProductShape> shapes = {{1, 1, 1},     {1, 300, 64},  {2, 129, 33}, {37, 70, 131},
                                      {128, 65, 96}, {29, 33, 1152}, {5, 40, 4304}};
  for (size_t i = 1; i <= 26; ++i) shapes.push_back({i, 20 + 3 * i, 60 + i});
  for (size_t i = 0; i <= 33; ++i) shapes.push_back({1 + i % 5, 95 + i, 2 * i + 1});
  return shapes;
}

class PackedTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    table_ = FindKernels(GetParam());
    if (table_ == nullptr) GTEST_SKIP() << "this CPU lacks " << GetParam();
  }
  void TearDown() override { SetNumThreads(2); }

  // Packed before and as stored must agree; returns the result, one number behind it kept at 7.
  Floats Run(const PackedKernels& kernels, const void* x, const void* w, const ProductShape& shape,
             PackedProduct product, const float* row_scales) {
    const auto [rows, n_out, k] = shape;
    const AlignedBytes packed_x(PackedRows::Bytes(kernels, rows, k));
    const PackedRows in = PackRows(kernels, x, rows, k, packed_x.data());
    const PackedMatrix packed(kernels, w, n_out, k);
    Floats y(rows * n_out + 1, 7.0f), stored = y;
    product.n_out = n_out, product.w = w, product.y = stored.data();
    RunPacked(in, {&product, 1}, row_scales);
    product.packed = &packed, product.y = y.data();
    RunPacked(in, {&product, 1}, row_scales);
    EXPECT_EQ(std::memcmp(y.data(), stored.data(), y.size() * sizeof(float)), 0) << "packed, stored";
    EXPECT_EQ(y.back(), 7.0f) << "written behind the end";
    return y;
  }

  const KernelTable* table_ = nullptr;
};

TEST_P(PackedTest, Int8EqualsTheScalarTable) {
  if (table_->packed_i8 == nullptr) GTEST_SKIP() << "no packed int8 products";
  std::vector<ProductShape> shapes = Shapes();
  shapes.push_back({3, 40, 25600});  // the longest k of any model
  for (const ProductShape& shape : shapes) {
    const auto [rows, n_out, k] = shape;
    SCOPED_TRACE(testing::Message() << rows << "x" << n_out << "x" << k);
    auto x = Random<int8_t>(rows * k, 1), w = Random<int8_t>(n_out * k, 2);
    if (k > 64) {  // the largest sums: -128 * -128 and -128 * 127
      std::fill_n(x.begin(), k, int8_t{-128});
      std::fill_n(w.begin(), k, int8_t{-128});
      std::fill_n(w.end() - static_cast<std::ptrdiff_t>(k), k, int8_t{127});
    }
    const auto deq = Random<float>(n_out, 3), bias = Random<float>(n_out, 4),
               scales = Random<float>(rows, 5);
    const auto quant_bias = Random<int32_t>(n_out, 6);  // any bits: sums wrap
    std::vector<int32_t> sums(rows * n_out);
    ScalarKernels().matmul_i8(x.data(), k, rows, w.data(), n_out, k, nullptr, sums.data(), n_out);
    for (int options = 0; options < 8; ++options) {
      const int32_t* qb = (options & 1) != 0 ? quant_bias.data() : nullptr;
      const float* b = (options & 2) != 0 ? bias.data() : nullptr;
      const float* s = (options & 4) != 0 ? scales.data() : nullptr;
      Floats expected(rows * n_out + 1, 7.0f);
      for (size_t m = 0; m < rows; ++m) {
        ScalarKernels().dequantize_i32(sums.data() + m * n_out, n_out, qb, deq.data(),
                                       s == nullptr ? 1.0f : s[m], b, expected.data() + m * n_out);
      }
      const Floats y =
          Run(*table_->packed_i8, x.data(), w.data(), shape,
              {.quant_bias = qb, .deq = deq.data(), .bias = b}, s);
      ASSERT_EQ(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)), 0)
          << "options " << options;
    }
  }
}

TEST_P(PackedTest, Bf16AgreesWithScalarAndRowsStandAlone) {
  if (table_->packed_bf16 == nullptr) GTEST_SKIP() << "no packed bfloat16 products";
  for (const ProductShape& shape : Shapes()) {
    const auto [rows, n_out, k] = shape;
    SCOPED_TRACE(testing::Message() << rows << "x" << n_out << "x" << k);
    const auto x = Random<uint16_t>(rows * k, 1), w = Random<uint16_t>(n_out * k, 2);
    const auto bias = Random<float>(n_out, 3);
    const Floats y =
        Run(*table_->packed_bf16, x.data(), w.data(), shape, {.bias = bias.data()}, nullptr);
    for (size_t m = 0; m < rows; ++m) {
      for (size_t n = 0; n < n_out; ++n) {
        double exact = bias[n], magnitude = std::fabs(bias[n]);
        for (size_t i = 0; i < k; ++i) {
          const double product = double{Bf16ToF32(x[m * k + i])} * Bf16ToF32(w[n * k + i]);
          exact += product, magnitude += std::fabs(product);
        }
        // One running sum: k roundings at most, of which the square root is usual.
        const double bound = 0x1p-24 * (8 + 2 * std::sqrt(static_cast<double>(k))) * magnitude;
        ASSERT_NEAR(y[m * n_out + n], exact, bound) << "row " << m << " output " << n;
      }
      const Floats alone = Run(*table_->packed_bf16, x.data() + m * k, w.data(), {1, n_out, k},
                               {.bias = bias.data()}, nullptr);
      ASSERT_EQ(std::memcmp(alone.data(), y.data() + m * n_out, n_out * sizeof(float)), 0)
          << "row " << m << " alone";
    }
  }
}

TEST_P(PackedTest, ProductsOfOneInputAndThreadsGiveTheSameBits) {
  if (table_->packed_bf16 == nullptr) GTEST_SKIP() << "no packed bfloat16 products";
  const PackedKernels& kernels = *table_->packed_bf16;
  const size_t rows = 19, k = 333, widths[] = {211, 1, 64};
  const auto x = Random<uint16_t>(rows * k, 1), w = Random<uint16_t>(211 * k, 2);
  std::vector<Floats> first;
  for (int threads : {1, 2, 3, 7}) {
    SetNumThreads(threads);
    const AlignedBytes bytes(PackedRows::Bytes(kernels, rows, k));
    const PackedRows in = PackRows(kernels, x.data(), rows, k, bytes.data());
    std::vector<Floats> y;
    std::vector<PackedProduct> products;
    for (size_t n_out : widths) y.emplace_back(rows * n_out);
    for (size_t i = 0; i < 3; ++i)
      products.push_back({.w = w.data(), .n_out = widths[i], .y = y[i].data()});
    RunPacked(in, products, nullptr);
    if (threads == 1) first = y;
    EXPECT_EQ(y, first) << threads << " threads";
  }
  for (size_t m = 0; m < rows; ++m) EXPECT_EQ(first[1][m], first[0][m * 211]);  // the same weights
}

TEST_P(PackedTest, NanStaysInItsRow) {
  if (table_->packed_bf16 == nullptr) GTEST_SKIP() << "no packed bfloat16 products";
  const ProductShape shape{14, 40, 50};
  auto x = Random<uint16_t>(14 * 50, 1);
  const auto w = Random<uint16_t>(40 * 50, 2);
  x[3 * 50 + 49] = 0x7fc0;
  const Floats y = Run(*table_->packed_bf16, x.data(), w.data(), shape, {}, nullptr);
  for (size_t i = 0; i < 14 * 40; ++i) ASSERT_EQ(std::isnan(y[i]), i / 40 == 3);
}

INSTANTIATE_TEST_SUITE_P(Isa, PackedTest, testing::Values("scalar", "avx2", "avx512"),
                         [](const auto& isa) { return std::string(isa.param); });

TEST(AlignedBytesTest, SmallAndLarge) {
  for (size_t size : {size_t{1}, size_t{100}, size_t{5} << 20}) {
    AlignedBytes bytes(size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes.data()) % 64, 0u);
    std::memset(bytes.data(), 1, size);
    const AlignedBytes moved = std::move(bytes);
    EXPECT_EQ(moved.data()[size - 1], std::byte{1});
  }
  EXPECT_EQ(AlignedBytes().data(), nullptr);
}

}  // namespace
}  // namespace ingot
