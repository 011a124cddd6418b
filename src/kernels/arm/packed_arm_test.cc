// SPDX-License-Identifier: Apache-2.0
// The packed products of every aarch64 table, tile by tile: int8 equals sums in 64 bits finished as
// the reference does, bfloat16 lies within a bound from the operands' norms; the same bits for any
// number of rows and panels; nothing is written beside the tile.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "base/numeric.h"
#include "kernels/kernels.h"

namespace ingot {
namespace {

using Bytes = std::vector<std::byte>;

// One product of `rows` rows against `panels` panels, everything in vectors of the exact size (so
// that a sanitizer sees a read behind them).
struct Product {
  size_t rows, n_out, k;
  std::vector<float> deq, bias, row_scales;
  std::vector<int32_t> quant_bias;

  Product(size_t n_rows, size_t outputs, size_t k_size, uint32_t seed)
      : rows(n_rows), n_out(outputs), k(k_size), deq(outputs), bias(outputs), row_scales(n_rows),
        quant_bias(outputs) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> uniform(0.1f, 2.0f);
    for (float& v : deq) v = uniform(random);
    for (float& v : bias) v = uniform(random);
    for (float& v : row_scales) v = uniform(random);
    for (int32_t& v : quant_bias) v = static_cast<int32_t>(random());
  }

  // y with a stride of n_out + 1; the additional column keeps 9.
  template <typename T>
  std::vector<float> Run(const PackedKernels& kernels, const std::vector<T>& x,
                         const std::vector<T>& w, bool integers, bool all) const {
    const size_t panels = kernels.Panels(n_out), panel_bytes = kernels.PanelBytes(k);
    Bytes weights(panels * panel_bytes), packed(rows * kernels.RowBytes(k));
    std::vector<int32_t> sums(panels * kernels.columns);
    for (size_t p = 0; p < panels; ++p) {
      const size_t first = p * kernels.columns;
      kernels.pack_panel(w.data() + first * k, std::min(kernels.columns, n_out - first), k,
                         weights.data() + p * panel_bytes, sums.data() + first);
    }
    kernels.PackTile(x.data(), rows, k, packed.data());
    std::vector<float> y(rows * (n_out + 1), 9.0f);
    kernels.tile({.x = packed.data(),
                  .rows = rows,
                  .w = weights.data(),
                  .panels = panels,
                  .groups = kernels.Groups(k),
                  .n_out = n_out,
                  .column_sums = integers ? sums.data() : nullptr,
                  .quant_bias = integers && all ? quant_bias.data() : nullptr,
                  .deq = integers ? deq.data() : nullptr,
                  .row_scales = integers && all ? row_scales.data() : nullptr,
                  .bias = all ? bias.data() : nullptr,
                  .y = y.data(),
                  .ldy = n_out + 1,
                  .prefetch = weights.data()});
    return y;
  }
};

// Every row count with the numbers of panels that it allows, whole and cut off; k of all residues.
template <typename Body>
void ForProducts(const PackedKernels& kernels, Body body) {
  for (size_t rows = 1; rows <= kernels.rows; ++rows) {
    for (size_t panels = 1; panels <= kernels.MaxPanels(rows); panels *= 2) {
      for (size_t cut : {size_t{0}, size_t{1}, size_t{2}, size_t{3}, kernels.columns - 1}) {
        for (size_t k : {1, 2, 3, 4, 5, 6, 7, 8, 31, 96, 537})
          body(rows, panels * kernels.columns - cut, k);
      }
    }
  }
}

class ArmPackedTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    table_ = FindKernels(GetParam());
    if (table_ == nullptr) GTEST_SKIP() << "this CPU lacks " << GetParam();
  }
  const KernelTable* table_ = nullptr;
};

