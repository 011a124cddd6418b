// SPDX-License-Identifier: Apache-2.0
#include "quant/sample_store.h"

#include <string>

#include "base/error.h"

namespace ingot {
namespace {

constexpr char kFolder[] = "hidden_states";

}  // namespace

SampleStore::SampleStore(const std::filesystem::path& dir, const ModelConfig& config)
    : config_(config), rows_{{0}, {0}} {
  const auto folder = dir / kFolder;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw ResourceError("{}: cannot create the folder: {}.", folder.string(), error.message());
  const size_t features = 1 + config.vision.deepstack_indexes.size();
  for (const char* name : {"0", "1"}) {
    vision_.emplace_back(folder / (std::string("vision_") + name));
    text_.emplace_back(folder / (std::string("text_") + name));
  }
  for (size_t i = 0; i < features; ++i) {
    visual_.emplace_back(folder / ("visual_" + std::to_string(i)));
    merged_.emplace_back(folder / ("merged_" + std::to_string(i)));
  }
}

void SampleStore::Add(CalibrationSample sample) {
  rows_.first_token.push_back(rows_.first_token.back() + static_cast<uint64_t>(sample.n_tokens()));
  rows_.first_patch.push_back(rows_.first_patch.back() + static_cast<uint64_t>(sample.n_patches()));
  samples_.push_back(std::move(sample));
}

std::vector<float> SampleStore::Read(const SpillFile& file, uint64_t first_row, uint64_t last_row,
                                     int64_t width) const {
  const auto w = static_cast<uint64_t>(width);
  std::vector<float> values((last_row - first_row) * w);
  if (!values.empty()) file.Read(first_row * w, values);
  return values;
}

std::vector<float> SampleStore::ReadVision(size_t sample, int64_t block) const {
  return Read(vision_[static_cast<size_t>(block % 2)], rows_.first_patch[sample], rows_.first_patch[sample + 1],
              config_.vision.hidden);
}

void SampleStore::WriteVision(size_t sample, int64_t block, std::span<const float> hidden) {
  vision_[static_cast<size_t>(block % 2)].Write(
      rows_.first_patch[sample] * static_cast<uint64_t>(config_.vision.hidden), hidden);
}

std::vector<float> SampleStore::ReadText(size_t sample, int64_t layer) const {
  return Read(text_[static_cast<size_t>(layer % 2)], rows_.first_token[sample], rows_.first_token[sample + 1],
              config_.text.hidden);
}

void SampleStore::WriteText(size_t sample, int64_t layer, std::span<const float> hidden) {
  text_[static_cast<size_t>(layer % 2)].Write(
      rows_.first_token[sample] * static_cast<uint64_t>(config_.text.hidden), hidden);
}

uint64_t SampleStore::VisualRow(size_t sample) const {
  return rows_.first_patch[sample] / static_cast<uint64_t>(config_.vision.merge * config_.vision.merge);
}

std::vector<float> SampleStore::ReadVisual(size_t sample, int64_t feature) const {
  return Read(visual_[static_cast<size_t>(feature)], VisualRow(sample), VisualRow(sample + 1), config_.text.hidden);
}

void SampleStore::WriteVisual(size_t sample, int64_t feature, std::span<const float> rows) {
  visual_[static_cast<size_t>(feature)].Write(VisualRow(sample) * static_cast<uint64_t>(config_.text.hidden), rows);
}

std::vector<float> SampleStore::ReadMerged(size_t sample, int64_t feature) const {
  return Read(merged_[static_cast<size_t>(feature)], VisualRow(sample), VisualRow(sample + 1), config_.text.hidden);
}

void SampleStore::WriteMerged(size_t sample, int64_t feature, std::span<const float> rows) {
  merged_[static_cast<size_t>(feature)].Write(VisualRow(sample) * static_cast<uint64_t>(config_.text.hidden), rows);
}

void SampleStore::Sync() {
  for (auto* group : {&vision_, &text_, &visual_, &merged_}) {
    for (auto& file : *group) file.Sync();
  }
}

void SampleStore::Remove(const std::filesystem::path& dir) {
  std::error_code ignored;
  std::filesystem::remove_all(dir / kFolder, ignored);
}

uint64_t SampleStore::bytes() const {
  const uint64_t patches = rows_.first_patch.back(), tokens = rows_.first_token.back();
  const uint64_t merged = patches / static_cast<uint64_t>(config_.vision.merge * config_.vision.merge);
  const uint64_t features = 1 + config_.vision.deepstack_indexes.size();
  return sizeof(float) * (2 * patches * static_cast<uint64_t>(config_.vision.hidden) +
                          2 * tokens * static_cast<uint64_t>(config_.text.hidden) +
                          2 * merged * features * static_cast<uint64_t>(config_.text.hidden));
}

}  // namespace ingot
