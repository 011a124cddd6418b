// SPDX-License-Identifier: Apache-2.0
// Counts, extremes and sample rows of a site.
#include "quant/observer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>

#include "base/error.h"
#include "base/thread_pool.h"

namespace ingot {
namespace {

// Smallest and largest of many values, in lanes that compile to vector instructions. NaN is passed over.
struct Extremes {
  static constexpr size_t kLanes = 16;
  std::array<float, kLanes> low, high;
  bool any = false;

  Extremes() {
    low.fill(std::numeric_limits<float>::infinity());
    high.fill(-std::numeric_limits<float>::infinity());
  }
  // Those of each channel on the way.
  void Add(std::span<const float> values, float* channel_min, float* channel_max) {
    any = true;
    size_t c = 0;
    for (; c + kLanes <= values.size(); c += kLanes) {
      for (size_t l = 0; l < kLanes; ++l) {
        const float v = values[c + l];
        low[l] = v < low[l] ? v : low[l];
        high[l] = v > high[l] ? v : high[l];
        channel_min[c + l] = v < channel_min[c + l] ? v : channel_min[c + l];
        channel_max[c + l] = v > channel_max[c + l] ? v : channel_max[c + l];
      }
    }
    for (; c < values.size(); ++c) {
      low[0] = std::min(low[0], values[c]);
      high[0] = std::max(high[0], values[c]);
      channel_min[c] = std::min(channel_min[c], values[c]);
      channel_max[c] = std::max(channel_max[c], values[c]);
    }
  }
  float Low() const { return *std::min_element(low.begin(), low.end()); }
  float High() const { return *std::max_element(high.begin(), high.end()); }
};

}  // namespace

std::string_view ModalityName(Modality modality) {
  return modality == Modality::kText ? "text" : "vision";
}

SiteStatistics::SiteStatistics(int64_t in, int64_t max_rows)
    : in_(in), max_rows_(std::max<int64_t>(max_rows, 2)) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (PerModality& part : parts_) {
    part.channel_min.assign(static_cast<size_t>(in), kInfinity);
    part.channel_max.assign(static_cast<size_t>(in), -kInfinity);
  }
}

void SiteStatistics::Observe(std::span<const float> x, std::span<const Modality> modality) {
  const size_t in = static_cast<size_t>(in_);
  if (x.size() != modality.size() * in) {
    throw InternalError("SiteStatistics: {} values for {} rows of {}", x.size(), modality.size(),
                        in_);
  }
  AddExtremes(x, modality);
  for (size_t row = 0; row < modality.size(); ++row) {
    PerModality& part = parts_[static_cast<size_t>(modality[row])];
    Sample(part, x.subspan(row * in, in));
    ++part.tokens;
  }
}

// Each thread takes some columns of all rows; extremes are the same in whatever order they are found.
void SiteStatistics::AddExtremes(std::span<const float> x, std::span<const Modality> modality) {
  const size_t in = static_cast<size_t>(in_);
  std::array<bool, kModalities> fresh{};
  for (size_t m = 0; m < kModalities; ++m) fresh[m] = parts_[m].tokens == 0;
  std::mutex mutex;
  ParallelFor(in, 256, [&](size_t begin, size_t end) {
    std::array<Extremes, kModalities> extremes;
    for (size_t row = 0; row < modality.size(); ++row) {
      const auto m = static_cast<size_t>(modality[row]);
      extremes[m].Add({x.data() + row * in + begin, end - begin},
                      parts_[m].channel_min.data() + begin, parts_[m].channel_max.data() + begin);
    }
    const std::lock_guard lock(mutex);
    for (size_t m = 0; m < kModalities; ++m) {
      if (!extremes[m].any) continue;
      PerModality& part = parts_[m];
      const float low = extremes[m].Low() + 0.0f, high = extremes[m].High() + 0.0f;  // no -0
      part.min = fresh[m] ? low : std::min(part.min, low);
      part.max = fresh[m] ? high : std::max(part.max, high);
      fresh[m] = false;
    }
  });
}

SiteStatistics SiteStatistics::DividedBy(std::span<const float> factor) const {
  SiteStatistics result = *this;
  const size_t in = static_cast<size_t>(in_);
  for (PerModality& part : result.parts_) {
    for (size_t i = 0; i < part.sample.rows.size(); ++i) part.sample.rows[i] /= factor[i % in];
    if (part.tokens == 0) continue;
    for (size_t c = 0; c < in; ++c) {
      part.channel_min[c] /= factor[c];
      part.channel_max[c] /= factor[c];
    }
    part.min = *std::min_element(part.channel_min.begin(), part.channel_min.end());
    part.max = *std::max_element(part.channel_max.begin(), part.channel_max.end());
  }
  return result;
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
