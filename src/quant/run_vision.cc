// SPDX-License-Identifier: Apache-2.0
// The blocks of the vision tower, with the deepstack mergers where they are tapped, and the merger.
#include <fmt/format.h>

#include <optional>
#include <string>
#include <vector>

#include "quant/quantize_run.h"

namespace ingot {

void QuantizeRun::RunVision() {
  for (int64_t block = 0; block < config_.vision.depth; ++block) {
    if (!Done(VisionStep(block))) RunVisionStep(block);
  }
  if (!Done("vision.merger")) RunMergerStep();
}

// A block and, where it is tapped, its deepstack merger.
void QuantizeRun::RunVisionStep(int64_t index) {
  VisionBlock block = LoadVisionBlock(reader_, index);
  PrefetchNext(TensorPart::kVision, index + 1);
  const std::optional<int64_t> tap = DeepstackIndex(config_.vision, index);
  VisionMerger deepstack;
  std::vector<Linear*> linears{&block.qkv, &block.proj, &block.fc1, &block.fc2};
  if (tap) {
    deepstack = LoadDeepstackMerger(reader_, *tap);
    linears.insert(linears.end(), {&deepstack.fc1, &deepstack.fc2});
  }
  const std::string name = fmt::format("vision block {}/{}", index + 1, config_.vision.depth);
  BlockJob job = MakeJob(name, linears, TensorPart::kVision);
  job.run = [&](size_t sample, const RunContext& context, bool keep) {
    const auto& s = store_.samples()[sample];
    if (s.n_patches() == 0) return;
    std::vector<float> hidden = store_.ReadVision(sample, index);
    RunVisionBlock(config_.vision, block, MakeVisionLayout(config_.vision, s.grids()),
                   hidden.data(), context);
    if (keep) store_.WriteVision(sample, index + 1, hidden);
    const bool wanted =
        keep || context.last_site == deepstack.fc1.site || context.last_site == deepstack.fc2.site;
    if (tap && wanted) RunMerger(sample, deepstack, hidden, 1 + *tap, context, keep);
    Worked(TensorPart::kVision, sample, name, !keep);
  };
  Step(VisionStep(index), job);
}

void QuantizeRun::RunMerger(size_t sample, const VisionMerger& merger,
                            const std::vector<float>& hidden, int64_t feature,
                            const RunContext& context, bool keep) {
  const int64_t n_patches = store_.samples()[sample].n_patches();
  const int64_t rows = n_patches / (config_.vision.merge * config_.vision.merge);
  std::vector<float> out(static_cast<size_t>(rows * config_.vision.out_hidden));
  RunVisionMerger(config_.vision, merger, hidden.data(), n_patches, out.data(), context);
  if (keep) store_.WriteVisual(sample, feature, out);
}

void QuantizeRun::RunMergerStep() {
  VisionMerger merger = LoadVisionMerger(reader_);
  BlockJob job = MakeJob("vision merger", {&merger.fc1, &merger.fc2}, TensorPart::kVision);
  job.run = [&](size_t sample, const RunContext& context, bool keep) {
    if (store_.samples()[sample].n_patches() == 0) return;
    RunMerger(sample, merger, store_.ReadVision(sample, config_.vision.depth), 0, context, keep);
  };
  Step("vision.merger", job);
}

}  // namespace ingot
