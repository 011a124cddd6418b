// SPDX-License-Identifier: Apache-2.0
// A run of the vision tower that can be left and continued between pieces of bounded work, so that
// something else (decoding) fits in between. The same bits as in one go.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/vision_pieces.h"
#include "model/vision_tower.h"

namespace ingot {

class VisionRun {
 public:
  // `tower` and `input` must outlive the run. `context` is copied. Errors: UserError when pixels do
  // not fit the grids.
  VisionRun(const VisionTower& tower, const VisualInput& input, std::string_view modality,
            RunContext context);
  VisionRun(const VisionRun&) = delete;
  VisionRun& operator=(const VisionRun&) = delete;

  // One piece: some 50 ms of two cores or less. True when the output is complete.
  bool RunPiece();
  // Pieces until about `seconds` have passed: one at least, and none that would end later than that
  // by much.
  bool RunFor(double seconds);
  bool done() const { return next_ == pieces_.size(); }
  // Share of the arithmetic that is done, 0 to 1.
  double Progress() const;
  // Once, when done.
  VisionOutput Take();

 private:
  enum class Kind { kEmbed, kPositions, kProject, kAttend, kFinish, kBlockEnd, kMerge };
  struct Piece {
    Kind kind;
    int64_t index;  // block; kMerge: deepstack number, -1 for the main merger
    int64_t begin, end;
    double work;  // multiply-adds
  };
  void Plan();
  void PlanMerger(int64_t index);
  void Run(const Piece& piece);
  void Merge(const Piece& piece);

  const VisionTower& tower_;
  const VisualInput& input_;
  std::string modality_;
  RunContext context_;
  VisionLayout layout_;
  VisionPieces block_;
  VisionWorkspace workspace_;
  Scratch hidden_;
  VisionOutput output_;
  std::vector<Piece> pieces_;
  size_t next_ = 0;
  double work_ = 0, done_work_ = 0, seconds_ = 0;
};

}  // namespace ingot
