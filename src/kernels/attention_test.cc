// SPDX-License-Identifier: Apache-2.0
// Attention of every kernel table against the scalar one, for each type of keys and values: within a
// bound; a row's result is the same alone and among others, stored in any pieces, computed by any
// number of threads.
#include "kernels/attention.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "kernels/tables.h"

namespace ingot {
namespace {

using Floats = std::vector<float>;

constexpr KvType kTypes[] = {KvType::kF32, KvType::kBF16, KvType::kInt8};
const char* Name(KvType type) {
  return type == KvType::kF32 ? "f32" : type == KvType::kBF16 ? "bf16" : "int8";
}

Floats Random(size_t n, uint32_t seed, float scale = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  Floats values(n);
  for (float& value : values) value = normal(random);
  return values;
}

template <typename T>
struct AlignedAllocator {
  using value_type = T;
  T* allocate(size_t n) { return new (std::align_val_t{64}) T[n]; }
  void deallocate(T* p, size_t) { ::operator delete[](p, std::align_val_t{64}); }
  bool operator==(const AlignedAllocator&) const = default;
};
using AlignedFloats = std::vector<float, AlignedAllocator<float>>;

using AttentionFn = void (*)(const AttentionArgs&);
AttentionFn KernelOf(const KernelTable& table, KvType type) {
  switch (type) {
    case KvType::kF32:
      return table.attention_f32;
    case KvType::kBF16:
      return table.attention_bf16;
    case KvType::kInt8:
      return table.attention_i8;
  }
  return nullptr;
}

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

double RelativeError(const Floats& a, const Floats& b) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(error / norm);
}

// Rows against head 1 of two; row r sees first_keys + r * step keys.
struct AttentionData {
  AttentionData(size_t rows, size_t head_dim, size_t first_keys, size_t step, uint32_t seed)
      : dim(head_dim), q(Random(rows * head_dim, seed)) {
    for (size_t row = 0; row < rows; ++row)
      n_keys.push_back(static_cast<int32_t>(first_keys + row * step));
    const size_t most = first_keys + (rows - 1) * step;
    const Floats k = Random(2 * most * dim, seed + 1), v = Random(2 * most * dim, seed + 2);
    for (size_t i = 0; i < std::size(kTypes); ++i)
      Store({.n_kv_heads = 2, .head_dim = dim, .type = kTypes[i]}, k, v, most, &pages[i]);
  }
  Floats Run(const KernelTable& table, KvType type, size_t first, size_t count) {
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
    const AttentionPages& kv = pages[static_cast<size_t>(type)];
    sums.assign(count, {});
    KernelOf(table, type)({.n_rows = count,
                           .q = q_rows.data(),
                           .out = out_rows.data(),
                           .n_keys = n_keys.data() + first,
                           .head_dim = dim,
                           .scale = 0.3f,
                           .pages = kv.pages(),
                           .key_offset = kv.layout().KeyBytes(),
                           .value_offset = 2 * kv.layout().KeyBytes() + kv.layout().ValueBytes(),
                           .scratch = scratch.data(),
                           .sums = sums.data()});
    return result;
  }
  size_t dim;
  std::vector<int32_t> n_keys;
  Floats q;
  std::array<AttentionPages, 3> pages;
  std::vector<AttentionSums> sums;  // of the last run
};

// rows, head size, keys of the first row, keys more for each next one.
const std::array<size_t, 4> kShapes[] = {
    {1, 128, 1, 0},    {1, 64, 700, 0},  {30, 72, 96, 0},   {30, 128, 3, 1},  {7, 24, 60, 3},
    {11, 36, 17, 1},   {30, 80, 500, 9}, {4, 128, 511, 1},  {29, 64, 250, 1}, {2, 16, 256, 1},
    {13, 160, 30, 40}, {6, 112, 513, 0}, {5, 72, 1023, 257}, {3, 18, 77, 5},  {5, 256, 300, 1}};

const KernelTable* FindTable(const std::string& name) {
#if defined(__x86_64__)
  if (name == "avxvnni_evex") {
    static const KernelTable table = [] {
      KernelTable best = Avx2Kernels();
      AddEvexVnniAttention(&best);
      return best;
    }();
    return FindKernels("avx512") != nullptr ? &table : nullptr;
  }
#endif
  return FindKernels(name);
}

class AttentionTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    table_ = FindTable(GetParam());
    if (table_ == nullptr) GTEST_SKIP() << "this CPU lacks " << GetParam();
  }
  const KernelTable* table_ = nullptr;
};

