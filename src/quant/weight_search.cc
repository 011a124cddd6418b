// SPDX-License-Identifier: Apache-2.0
#include "quant/weight_search.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "quant/linear_quant.h"
#include "quant/rounding.h"

namespace ingot {
namespace {

// The plain choice first: it wins ties. The others spread over the codes that still round to 126 or 127.
constexpr std::array<float, 12> kCandidates{127.0f, 127.4f, 127.25f, 127.1f, 126.85f, 126.7f,
                                            126.55f, 126.4f, 126.25f, 126.1f, 125.9f, 125.7f};
constexpr size_t kKept = 3;           // candidates that are judged on all rows
constexpr size_t kRowBlock = 8;       // weight rows whose candidates share one pass over the inputs
constexpr int64_t kFewRows = 16, kAllRows = 96;  // a modality

std::vector<float> EveryNth(const RowSample& sample, int64_t in, int64_t max_rows) {
  const int64_t count = std::min(sample.n_rows, max_rows);
  std::vector<float> rows;
  rows.reserve(static_cast<size_t>(count * in));
  for (int64_t i = 0; i < count; ++i) {
    const auto first = sample.rows.begin() + i * sample.n_rows / count * in;
    rows.insert(rows.end(), first, first + in);
  }
  return rows;
}

// Float weights of some rows, and the codes and scale of each of them under its candidates.
struct Block {
  size_t count = 0;           // rows
  size_t n_candidates = 0;    // of each row
  std::vector<float> exact;   // [rows, in]
  std::vector<int8_t> codes;  // [rows * candidates, in]
  std::vector<float> scale, largest;  // [rows * candidates]; `largest` is an element of kCandidates
  size_t n_out() const { return count * n_candidates; }
};

Block RoundBlock(const TensorView& weight, size_t first, size_t count, const WeightScaleFn& scale_of) {
  const auto in = static_cast<size_t>(weight.shape[1]);
  const KernelTable& kernels = Kernels();
  Block block{.count = count, .n_candidates = kCandidates.size(), .exact = std::vector<float>(count * in), .codes = {},
              .scale = {}, .largest = {}};
  block.codes.resize(block.n_out() * in);
  ToFloats(weight, static_cast<int64_t>(first * in), block.exact);
  for (size_t r = 0; r < count; ++r) {
    const float* row = block.exact.data() + r * in;
    const float amax = kernels.abs_max(row, in);
    for (const float code : kCandidates) {
      const float scale = scale_of(first + r, amax, code), zero = 0.0f;
      kernels.quantize_i8(row, in, {&scale, &zero, false, false}, block.codes.data() + block.scale.size() * in);
      block.scale.push_back(scale);
      block.largest.push_back(code);
    }
  }
  return block;
}

// z [codes of rows, candidates] = scale * row_scale * (sum over the codes), the sum exact.
std::vector<float> Products(const JudgeRows& rows, const Block& block) {
  const size_t n_rows = rows.row_scale.size(), n_out = block.n_out(), in = static_cast<size_t>(rows.in);
  std::vector<float> z(n_rows * n_out);
  if (rows.packed.data != nullptr) {
    const PackedProduct product{.packed = nullptr, .w = block.codes.data(), .n_out = n_out, .quant_bias = nullptr,
                                .deq = block.scale.data(), .bias = nullptr, .y = z.data()};
    RunPacked(rows.packed, {&product, 1}, rows.row_scale.data());
    return z;
  }
  std::vector<int32_t> sums(z.size());
  Kernels().matmul_i8(rows.codes.data(), in, n_rows, block.codes.data(), n_out, in, nullptr, sums.data(), n_out);
  for (size_t i = 0; i < n_rows; ++i) {
    Kernels().dequantize_i32(sums.data() + i * n_out, n_out, nullptr, block.scale.data(), rows.row_scale[i], nullptr,
                             z.data() + i * n_out);
  }
  return z;
}

// errors[row * candidates + k] += noise / signal of the outputs of one modality, whose rows of z begin at `first`.
void AddErrors(const JudgeRows& rows, size_t modality, size_t first, const Block& block, const std::vector<float>& z,
               std::vector<double>* errors) {
  const size_t n_rows = rows.n_rows(modality), n_out = block.n_out(), in = static_cast<size_t>(rows.in);
  if (n_rows == 0) return;
  std::vector<float> y(n_rows * block.count);
  Kernels().matmul_f32(rows.exact[modality].data(), in, n_rows, block.exact.data(), block.count, in, nullptr, y.data(),
                       block.count);
  const float* ones = z.data() + (rows.row_scale.size() - 1) * n_out;
  std::vector<double> signal(block.count, 0.0), noise(n_out, 0.0);
  for (size_t i = 0; i < n_rows; ++i) {
    const float* z_row = z.data() + (first + i) * n_out;
    const float shift = rows.offset * rows.row_scale[first + i];
    for (size_t r = 0; r < block.count; ++r) {
      const double exact = y[i * block.count + r];
      signal[r] += exact * exact;
      for (size_t k = r * block.n_candidates; k < (r + 1) * block.n_candidates; ++k) {
        const double d = exact - (z_row[k] - shift * ones[k]);
        noise[k] += d * d;
      }
    }
  }
  for (size_t k = 0; k < n_out; ++k) {
    const double power = signal[k / block.n_candidates];
    if (power > 0) (*errors)[k] += noise[k] / power;
  }
}

std::vector<double> Errors(const JudgeRows& rows, const Block& block) {
  const std::vector<float> z = Products(rows, block);
  std::vector<double> errors(block.n_out(), 0.0);
  AddErrors(rows, 0, 0, block, z, &errors);
  AddErrors(rows, 1, rows.n_rows(0), block, z, &errors);
  return errors;
}

// The `keep` candidates of each row with the smallest errors, in their old order, so that the plain choice goes on winning ties.
Block Best(Block block, const std::vector<double>& errors, size_t keep) {
  const size_t n = block.n_candidates, in = block.exact.size() / block.count;
  Block best{.count = block.count, .n_candidates = keep, .exact = std::move(block.exact), .codes = {}, .scale = {}, .largest = {}};
  best.codes.reserve(best.n_out() * in);
  std::vector<size_t> order(n);
  for (size_t r = 0; r < block.count; ++r) {
    std::iota(order.begin(), order.end(), r * n);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return errors[a] < errors[b]; });
    std::sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(keep));
    for (size_t k = 0; k < keep; ++k) {
      const int8_t* codes = block.codes.data() + order[k] * in;
      best.codes.insert(best.codes.end(), codes, codes + in);
      best.scale.push_back(block.scale[order[k]]);
      best.largest.push_back(block.largest[order[k]]);
    }
  }
  return best;
}

