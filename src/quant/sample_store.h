// SPDX-License-Identifier: Apache-2.0
// The calibration samples of a run on disk: their hidden states in the two alternating spill files
// of each tower, the outputs of the vision tower, and where each sample's rows lie in them.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "checkpoint/config.h"
#include "quant/calibration.h"
#include "quant/spill_file.h"

namespace ingot {

class SampleStore {
 public:
  SampleStore(const std::filesystem::path& dir, const ModelConfig& config);

  void Add(CalibrationSample sample);  // appends; its rows follow those of the samples before it
  const std::vector<CalibrationSample>& samples() const { return samples_; }
  bool has_visuals() const { return rows_.first_patch.back() > 0; }

  // States at the entry of vision block or text layer `block`; block 0 is what preparation or the
  // merge wrote.
  std::vector<float> ReadVision(size_t sample, int64_t block) const;
  void WriteVision(size_t sample, int64_t block, std::span<const float> hidden);
  std::vector<float> ReadText(size_t sample, int64_t layer) const;
  void WriteText(size_t sample, int64_t layer, std::span<const float> hidden);

  // Visual rows (one per merged token). feature 0: embeddings of the merger; 1 + k: deepstack
  // feature k; in the order of the tower (images, then videos), or in token order for the Merged
  // pair.
  std::vector<float> ReadVisual(size_t sample, int64_t feature) const;
  void WriteVisual(size_t sample, int64_t feature, std::span<const float> rows);
  std::vector<float> ReadMerged(size_t sample, int64_t feature) const;
  void WriteMerged(size_t sample, int64_t feature, std::span<const float> rows);

  void Sync();
  static void Remove(const std::filesystem::path& dir);
  uint64_t bytes() const;  // of all spill files for the samples so far

 private:
  std::vector<float> Read(const SpillFile& file, uint64_t first_row, uint64_t last_row,
                          int64_t width) const;
  uint64_t VisualRow(size_t sample) const;
  ModelConfig config_;
  std::vector<CalibrationSample> samples_;
  SampleRows rows_;
  std::vector<SpillFile> vision_, text_, visual_, merged_;
};

}  // namespace ingot
