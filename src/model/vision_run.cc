// SPDX-License-Identifier: Apache-2.0
#include "model/vision_run.h"

#include <chrono>

#include "base/error.h"
#include "model/buffer.h"

namespace ingot {
namespace {

size_t Size(int64_t value) { return static_cast<size_t>(value); }

double Weights(const Linear& linear) { return static_cast<double>(linear.out * linear.in); }

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

VisionRun::VisionRun(const VisionTower& tower, const VisualInput& input, std::string_view modality,
                     RunContext context)
    : tower_(tower),
      input_(input),
      modality_(modality),
      context_(std::move(context)),
      layout_(MakeVisionLayout(tower.config, input.grids)),
      block_(tower.config, layout_, context_) {
  const VisionConfig& config = tower.config;
  if (input.pixels.size() != Size(layout_.n_patches * config.patch_values())) {
    throw UserError("{} values of pixels given, the grids need {} patches of {}",
                    input.pixels.size(), layout_.n_patches, config.patch_values());
  }
  output_.n_tokens = layout_.n_patches / (config.merge * config.merge);
  output_.embeds.resize(Size(output_.n_tokens * config.out_hidden));
  output_.deepstack.assign(config.deepstack_indexes.size(), output_.embeds);
  Floats(&hidden_, layout_.n_patches * config.hidden);
  block_.Begin(&workspace_);
  Plan();
}

void VisionRun::Plan() {
  const VisionConfig& config = tower_.config;
  const int64_t n = layout_.n_patches;
  int64_t longest = 0;
  for (size_t i = 0; i + 1 < layout_.segments.size(); ++i)
    longest = std::max(longest, layout_.segments[i + 1] - layout_.segments[i]);
  const auto cut = [&](Kind kind, int64_t index, const std::vector<int64_t>& cuts, double per_row) {
    for (size_t i = 0; i + 1 < cuts.size(); ++i) {
      pieces_.push_back({kind, index, cuts[i], cuts[i + 1],
                         per_row * static_cast<double>(cuts[i + 1] - cuts[i])});
    }
  };
  cut(Kind::kEmbed, 0, block_.rows(), Weights(tower_.patch_embed.proj));
  cut(Kind::kPositions, 0, block_.rows(), static_cast<double>(4 * config.hidden));
  for (const VisionBlock& block : tower_.blocks) {
    cut(Kind::kProject, block.index, block_.rows(), Weights(block.qkv));
    cut(Kind::kAttend, block.index, block_.queries(),
        static_cast<double>(2 * longest * config.hidden));
    cut(Kind::kFinish, block.index, block_.rows(),
        Weights(block.proj) + Weights(block.fc1) + Weights(block.fc2));
    pieces_.push_back({Kind::kBlockEnd, block.index, 0, n, 0});
    if (const auto k = DeepstackIndex(config, block.index)) PlanMerger(*k);
  }
  PlanMerger(-1);
  for (const Piece& piece : pieces_) work_ += piece.work;
}

void VisionRun::PlanMerger(int64_t index) {
  const VisionMerger& merger = index < 0 ? tower_.merger : tower_.deepstack[Size(index)];
  const double per_row = (Weights(merger.fc1) + Weights(merger.fc2)) /
                         static_cast<double>(tower_.config.merge * tower_.config.merge);
  const auto& cuts = block_.rows();
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    pieces_.push_back({Kind::kMerge, index, cuts[i], cuts[i + 1],
                       per_row * static_cast<double>(cuts[i + 1] - cuts[i])});
  }
}

void VisionRun::Merge(const Piece& piece) {
  const VisionConfig& config = tower_.config;
  const int64_t joined = config.merge * config.merge;
  const bool main = piece.index < 0;
  const VisionMerger& merger = main ? tower_.merger : tower_.deepstack[Size(piece.index)];
  std::vector<float>& out = main ? output_.embeds : output_.deepstack[Size(piece.index)];
  const float* hidden = reinterpret_cast<const float*>(hidden_.Get(0));
  RunVisionMerger(config, merger, hidden + piece.begin * config.hidden, piece.end - piece.begin,
                  out.data() + piece.begin / joined * config.out_hidden, &workspace_, context_);
  if (piece.end != layout_.n_patches) return;
  if (main) {
    Report(context_, {output_.n_tokens, config.out_hidden}, out.data(), "vision.out.{}", modality_);
  } else {
    Report(context_, {output_.n_tokens, config.out_hidden}, out.data(),
           "vision.deepstack_out.{}.{}", modality_, piece.index);
  }
}

void VisionRun::Run(const Piece& piece) {
  const VisionConfig& config = tower_.config;
  const int64_t n = piece.end - piece.begin;
  float* hidden = reinterpret_cast<float*>(hidden_.Get(0));
  const auto report = [&](std::string_view name) {
    if (piece.end == layout_.n_patches)
      Report(context_, {layout_.n_patches, config.hidden}, hidden, "{}", name);
  };
  switch (piece.kind) {
    case Kind::kEmbed:
      RunLinear(tower_.patch_embed.proj,
                input_.pixels.data() + piece.begin * config.patch_values(), n,
                hidden + piece.begin * config.hidden, context_.precision);
      return report("vision.patch_embed");
    case Kind::kPositions:
      AddVisionPositions(config, tower_.patch_embed.position_table, layout_, piece.begin,
                         piece.end, hidden);
      return report("vision.block_in");
    case Kind::kProject:
      block_.Project(tower_.blocks[Size(piece.index)], hidden, piece.begin, piece.end, &workspace_);
      return;
    case Kind::kAttend:
      return block_.Attend(piece.begin, piece.end, &workspace_);
    case Kind::kFinish:
      block_.Finish(tower_.blocks[Size(piece.index)], hidden, piece.begin, piece.end, &workspace_);
      return;
    case Kind::kBlockEnd:
      return Report(context_, {layout_.n_patches, config.hidden}, hidden, "vision.block.{}",
                    piece.index);
    case Kind::kMerge:
      return Merge(piece);
  }
}

bool VisionRun::RunPiece() {
  if (done()) return true;
  const Piece& piece = pieces_[next_];
  const double start = Now();
  Run(piece);
  seconds_ += Now() - start;
  done_work_ += piece.work;
  ++next_;
  return done();
}

bool VisionRun::RunFor(double seconds) {
  const double start = Now();
  while (!RunPiece()) {
    const double next = done_work_ > 0 ? pieces_[next_].work * seconds_ / done_work_ : 0;
    if (Now() - start + next / 2 > seconds) return false;
  }
  return true;
}

double VisionRun::Progress() const { return done() ? 1 : done_work_ / work_; }

VisionOutput VisionRun::Take() {
  if (!done()) throw InternalError("a run of the vision tower is taken before its end");
  return std::move(output_);
}

}  // namespace ingot