TEST_P(ArmPackedTest, Int8IsExact) {
  const PackedKernels* kernels = table_->packed_i8;
  if (kernels == nullptr) GTEST_SKIP() << GetParam() << " has no packed int8 products";
  std::mt19937 random(3);
  ForProducts(*kernels, [&](size_t rows, size_t n_out, size_t k) {
    const Product product(rows, n_out, k, static_cast<uint32_t>(k));
    std::vector<int8_t> x(rows * k), w(n_out * k);
    for (int8_t& v : x) v = static_cast<int8_t>(random());
    for (int8_t& v : w) v = static_cast<int8_t>(random());
    for (size_t i = 0; k > 30 && i < k; ++i) x[i] = w[i] = -128;  // the largest sums
    for (bool all : {false, true}) {
      const std::vector<float> y = product.Run(*kernels, x, w, true, all);
      for (size_t m = 0; m < rows; ++m) {
        std::vector<int32_t> sums(n_out);
        for (size_t n = 0; n < n_out; ++n) {
          for (size_t i = 0; i < k; ++i) sums[n] += x[m * k + i] * w[n * k + i];
        }
        std::vector<float> expected(n_out);
        ScalarKernels().dequantize_i32(
            sums.data(), n_out, all ? product.quant_bias.data() : nullptr, product.deq.data(),
            all ? product.row_scales[m] : 1.0f, all ? product.bias.data() : nullptr,
            expected.data());
        const float* row = y.data() + m * (n_out + 1);
        ASSERT_EQ(std::memcmp(row, expected.data(), n_out * sizeof(float)), 0)
            << rows << " rows, " << n_out << " outputs, k " << k << ", row " << m;
        ASSERT_EQ(row[n_out], 9.0f) << "written behind the row";
      }
    }
  });
}

TEST_P(ArmPackedTest, Bf16AgreesAndDoesNotDependOnTheTile) {
  const PackedKernels* kernels = table_->packed_bf16;
  if (kernels == nullptr) GTEST_SKIP() << GetParam() << " has no packed bfloat16 products";
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  ForProducts(*kernels, [&](size_t rows, size_t n_out, size_t k) {
    const Product product(rows, n_out, k, static_cast<uint32_t>(k));
    std::vector<uint16_t> x(rows * k), w(n_out * k);
    for (uint16_t& v : x) v = F32ToBf16(normal(random));
    for (uint16_t& v : w) v = F32ToBf16(0.1f * normal(random));
    const std::vector<float> y = product.Run(*kernels, x, w, false, true);
    for (size_t m = 0; m < rows; ++m) {
      for (size_t n = 0; n < n_out; ++n) {
        double sum = product.bias[n], magnitude = std::fabs(sum);
        for (size_t i = 0; i < k; ++i) {
          const double term = double{Bf16ToF32(x[m * k + i])} * Bf16ToF32(w[n * k + i]);
          sum += term;
          magnitude += std::fabs(term);
        }
        // One chain of k terms, a rounding of at most 2^-23 (to odd) each.
        ASSERT_NEAR(y[m * (n_out + 1) + n], sum, (static_cast<double>(k) + 2) * 0x1p-23 * magnitude)
            << rows << " rows, " << n_out << " outputs, k " << k << ", row " << m << " output " << n;
      }
      ASSERT_EQ(y[m * (n_out + 1) + n_out], 9.0f) << "written behind the row";
      Product single(1, std::min(n_out, kernels->columns), k, 1);
      single.bias.assign(product.bias.begin(), product.bias.begin() + single.n_out);
      const std::vector<uint16_t> row(x.begin() + m * k, x.begin() + (m + 1) * k);
      const std::vector<float> alone = single.Run(*kernels, row, w, false, true);
      ASSERT_EQ(std::memcmp(alone.data(), y.data() + m * (n_out + 1), single.n_out * sizeof(float)),
                0)
          << "row " << m << " alone";
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Isa, ArmPackedTest, testing::Values("neon", "dotprod", "i8mm"),
                         [](const auto& isa) { return std::string(isa.param); });

}  // namespace
}  // namespace ingot
