// SPDX-License-Identifier: Apache-2.0
// Quantize: from a float folder, a plan and calibration samples to a finished W8A8 folder, one
// block at a time.
//
//   prepare   each sample: template, tokens, patches, patch embedding -> spill file
//   vision    block by block: load, calibrate, write int8 tensors, run on all samples -> other
//   spill file; then mergers text      embed and merge, then layer by layer the same way copy
//   tensors that stay float commit    index, description, config, side files; the folder gets its
//   name
//
// Everything happens in "OUT.partial"; OUT appears at the end by one rename. After each step a
// journal line says what is on disk, so the same command goes on after a crash and gives the same
// bytes. Peak memory: one block and one sample.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/model_reader.h"
#include "prompt/dataset.h"
#include "prompt/prompt_builder.h"
#include "quant/block_calibrator.h"
#include "quant/plan.h"
#include "quant/report.h"

namespace ingot {

struct QuantizeOptions {
  std::filesystem::path out_dir;
  CalibrationOptions calibration;
  PromptOptions prompt;
  uint64_t shard_bytes = 0;  // 0 = the target's own
  bool skip_bad_samples =
      false;  // unreadable pictures are listed and left out instead of ending the run
  bool report_in_folder = true;  // ingot_quant_report.json (without times) goes into the folder
  bool with_answers =
      false;  // calibrate on the reference answers of the samples too, where there are any
  std::string v0_torch_dtype;  // what the original's --torch_dtype would write into config.json
};

// Errors: UserError (output folder not empty, no samples though the plan needs data, quantized
// source, ...), FormatError, ResourceError, InterruptedError (resumable).
QuantReport RunQuantize(const ModelReader& reader, const QuantPlan& plan, const Dataset& data,
                        const QuantizeOptions& options);

// The folder in which a run for `out_dir` works until it is finished.
std::filesystem::path WorkDir(const std::filesystem::path& out_dir);

// What a run would do, without doing it.
struct DryRun {
  uint64_t source_bytes = 0, output_bytes = 0, spill_bytes = 0, peak_bytes = 0, free_disk_bytes = 0;
  int64_t n_samples = 0, n_pictures = 0, n_tokens = 0, n_patches = 0;
  double flops = 0, seconds = 0;
};
// Prepares the samples (pictures are opened, so bad ones show) and measures the speed of this
// machine for half a second.
DryRun PlanQuantize(const ModelReader& reader, const QuantPlan& plan, const Dataset& data,
                    const QuantizeOptions& options);
std::string DryRunJson(const DryRun& run, const QuantPlan& plan);

}  // namespace ingot
