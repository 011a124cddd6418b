// SPDX-License-Identifier: Apache-2.0
// Calibration samples as the pipeline keeps them: token ids, what each token is, the grids of the
// pictures, and where the sample's rows lie in the spill files. The pixels themselves live only
// while a sample is prepared.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/config.h"
#include "model/decoder.h"
#include "model/rope.h"
#include "model/vision_tower.h"
#include "prompt/prompt_builder.h"
#include "quant/observer.h"

namespace ingot {

struct CalibrationSample {
  std::string id;
  std::vector<int32_t> ids;             // [n_tokens], placeholders expanded
  std::vector<Modality> modality;       // [n_tokens]
  std::vector<GridThw> images, videos;  // in the order of their placeholders
  int64_t n_tokens() const { return static_cast<int64_t>(ids.size()); }
  int64_t n_patches() const;           // of images, then videos
  std::vector<GridThw> grids() const;  // images, then videos
};

// The sample's rows in a spill file whose rows are `width` wide come after those of the samples
// before it.
struct SampleRows {
  std::vector<uint64_t> first_token, first_patch;  // [samples + 1], running sums
};
SampleRows CountRows(const std::vector<CalibrationSample>& samples);

CalibrationSample MakeSample(const std::string& id, const PreparedPrompt& prompt);
// Patch rows of images, then videos: [n_patches, patch_values].
std::vector<float> AllPatches(const PreparedPrompt& prompt);

// One line of JSON for the journal, and back. Errors: FormatError.
std::string SampleLine(const CalibrationSample& sample);
CalibrationSample ParseSampleLine(const std::string& line, const std::string& file);

}  // namespace ingot
