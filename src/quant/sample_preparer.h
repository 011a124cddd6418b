// SPDX-License-Identifier: Apache-2.0
// First step of a quantize run: each sample becomes token ids, grids and the embedded patches of its pictures, which go to
// the sample store; its line goes to the journal.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/model_reader.h"
#include "prompt/dataset.h"
#include "quant/journal.h"
#include "quant/pipeline.h"
#include "quant/sample_store.h"

namespace ingot {

class SamplePreparer {
 public:
  // All must outlive the preparer.
  SamplePreparer(const ModelReader& reader, const Dataset& data, const QuantizeOptions& options, SampleStore* store,
                 Journal* journal);
  // Prepares the samples that are neither in the store nor in `skipped`. `checkpoint` is called before each and may throw.
  // Errors: UserError naming all samples that cannot be used (unless they may be skipped), or when none is left.
  void Run(const std::set<std::string>& skipped, const std::function<void()>& checkpoint);
  // Samples that Run has left out: id, why.
  const std::vector<std::pair<std::string, std::string>>& skipped() const { return skipped_; }

 private:
  void Prepare(const PromptBuilder& builder, const VisionPatchEmbed& patch_embed, const Sample& sample);
  void Add(CalibrationSample sample, const std::vector<float>& patches, const VisionPatchEmbed& patch_embed);
  void RefuseBadSamples() const;

  const ModelReader& reader_;
  const Dataset& data_;
  const QuantizeOptions& options_;
  SampleStore* store_;
  Journal* journal_;
  std::vector<std::pair<std::string, std::string>> bad_, skipped_;  // id, why
};

}  // namespace ingot
