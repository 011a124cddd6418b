// SPDX-License-Identifier: Apache-2.0
// Products with packed weights on every table: int8 bit for bit the scalar sums and
// dequantization, bfloat16 within the bound of the operands' norms; a row alone, any number of
// threads, weights as stored or packed before: the same bits.
#include "kernels/packed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/numeric.h"
#include "base/thread_pool.h"
#include "kernels/tables.h"

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
  for (size_t i = 1; i <= 66; ++i) shapes.push_back({1 + i * 7 % 34, i, i + 64 * (i % 2)});
  return shapes;
}

// The table of an instruction set, nullptr when this CPU lacks it. "avxvnni-evex" and "amx-emulated":
// the same tiles with another encoding of their instruction, and over tiles in memory.
const KernelTable* TestTable(const std::string& name) {
#if defined(__x86_64__)
  if (name == "avxvnni-evex" || name == "amx-emulated") {
    const KernelTable* base = FindKernels("avx512");
    if (base == nullptr) return nullptr;
    static KernelTable tables[2];
    KernelTable* table = &tables[name == "amx-emulated" ? 1 : 0];
    *table = *base;
    if (name == "amx-emulated") {
      AddEmulatedAmxKernels(table, /*int8=*/true, /*bf16=*/true);
    } else {
      AddEvexVnniPackedKernels(table);
    }
    return table;
  }
#endif
  return FindKernels(name);
}

class PackedTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    table_ = TestTable(GetParam());
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

// The largest products that exist, over the longest k: sums of 25600 * 128 * 128 fit 32 bits.
TEST_P(PackedTest, ExtremesDoNotOverflow) {
  if (table_->packed_i8 == nullptr) GTEST_SKIP() << "no packed int8 products";
  const size_t rows = 3, n_out = 3, k = 25600;
  const int8_t ends[] = {-128, 127, 0};
  std::vector<int8_t> x, w;
  for (const int8_t end : ends) x.insert(x.end(), k, end), w.insert(w.end(), k, end);
  const Floats deq(n_out, 1.0f);
  const Floats y = Run(*table_->packed_i8, x.data(), w.data(), {rows, n_out, k},
                       {.deq = deq.data()}, nullptr);
  for (size_t m = 0; m < rows; ++m) {
    for (size_t n = 0; n < n_out; ++n)
      EXPECT_EQ(y[m * n_out + n], static_cast<float>(int64_t{ends[m]} * ends[n] * int64_t{k}));
  }
}

TEST_P(PackedTest, Int8OnAnyNumberOfThreads) {
  if (table_->packed_i8 == nullptr) GTEST_SKIP() << "no packed int8 products";
  // Rows of several blocks, more panels than threads and fewer.
  for (const ProductShape& shape : {ProductShape{300, 70, 1600}, {19, 333, 70}, {40, 5, 96}}) {
    const auto x = Random<int8_t>(shape.rows * shape.k, 1), w = Random<int8_t>(shape.n_out * shape.k, 2);
    const auto deq = Random<float>(shape.n_out, 3);
    Floats first;
    for (int threads : {1, 2, 3}) {
      SetNumThreads(threads);
      const Floats y =
          Run(*table_->packed_i8, x.data(), w.data(), shape, {.deq = deq.data()}, nullptr);
      if (threads == 1) first = y;
      EXPECT_EQ(std::memcmp(y.data(), first.data(), y.size() * sizeof(float)), 0) << threads;
    }
  }
}

// Added to what is there, and multiplied by its gate, equal separate steps.
TEST_P(PackedTest, EpiloguesEqualSeparateSteps) {
  for (const bool int8 : {true, false}) {
    const PackedKernels* kernels = int8 ? table_->packed_i8 : table_->packed_bf16;
    if (kernels == nullptr) continue;
    for (const ProductShape& shape :
         {ProductShape{1, 100, 70}, {7, 33, 64}, {30, 47, 130}, {65, 32, 200}}) {
      const auto [rows, n_out, k] = shape;
      SCOPED_TRACE(testing::Message() << rows << "x" << n_out << "x" << k << " int8 " << int8);
      const auto x = Random<int8_t>(2 * rows * k, 1), w = Random<int8_t>(2 * n_out * k, 2),
                 gate_w = Random<int8_t>(2 * n_out * k, 3);
      std::vector<uint16_t> x16(rows * k), w16(n_out * k), gate16(n_out * k);
      for (auto [to, from] : {std::pair{&x16, &x}, {&w16, &w}, {&gate16, &gate_w}}) {
        for (size_t i = 0; i < to->size(); ++i) (*to)[i] = F32ToBf16(0.01f * (*from)[i]);
      }
      const void* xp = int8 ? static_cast<const void*>(x.data()) : x16.data();
      const void* wp = int8 ? static_cast<const void*>(w.data()) : w16.data();
      const void* gp = int8 ? static_cast<const void*>(gate_w.data()) : gate16.data();
      const auto deq = Random<float>(n_out, 4), bias = Random<float>(n_out, 5);
      const Floats plain =
          Run(*kernels, xp, wp, shape, {.deq = deq.data(), .bias = bias.data()}, nullptr);
      Floats gated = Run(*kernels, xp, gp, shape, {.deq = deq.data()}, nullptr);
      Kernels().silu_mul(gated.data(), plain.data(), rows * n_out, gated.data());

      const AlignedBytes packed_x(PackedRows::Bytes(*kernels, rows, k));
      const PackedRows in = PackRows(*kernels, xp, rows, k, packed_x.data());
      const PackedMatrix up(*kernels, wp, n_out, k), gate(*kernels, gp, n_out, k);
      for (const bool packed : {true, false}) {
        const PackedProduct of_gate{
            .packed = packed ? &gate : nullptr, .w = gp, .n_out = n_out, .deq = deq.data()};
        Floats y = plain;
        PackedProduct product{.packed = packed ? &up : nullptr,
                              .w = wp,
                              .n_out = n_out,
                              .deq = deq.data(),
                              .bias = bias.data(),
                              .y = y.data(),
                              .add = true};
        RunPacked(in, {&product, 1}, nullptr);
        for (size_t i = 0; i < rows * n_out; ++i) ASSERT_EQ(y[i], plain[i] + plain[i]) << i;
        product.add = false, product.gate = &of_gate;
        RunPacked(in, {&product, 1}, nullptr);
        ASSERT_EQ(std::memcmp(y.data(), gated.data(), y.size() * sizeof(float)), 0);
      }
    }
  }
}

#if defined(__aarch64__)
INSTANTIATE_TEST_SUITE_P(Isa, PackedTest, testing::Values("scalar", "neon", "dotprod", "i8mm"),
#else
INSTANTIATE_TEST_SUITE_P(Isa, PackedTest,
                         testing::Values("scalar", "avx2", "avxvnni", "avxvnni-evex", "avx512", "amx",
                                         "amx-emulated"),
#endif
                         [](const auto& isa) {
                           std::string name = isa.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

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
