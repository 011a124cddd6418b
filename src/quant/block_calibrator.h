// SPDX-License-Identifier: Apache-2.0
// Calibrates the linears of one block: runs the block on all samples with observers at its sites,
// chooses scales, rounds the weights, measures the damage, and runs the block once more as the
// engine will (method balanced), or does all of it in one pass with running scales (method v0, as
// the original tool).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/model_reader.h"
#include "model/linear.h"
#include "quant/balanced_observer.h"
#include "quant/linear_quant.h"
#include "quant/plan.h"
#include "quant/report.h"
#include "quant/v0_observer.h"
#include "quant/vector_scales.h"

namespace ingot {

struct CalibrationOptions {
  Precision precision = Precision::kF32;
  V0ActMethod act_method = V0ActMethod::kHistogram;  // method v0
  bool search_range = true;                          // method balanced: false = exact extremes
  bool search_weights = true;                        // method balanced: false = the largest weight gets code 127
};

// A block as the calibrator sees it.
struct BlockJob {
  std::string name;              // "text layer 3"
  std::vector<Linear*> linears;  // members of the loaded block in the order of their use; replaced while it is calibrated
  size_t n_samples = 0;
  size_t n_float_twins = 0;  // the last samples run unquantized; only v0 with act_method 3 has any
  bool pack_weights = false;  // keep the weights packed: many samples of few rows
  // Runs the block on one sample; `store` keeps the output for the next block.
  std::function<void(size_t sample, const RunContext& context, bool store)> run;
  // What the rows of a site are in this sample.
  std::function<std::vector<Modality>(size_t sample, int64_t rows)> modality;
  // Receives each finished linear.
  std::function<void(const LinearSpec&, const QuantizedLinear&)> write;
};

struct BlockReport {
  std::vector<SiteReport> sites;
  std::vector<LinearReport> linears;
};

class BlockCalibrator {
 public:
  // `reader` and `plan` must outlive the calibrator.
  BlockCalibrator(const ModelReader& reader, const QuantPlan& plan, CalibrationOptions options);
  BlockReport Calibrate(const BlockJob& job) const;
  // Linears that need no data (dynamic): rounds and writes them without a forward pass.
  BlockReport QuantizeWithoutData(const BlockJob& job) const;

 private:
  struct Site;
  using Sites = std::map<std::string, Site, std::less<>>;
  using SiteParams = std::map<std::string, ActivationParams, std::less<>>;
  using VectorSites = std::map<std::string, VectorScales, std::less<>>;
  const LinearSpec& SpecOf(const Linear& linear) const;
  LinearType TypeOf(const Linear& linear) const;
  std::string_view LastSite(const BlockJob& job) const;
  Sites MakeSites(const BlockJob& job) const;
  VectorSites ChooseVectors(const BlockJob& job, const Sites& sites, const SiteParams& params) const;
  void Pack(const BlockJob& job, std::string_view end = {}) const;
  BlockReport CalibrateBalanced(const BlockJob& job, Sites& sites) const;
  BlockReport CalibrateV0(const BlockJob& job, Sites& sites) const;
  QuantizedLinear Quantize(const Linear& linear, const ActivationParams& params, const SearchRows* rows) const;
  void Finish(const BlockJob& job, const Linear& original, const QuantizedLinear& quantized,
              const SiteStatistics* statistics, BlockReport* report) const;
  Linear Executable(const Linear& original, const QuantizedLinear& quantized) const;

  const ModelReader& reader_;
  const QuantPlan& plan_;
  CalibrationOptions options_;
  RuntimeRules rules_;
  std::map<std::string, const PlanLinear*, std::less<>> by_module_;
};

}  // namespace ingot