TEST_P(AttentionTest, AgreesWithScalar) {
  for (const auto& [rows, dim, first, step] : kShapes) {
    SCOPED_TRACE(fmt::format("rows {} dim {} keys {} + {}", rows, dim, first, step));
    AttentionData data(rows, dim, first, step, static_cast<uint32_t>(dim));
    const KernelTable& scalar = ScalarKernels();
    const Floats out = data.Run(*table_, KvType::kF32, 0, rows);
    const Floats exact = data.Run(scalar, KvType::kF32, 0, rows);
    for (size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(out[i], exact[i], 2e-5) << i;
    // Rounding queries and weights to bfloat16 (8 bits) may cost this much, in all.
    const Floats bf16 = data.Run(scalar, KvType::kBF16, 0, rows);
    EXPECT_LT(RelativeError(data.Run(*table_, KvType::kBF16, 0, rows), bf16), 1e-2);
    EXPECT_LT(RelativeError(bf16, exact), 1e-2);
    // Rounding weights to 2^-16 of the largest one: at most about sqrt(keys) times that. And what 8
    // bits of keys and values cost.
    const Floats int8 = data.Run(scalar, KvType::kInt8, 0, rows);
    EXPECT_LT(RelativeError(data.Run(*table_, KvType::kInt8, 0, rows), int8), 3e-4);
    EXPECT_LT(RelativeError(int8, exact), 2.5e-2);
  }
}

// The largest score and the sum of weights, by which results of blocks are joined.
TEST_P(AttentionTest, SumsAgreeWithScalar) {
  for (const auto& [rows, dim, first, step] : kShapes) {
    AttentionData data(rows, dim, first, step, static_cast<uint32_t>(dim));
    for (const KvType type : kTypes) {
      data.Run(ScalarKernels(), type, 0, rows);
      const std::vector<AttentionSums> expected = data.sums;
      data.Run(*table_, type, 0, rows);
      const double bound = type == KvType::kBF16 ? 3e-2 : 3e-4;
      for (size_t row = 0; row < rows; ++row) {
        ASSERT_NEAR(data.sums[row].largest, expected[row].largest,
                    bound * (1 + std::fabs(expected[row].largest)));
        const double log_sum = data.sums[row].largest + std::log(data.sums[row].total);
        ASSERT_NEAR(log_sum, expected[row].largest + std::log(expected[row].total), bound)
            << Name(type) << " row " << row << " dim " << dim;
      }
    }
  }
}

// The same bits alone and among others, however many keys the others see.
TEST_P(AttentionTest, ARowIsItsOwn) {
  for (const auto& [rows, dim, first, step] : kShapes) {
    AttentionData data(rows, dim, first, step, static_cast<uint32_t>(dim));
    for (const KvType type : kTypes) {
      const Floats out = data.Run(*table_, type, 0, rows);
      for (size_t row = 0; row < rows; ++row) {
        const Floats single = data.Run(*table_, type, row, 1);
        ASSERT_EQ(std::memcmp(single.data(), out.data() + row * dim, dim * sizeof(float)), 0)
            << "row " << row << " of " << rows << " dim " << dim << " " << Name(type);
      }
    }
  }
}

// One row, one head, n keys; k and v [n, dim].
Floats Attend(const KernelTable& table, KvType type, const Floats& q, const Floats& k,
              const Floats& v, size_t n, size_t stored) {
  const size_t dim = q.size();
  AttentionPages pages;
  Store({.n_kv_heads = 1, .head_dim = dim, .type = type}, k, v, stored, &pages);
  Floats out(dim);
  const float* q_row = q.data();
  float* out_row = out.data();
  const int32_t n_keys = static_cast<int32_t>(n);
  AlignedFloats scratch(AttentionScratch(n, dim));
  KernelOf(table, type)({.n_rows = 1,
                         .q = &q_row,
                         .out = &out_row,
                         .n_keys = &n_keys,
                         .head_dim = dim,
                         .pages = pages.pages(),
                         .value_offset = pages.layout().KeyBytes(),
                         .scratch = scratch.data()});
  return out;
}

// Keys whose scores differ by far more than float32 can exponentiate, the largest in a later page.
TEST_P(AttentionTest, HoldsOutLargeScores) {
  const size_t n = 600, dim = 64;
  for (const KvType type : kTypes) {
    for (const size_t peak : {0u, 100u, 300u, 599u}) {
      Floats k(n * dim, -50.0f), v(n * dim, 1.0f);
      std::fill_n(k.begin() + static_cast<std::ptrdiff_t>(peak * dim), dim, 50.0f);
      std::fill_n(v.begin() + static_cast<std::ptrdiff_t>(peak * dim), dim, 7.0f);
      for (const float value : Attend(*table_, type, Floats(dim, 1.0f), k, v, n, n))
        ASSERT_NEAR(value, 7.0f, 1e-3) << Name(type);
    }
  }
}

// The largest sums of integers: every code at its limit, the largest head size.
TEST_P(AttentionTest, Int8SumsDoNotOverflow) {
  const size_t n = 512, dim = 256;
  for (const float sign : {1.0f, -1.0f}) {
    const Floats k(n * dim, sign), v(n * dim, sign * 3.0f);
    for (const float value : Attend(*table_, KvType::kInt8, Floats(dim, 1.0f), k, v, n, n))
      ASSERT_NEAR(value, sign * 3.0f, 1e-3);
  }
}

// A key or value that is not finite makes the rows that see it NaN, and no others.
TEST_P(AttentionTest, Int8NanIsNotSwallowed) {
  const size_t n = 300, dim = 64;
  const Floats q = Random(dim, 1), k = Random(n * dim, 2), v = Random(n * dim, 3);
  const Floats expected = Attend(*table_, KvType::kInt8, q, k, v, n - 1, n);
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    Floats bad_k = k, bad_v = v, bad_q = q;
    bad_k[(n - 1) * dim + 5] = bad;
    bad_v[(n - 1) * dim + 7] = bad;
    EXPECT_EQ(Attend(*table_, KvType::kInt8, q, bad_k, bad_v, n - 1, n), expected);
    EXPECT_TRUE(std::isnan(Attend(*table_, KvType::kInt8, q, bad_k, v, n, n)[0]));
    EXPECT_TRUE(std::isnan(Attend(*table_, KvType::kInt8, q, k, bad_v, n, n)[0]));
    bad_q[63] = bad;
    EXPECT_TRUE(std::isnan(Attend(*table_, KvType::kInt8, bad_q, k, v, n, n)[0]));
  }
}

