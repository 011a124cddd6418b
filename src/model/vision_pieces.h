// SPDX-License-Identifier: Apache-2.0
// A vision block cut into pieces of bounded work: rows up to the attention's inputs, queries, rows
// behind the attention. All of one kind before the next kind. Rows do not see each other but in the
// attention, so the cuts change no bits; a piece's rows stay in the cache from one linear to the
// next.
#pragma once

#include <cstdint>
#include <vector>

#include "model/vision_tower.h"

namespace ingot {

// Memory of a tower's run.
struct VisionWorkspace {
  Scratch attended;               // [N, D]: rotated queries, then what they attend to
  Scratch y, qkv, wide;           // of one piece
  std::vector<AttentionPages> kv;  // of each segment
  std::vector<AttentionStore> stores;
  std::vector<AttentionJob> jobs;
};

class VisionPieces {
 public:
  // All referenced ones must outlive this. With a hook or an observer a piece is the whole: they see
  // all rows at once.
  VisionPieces(const VisionConfig& config, const VisionLayout& layout, const RunContext& context);

  // Where rows and queries are cut: 0 ... N, multiples of the merged patches.
  const std::vector<int64_t>& rows() const { return rows_; }
  const std::vector<int64_t>& queries() const { return queries_; }

  // Makes room for keys and values.
  void Begin(VisionWorkspace* workspace) const;
  // Rows [begin, end): LN1, qkv, rotation; keys and values stored. False when a site was the last
  // wanted (RunContext::last_site), then there is nothing more to do in this block.
  bool Project(const VisionBlock& block, const float* hidden, int64_t begin, int64_t end,
               VisionWorkspace* workspace) const;
  // Queries [begin, end) against all keys of their segments.
  void Attend(int64_t begin, int64_t end, VisionWorkspace* workspace) const;
  // Rows [begin, end): x += proj(attended); x += fc2(gelu_tanh(fc1(LN2(x)))).
  bool Finish(const VisionBlock& block, float* hidden, int64_t begin, int64_t end,
              VisionWorkspace* workspace) const;

 private:
  AttentionLayout KvLayout() const;
  void StoreKeys(const float* qkv, int64_t begin, int64_t end, VisionWorkspace* workspace) const;
  const VisionConfig& config_;
  const VisionLayout& layout_;
  const RunContext& context_;
  std::vector<int64_t> rows_, queries_;
};

// The same for a merger as RunVisionMerger, with memory that is kept.
void RunVisionMerger(const VisionConfig& config, const VisionMerger& merger, const float* hidden,
                     int64_t n_patches, float* out, VisionWorkspace* workspace,
                     const RunContext& context);

// hidden[patch] += interpolated positions, for patches [begin, end) of the layout; `hidden` is that
// of patch 0.
void AddVisionPositions(const VisionConfig& config, const Weight& table,
                        const VisionLayout& layout, int64_t begin, int64_t end, float* hidden);

}  // namespace ingot
