// SPDX-License-Identifier: Apache-2.0
#include "quant/weight_search.h"

#include <algorithm>
#include <cmath>

#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "quant/linear_quant.h"
#include "quant/rounding.h"

namespace ingot {
namespace {

// The plain choice first: it wins ties. The others spread over the codes that still round to 126 or 127.
constexpr std::array<float, 12> kCandidates{127.0f, 127.4f, 127.25f, 127.1f, 126.85f, 126.7f,
                                            126.55f, 126.4f, 126.25f, 126.1f, 125.9f, 125.7f};
constexpr size_t kRowBlock = 8;  // weight rows whose candidates share one pass over the inputs

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

// Float weights of some rows, and each of them rounded with every candidate scale.
struct Block {
  std::vector<float> exact, rounded;  // [rows, in], [rows * candidates, in]
};

Block RoundBlock(const TensorView& weight, size_t first, size_t count, const WeightScaleFn& scale_of) {
  const auto in = static_cast<size_t>(weight.shape[1]);
  Block block{std::vector<float>(count * in), std::vector<float>(count * kCandidates.size() * in)};
  ToFloats(weight, static_cast<int64_t>(first * in), block.exact);
  for (size_t r = 0; r < count; ++r) {
    const float* row = block.exact.data() + r * in;
    float amax = 0;
    for (size_t c = 0; c < in; ++c) amax = std::max(amax, std::abs(row[c]));
    for (size_t k = 0; k < kCandidates.size(); ++k) {
      const float scale = scale_of(first + r, amax, kCandidates[k]);
      float* out = block.rounded.data() + (r * kCandidates.size() + k) * in;
      for (size_t c = 0; c < in; ++c) out[c] = RoundToCode(row[c] / scale, -127.0f, 127.0f) * scale;
    }
  }
  return block;
}

// errors[row * candidates + k] += noise / signal of the outputs of one modality.
void AddErrors(const Block& block, size_t count, const std::vector<float>& exact, const std::vector<float>& quantized,
               size_t in, std::vector<double>* errors) {
  const size_t n_rows = exact.size() / in, n_out = count * kCandidates.size();
  if (n_rows == 0) return;
  std::vector<float> y(n_rows * count), z(n_rows * n_out);
  const KernelTable& kernels = Kernels();
  kernels.matmul_f32(exact.data(), in, n_rows, block.exact.data(), count, in, nullptr, y.data(), count);
  kernels.matmul_f32(quantized.data(), in, n_rows, block.rounded.data(), n_out, in, nullptr, z.data(), n_out);
  for (size_t r = 0; r < count; ++r) {
    double signal = 0;
    for (size_t i = 0; i < n_rows; ++i) signal += static_cast<double>(y[i * count + r]) * y[i * count + r];
    if (!(signal > 0)) continue;
    for (size_t k = 0; k < kCandidates.size(); ++k) {
      double noise = 0;
      for (size_t i = 0; i < n_rows; ++i) {
        const double d = y[i * count + r] - z[i * n_out + r * kCandidates.size() + k];
        noise += d * d;
      }
      (*errors)[r * kCandidates.size() + k] += noise / signal;
    }
  }
}

}  // namespace

SearchRows MakeSearchRows(const SiteStatistics& site, const ActivationParams* params, int64_t max_rows) {
  SearchRows rows{.in = site.in(), .exact = {}, .quantized = {}};
  for (size_t m = 0; m < kModalities; ++m) {
    rows.exact[m] = EveryNth(site.of(static_cast<Modality>(m)).sample, site.in(), max_rows);
    rows.quantized[m].resize(rows.exact[m].size());
    if (rows.exact[m].empty()) continue;
    if (params != nullptr) {
      FakeQuantizeActivations(rows.exact[m], *params, rows.quantized[m]);
    } else {
      FakeQuantizeRows(rows.exact[m], site.in(), rows.quantized[m]);
    }
  }
  return rows;
}

std::vector<float> SearchLargestCodes(const TensorView& weight, const SearchRows& rows, const WeightScaleFn& scale_of) {
  const auto n_out = static_cast<size_t>(weight.shape[0]);
  const auto in = static_cast<size_t>(weight.shape[1]);
  std::vector<float> best(n_out, kCandidates[0]);
  ParallelFor(n_out, kRowBlock, [&](size_t begin, size_t end) {
    for (size_t first = begin; first < end; first += kRowBlock) {
      const size_t count = std::min(kRowBlock, end - first);
      const Block block = RoundBlock(weight, first, count, scale_of);
      std::vector<double> errors(count * kCandidates.size(), 0.0);
      for (size_t m = 0; m < kModalities; ++m) {
        AddErrors(block, count, rows.exact[m], rows.quantized[m], in, &errors);
      }
      for (size_t r = 0; r < count; ++r) {
        const auto row = errors.begin() + static_cast<std::ptrdiff_t>(r * kCandidates.size());
        best[first + r] = kCandidates[static_cast<size_t>(
            std::min_element(row, row + static_cast<std::ptrdiff_t>(kCandidates.size())) - row)];
      }
    }
  });
  return best;
}

}  // namespace ingot
