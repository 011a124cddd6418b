// SPDX-License-Identifier: Apache-2.0
// Counts, extremes and sample rows of a site.
#include "quant/observer.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace ingot {

std::string_view ModalityName(Modality modality) {
  return modality == Modality::kText ? "text" : "vision";
}

SiteStatistics::SiteStatistics(int64_t in, int64_t max_rows)
    : in_(in), max_rows_(std::max<int64_t>(max_rows, 2)) {
  for (PerModality& part : parts_) part.channel_max.assign(static_cast<size_t>(in), 0.0f);
}

void SiteStatistics::Observe(std::span<const float> x, std::span<const Modality> modality) {
  const size_t in = static_cast<size_t>(in_);
  if (x.size() != modality.size() * in) {
    throw InternalError("SiteStatistics: {} values for {} rows of {}", x.size(), modality.size(),
                        in_);
  }
  for (size_t row = 0; row < modality.size(); ++row) {
    PerModality& part = parts_[static_cast<size_t>(modality[row])];
    const std::span<const float> values = x.subspan(row * in, in);
    float low = part.tokens == 0 ? values[0] : part.min,
          high = part.tokens == 0 ? values[0] : part.max;
    for (size_t c = 0; c < in; ++c) {
      low = std::min(low, values[c]);
      high = std::max(high, values[c]);
      part.channel_max[c] = std::max(part.channel_max[c], std::abs(values[c]));
    }
    part.min = low;
    part.max = high;
    Sample(part, values);
    ++part.tokens;
  }
}

void SiteStatistics::Sample(PerModality& part, std::span<const float> row) {
  if (part.tokens % part.stride != 0) return;
  const size_t in = row.size();
  std::vector<float>& rows = part.sample.rows;
  if (part.sample.n_rows == max_rows_) {
    // Keep rows 0, 2, 4, ...: those whose counter is a multiple of the doubled stride.
    const int64_t kept = (max_rows_ + 1) / 2;
    for (int64_t r = 1; r < kept; ++r) {
      std::copy_n(rows.begin() + static_cast<ptrdiff_t>(2 * r * in_), in,
                  rows.begin() + static_cast<ptrdiff_t>(r * in_));
    }
    rows.resize(static_cast<size_t>(kept) * in);
    part.sample.n_rows = kept;
    part.stride *= 2;
    if (part.tokens % part.stride != 0) return;
  }
  rows.insert(rows.end(), row.begin(), row.end());
  ++part.sample.n_rows;
}

}  // namespace ingot
