// SPDX-License-Identifier: Apache-2.0
// The embeddings with the visual features in them, then the layers of the decoder.
#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "quant/quantize_run.h"

namespace ingot {

void QuantizeRun::RunText() {
  if (!Done("text.embed")) EmbedSamples();
  for (int64_t layer = 0; layer < config_.text.n_layers; ++layer) {
    if (!Done(TextStep(layer))) RunTextStep(layer);
  }
}

// Rows [first, first + count) of every visual feature, as the vision tower returns them.
VisionOutput QuantizeRun::TowerOutput(size_t sample, int64_t first, int64_t count) const {
  const auto width = static_cast<size_t>(config_.text.hidden);
  VisionOutput output{.n_tokens = count};
  const size_t n_features = 1 + config_.vision.deepstack_indexes.size();
  for (size_t feature = 0; feature < n_features; ++feature) {
    const std::vector<float> all = store_.ReadVisual(sample, static_cast<int64_t>(feature));
    const auto begin =
        all.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(first) * width);
    std::vector<float> part(
        begin, begin + static_cast<std::ptrdiff_t>(static_cast<size_t>(count) * width));
    (feature == 0 ? output.embeds : output.deepstack.emplace_back()) = std::move(part);
  }
  return output;
}

int64_t QuantizeRun::MergedRows(const std::vector<GridThw>& grids) const {
  int64_t patches = 0;
  for (const auto& grid : grids) patches += grid[0] * grid[1] * grid[2];
  return patches / (config_.vision.merge * config_.vision.merge);
}

ModelInput QuantizeRun::InputOf(const CalibrationSample& sample) const {
  ModelInput input;
  input.token_ids = sample.ids;
  input.images.grids = sample.images;
  input.videos.grids = sample.videos;
  input.rule = options_.prompt.video_rule == VideoPrompt::kLegacy ? PositionRule::kLegacy
                                                                  : PositionRule::kV5;
  return input;
}

void QuantizeRun::EmbedSamples() {
  const Weight embedding = LoadEmbedding(reader_);
  for (size_t i = 0; i < store_.samples().size(); ++i) {
    const auto& sample = store_.samples()[i];
    const int64_t n_images = MergedRows(sample.images), n_videos = MergedRows(sample.videos);
    const VisionOutput images = TowerOutput(i, 0, n_images);
    const VisionOutput videos = TowerOutput(i, n_images, n_videos);
    const MergedPrompt merged =
        MergePrompt(config_, embedding, InputOf(sample), n_images > 0 ? &images : nullptr,
                    n_videos > 0 ? &videos : nullptr);
    store_.WriteText(i, 0, merged.hidden);
    for (size_t k = 0; k < merged.deepstack.size(); ++k) {
      store_.WriteMerged(i, static_cast<int64_t>(k), merged.deepstack[k]);
    }
  }
  reader_.Drop(embedding_name());
  MarkDone("text.embed");
}

std::string QuantizeRun::embedding_name() const {
  for (const TensorSpec& spec : TensorTable(config_, true)) {
    if (spec.role == TensorRole::kEmbedding) return spec.name;
  }
  throw InternalError("quantize: the tensor table has no embedding");
}

RopeTable QuantizeRun::RopeOf(const CalibrationSample& sample) const {
  const ModelInput input = InputOf(sample);
  const RopePositions positions =
      TextPositions(config_, sample.ids, sample.images, sample.videos, input.rule);
  return MakeTextRope(config_.text, positions, 0, sample.n_tokens());
}

void QuantizeRun::AddDeepstack(size_t sample, int64_t layer, std::vector<float>* hidden) const {
  if (layer >= static_cast<int64_t>(config_.vision.deepstack_indexes.size())) return;
  const auto& modality = store_.samples()[sample].modality;
  std::vector<int64_t> rows;
  for (size_t i = 0; i < modality.size(); ++i) {
    if (modality[i] == Modality::kVision) rows.push_back(static_cast<int64_t>(i));
  }
  if (rows.empty()) return;
  AddToRows(hidden->data(), config_.text.hidden, rows, store_.ReadMerged(sample, layer).data());
}

void QuantizeRun::RunTextStep(int64_t index) {
  DecoderLayer layer = LoadDecoderLayer(reader_, index);
  PrefetchNext(TensorPart::kText, index + 1);
  const std::string name = fmt::format("text layer {}/{}", index + 1, config_.text.n_layers);
  BlockJob job =
      MakeJob(name, {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down},
              TensorPart::kText);
  job.run = [&](size_t sample, const RunContext& context, bool keep) {
    const auto& s = store_.samples()[sample];
    std::vector<float> hidden = store_.ReadText(sample, index);
    RunDecoderLayer(config_.text, layer, RopeOf(s), hidden.data(), s.n_tokens(), context);
    if (keep) {
      AddDeepstack(sample, index, &hidden);
      store_.WriteText(sample, index + 1, hidden);
    }
    Worked(TensorPart::kText, sample, name, !keep);
  };
  Step(TextStep(index), job);
}

}  // namespace ingot