// Codes of the rows under static parameters, as FakeQuantizeActivations rounds.
void AppendStaticCodes(const std::vector<float>& x, const ActivationParams& params, JudgeRows* rows) {
  const float low = -128.0f - params.offset, high = 127.0f - params.offset;
  for (const float v : x) {
    rows->codes.push_back(static_cast<int8_t>(RoundToCode(v / params.effective_scale, low, high) + params.offset));
  }
  rows->row_scale.resize(rows->codes.size() / static_cast<size_t>(rows->in), params.effective_scale);
}

// With a scale for each row, as FakeQuantizeRows rounds.
void AppendDynamicCodes(const std::vector<float>& x, JudgeRows* rows) {
  const auto in = static_cast<size_t>(rows->in);
  for (size_t at = 0; at < x.size(); at += in) {
    const float amax = Kernels().abs_max(x.data() + at, in), scale = amax > 0 ? amax / 127.0f : 1.0f;
    for (size_t c = at; c < at + in; ++c) {
      rows->codes.push_back(static_cast<int8_t>(RoundToCode(x[c] / scale, -127.0f, 127.0f)));
    }
    rows->row_scale.push_back(scale);
  }
}

JudgeRows MakeJudgeRows(const SiteStatistics& site, const ActivationParams* params, int64_t max_rows) {
  JudgeRows rows;
  rows.in = site.in();
  const auto in = static_cast<size_t>(rows.in);
  if (params != nullptr) rows.offset = params->offset;
  for (size_t m = 0; m < kModalities; ++m) {
    rows.exact[m] = EveryNth(site.of(static_cast<Modality>(m)).sample, rows.in, max_rows);
    params != nullptr ? AppendStaticCodes(rows.exact[m], *params, &rows) : AppendDynamicCodes(rows.exact[m], &rows);
  }
  rows.codes.resize(rows.codes.size() + in, 1);
  rows.row_scale.push_back(1.0f);
  if (const PackedKernels* kernels = Kernels().packed_i8) {
    rows.packed_bytes = AlignedBytes(PackedRows::Bytes(*kernels, rows.row_scale.size(), in));
    rows.packed = PackRows(*kernels, rows.codes.data(), rows.row_scale.size(), in, rows.packed_bytes.data());
  }
  return rows;
}

}  // namespace

SearchRows MakeSearchRows(const SiteStatistics& site, const ActivationParams* params) {
  return {MakeJudgeRows(site, params, kFewRows), MakeJudgeRows(site, params, kAllRows)};
}

std::vector<float> SearchLargestCodes(const TensorView& weight, const SearchRows& rows, const WeightScaleFn& scale_of) {
  const auto n_out = static_cast<size_t>(weight.shape[0]);
  std::vector<float> best(n_out, kCandidates[0]);
  ParallelFor(n_out, kRowBlock, [&](size_t begin, size_t end) {
    for (size_t first = begin; first < end; first += kRowBlock) {
      const size_t count = std::min(kRowBlock, end - first);
      Block block = RoundBlock(weight, first, count, scale_of);
      for (const auto& [judges, keep] : {std::pair{&rows.few, kKept}, std::pair{&rows.all, size_t{1}}}) {
        const std::vector<double> errors = Errors(*judges, block);
        block = Best(std::move(block), errors, keep);
      }
      std::copy(block.largest.begin(), block.largest.end(), best.begin() + static_cast<std::ptrdiff_t>(first));
    }
  });
  return best;
}

}  // namespace ingot
