// SPDX-License-Identifier: Apache-2.0
// What calibration sees at one site (the input of one or more linears): token counts, extremes and
// a few sample rows, by modality; and the interface of the observers that turn it into static
// activation parameters.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"

namespace ingot {

// A row (token) belongs to vision when a picture or video put it there: image and video placeholder
// positions of the decoder, every row of the vision tower.
enum class Modality : uint8_t { kText, kVision };
inline constexpr size_t kModalities = 2;
std::string_view ModalityName(Modality modality);  // "text", "vision"

// Static parameters of one site: code = clamp(rne(x / scale + offset), -128, 127), x ~ (code -
// offset) * scale.
struct ActivationParams {
  float scale = 0;
  float offset = 0;  // integer valued, in [-128, 127]
  float effective_scale =
      0;  // what one code is worth in the runtime's arithmetic; = scale unless it uses a reciprocal
  float lo = 0,
        hi = 0;  // the range that was chosen, before scale and offset were put on their grids
  DType dtype =
      DType::kF32;  // type of scale and offset in the reference's arithmetic (V0: F32, F16 or BF16)

  // The range that the codes cover: from code -128 to code 127.
  float CodeLo() const { return (-128.0f - offset) * scale; }
  float CodeHi() const { return (127.0f - offset) * scale; }
};

// Rows kept for measuring: [n_rows, in], float32.
struct RowSample {
  std::vector<float> rows;
  int64_t n_rows = 0;
};

// Counts, extremes and sample rows. The sample is every stride-th row of a modality; when it is
// full, every second row is thrown away and the stride doubles: deterministic, evenly spread, one
// pass, at most `max_rows` rows.
class SiteStatistics {
 public:
  explicit SiteStatistics(int64_t in, int64_t max_rows = 256);

  // x: [modality.size(), in], row-major.
  void Observe(std::span<const float> x, std::span<const Modality> modality);

  struct PerModality {
    int64_t tokens = 0;
    float min = 0, max = 0;          // exact extremes; 0 while tokens == 0
    std::vector<float> channel_min, channel_max;  // [in]; infinite while tokens == 0
    RowSample sample;
    int64_t stride = 1;
  };
  const PerModality& of(Modality modality) const { return parts_[static_cast<size_t>(modality)]; }
  // The same of x[c] / factor[c]. Requires: factor [in], positive.
  SiteStatistics DividedBy(std::span<const float> factor) const;
  int64_t in() const { return in_; }
  int64_t tokens() const { return parts_[0].tokens + parts_[1].tokens; }

 private:
  void AddExtremes(std::span<const float> x, std::span<const Modality> modality);
  void Sample(PerModality& part, std::span<const float> row);
  int64_t in_, max_rows_;
  std::array<PerModality, kModalities> parts_;
};

}  // namespace ingot