TEST_P(AttentionTest, Int8OfZerosIsZero) {
  const size_t n = 70, dim = 32;
  const Floats zero(n * dim), v = Random(n * dim, 3);
  EXPECT_EQ(Attend(*table_, KvType::kInt8, Floats(dim), zero, zero, n, n), Floats(dim));
  const Floats mean = Attend(*table_, KvType::kInt8, Floats(dim), v, v, n, n);  // all scores 0
  const Floats expected = Attend(ScalarKernels(), KvType::kF32, Floats(dim), v, v, n, n);
  for (size_t d = 0; d < dim; ++d) EXPECT_NEAR(mean[d], expected[d], 0.01);
}

#if defined(__aarch64__)
INSTANTIATE_TEST_SUITE_P(Isa, AttentionTest, testing::Values("scalar", "neon", "dotprod", "i8mm"),
#else
INSTANTIATE_TEST_SUITE_P(Isa, AttentionTest,
                         testing::Values("scalar", "avx2", "avxvnni_evex", "avxvnni", "avx512",
                                         "amx"),
#endif
                         [](const auto& isa) { return std::string(isa.param); });

// Codes and scales of int8 pages, where AttentionArgs says that they are.
TEST(AttentionStores, Int8PagesAreAsDescribed) {
  const size_t dim = 6, n = 67, width = 16;
  Floats k = Random(n * dim, 1), v = Random(n * dim, 2);
  std::fill_n(k.begin() + 65 * dim, dim, 0.0f);
  AttentionPages pages;
  const AttentionLayout layout{.n_kv_heads = 1, .head_dim = dim, .type = KvType::kInt8};
  Store(layout, k, v, n, &pages);
  EXPECT_EQ(layout.KeyBytes(), 64u * 8 + 64 * 4);
  EXPECT_EQ(layout.ValueBytes(), 64u * 16 + 64 * 4);
  for (size_t key = 0; key < n; ++key) {
    const std::byte* page = pages.pages()[key / 64];
    const std::byte* values = page + layout.KeyBytes();
    const size_t slot = key % 64;
    const auto scale_of = [&](const std::byte* scales) {
      return reinterpret_cast<const float*>(scales)[slot];
    };
    const float key_scale = scale_of(page + 64 * 8), value_scale = scale_of(values + 64 * width);
    float largest = 0;
    for (size_t d = 0; d < dim; ++d) largest = std::max(largest, std::fabs(k[key * dim + d]));
    EXPECT_EQ(key_scale, largest / 127.0f);
    for (size_t d = 0; d < dim; ++d) {
      const int code = static_cast<int>(page[(d / 4 * 64 + slot) * 4 + d % 4]) - 128;
      const int value = static_cast<int8_t>(values[(slot / 4 * width + d) * 4 + slot % 4]);
      ASSERT_NEAR(static_cast<float>(code) * key_scale, k[key * dim + d], key_scale * 0.5001f);
      ASSERT_NEAR(static_cast<float>(value) * value_scale, v[key * dim + d], value_scale * 0.5001f);
    }
  }
}

// Tokens stored one by one, in odd pieces or at once lie in the same places.
TEST(AttentionStores, PagesDoNotDependOnThePieces) {
  const size_t n = 530, heads = 3, dim = 24, stride = heads * dim;
  const Floats k = Random(n * stride, 1), v = Random(n * stride, 2), q = Random(stride, 3);
  for (const KvType type : kTypes) {
    Floats expected;
    for (const size_t piece : {n, size_t{1}, size_t{7}, size_t{256}}) {
      AttentionPages pages;
      pages.Reset({.n_kv_heads = heads, .head_dim = dim, .type = type}, n);
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
      EXPECT_EQ(out, expected) << piece << " " << Name(type);
    }
  }
}

// A sequence with queries of its last tokens.
struct Sequence {
  static constexpr size_t kHeads = 2, kGroup = 2, kDim = 32, kStride = kHeads * kDim;
  Sequence(KvType type, size_t keys, size_t queries, uint32_t seed)
      : n_keys(keys),
        n_queries(queries),
        k(Random(keys * kStride, seed)),
        v(Random(keys * kStride, seed + 1)),
        q(Random(queries * kGroup * kStride, seed + 2)),
        out(q.size()) {
    Store({.n_kv_heads = kHeads, .head_dim = kDim, .type = type}, k, v, n_keys, &pages);
  }
  // Queries [first, first + count) as one job.
  AttentionJob Job(size_t first, size_t count) {
    return {.layout = pages.layout(),
            .pages = pages.pages(),
            .n_queries = count,
            .group = kGroup,
            .q = q.data() + first * kGroup * kStride,
            .q_stride = kGroup * kStride,
            .out = out.data() + first * kGroup * kStride,
            .out_stride = kGroup * kStride,
            .n_keys = n_keys - n_queries + first + count,
            .causal = true,
            .scale = 0.2f};
  }
  // In double, from the values as they were before rounding.
  Floats Exact() const {
    Floats result;
    for (size_t t = 0; t < n_queries; ++t) {
      for (size_t h = 0; h < kHeads * kGroup; ++h) {
        const size_t seen = n_keys - n_queries + t + 1, column = h / kGroup * kDim;
        std::vector<double> weights(seen), sums(kDim);
        double total = 0;
        for (size_t key = 0; key < seen; ++key) {
          double score = 0;
          for (size_t d = 0; d < kDim; ++d)
            score += double{q[(t * kGroup * kHeads + h) * kDim + d]} * k[key * kStride + column + d];
          total += weights[key] = std::exp(0.2 * score);
        }
        for (size_t key = 0; key < seen; ++key) {
          for (size_t d = 0; d < kDim; ++d)
            sums[d] += weights[key] / total * v[key * kStride + column + d];
        }
        for (const double sum : sums) result.push_back(static_cast<float>(sum));
      }
    }
    return result;
  }
  size_t n_keys, n_queries;
  Floats k, v, q, out;
  AttentionPages pages;
};

// Several blocks of keys; chunks of queries; jobs of different lengths in one call, so that some are
// split over threads and some are not.
TEST(Attention, ThreadsChunksAndBatchesGiveTheSameBits) {
  for (const KvType type : kTypes) {
    Sequence prompt(type, 2 * kAttentionBlock + 300, 40, 1), one(type, 5 * kAttentionBlock, 1, 4),
        brief(type, 70, 3, 7), edge(type, kAttentionBlock + 5, 9, 10);
    Sequence* all[] = {&prompt, &one, &brief, &edge};
    std::vector<Floats> expected;
    SetNumThreads(1);
    for (Sequence* sequence : all) {
      const AttentionJob job = sequence->Job(0, sequence->n_queries);
      RunAttention({&job, 1});
      expected.push_back(sequence->out);
      EXPECT_LT(RelativeError(sequence->out, sequence->Exact()), type == KvType::kF32 ? 1e-5 : 2e-2)
          << Name(type);
    }
    for (const int threads : {1, 2, 3, 7, 16}) {
      SetNumThreads(threads);
      for (const size_t chunk : {size_t{40}, size_t{7}, size_t{1}}) {
        for (Sequence* sequence : all) sequence->out.assign(sequence->out.size(), -9.0f);
        for (size_t first = 0; first < 40; first += chunk) {
          std::vector<AttentionJob> jobs;
          for (Sequence* sequence : all) {
            if (first < sequence->n_queries)
              jobs.push_back(sequence->Job(first, std::min(chunk, sequence->n_queries - first)));
          }
          RunAttention(jobs);
        }
        for (size_t i = 0; i < std::size(all); ++i)
          ASSERT_EQ(all[i]->out, expected[i])
              << Name(type) << " threads " << threads << " chunk " << chunk << " job " << i;
      }
    }
  }
  SetNumThreads(2);
}

}  // namespace
}  // namespace ingot
