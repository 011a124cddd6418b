// SPDX-License-Identifier: Apache-2.0
// --dry-run of quantize: counts the work by preparing the samples, and measures this machine for half a second.
#include <algorithm>
#include <chrono>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "model/linear.h"
#include "quant/cost.h"
#include "quant/folder_writer.h"
#include "quant/pipeline.h"
#include "quant/run_identity.h"
#include "quant/sample_store.h"

namespace ingot {
namespace {

using Clock = std::chrono::steady_clock;

// Floating point operations a second of the kernels on a text-layer-like product, in the run's precision.
double MeasureFlops(Precision precision) {
  constexpr int64_t kRows = 256, kIn = 1024, kOut = 1024;
  const LinearSpec spec{.module = "measure", .kind = LinearKind::kQ, .out = kOut, .in = kIn, .site = "measure"};
  Tensor weight(DType::kBF16, {kOut, kIn});
  for (size_t i = 0; i < weight.As<uint16_t>().size(); ++i) {
    weight.As<uint16_t>()[i] = static_cast<uint16_t>(0x3c00 + i % 97);
  }
  const Linear linear = MakeFloatLinear(spec, Weight::Own(std::move(weight)));
  const std::vector<float> x(kRows * kIn, 0.5f);
  std::vector<float> y(kRows * kOut);
  RunLinear(linear, x.data(), kRows, y.data(), precision);  // warm
  const auto begin = Clock::now();
  double seconds = 0;
  int runs = 0;
  while (seconds < 0.5) {
    RunLinear(linear, x.data(), kRows, y.data(), precision);
    ++runs;
    seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  return 2.0 * kRows * kIn * kOut * runs / seconds;
}

// Peak resident memory: the largest of one text layer (weights in the checkpoint's type, int8 codes twice while they are
// made) and one picture in the vision tower, with the activations of the largest sample beside it.
uint64_t PeakBytes(const ModelConfig& config, int64_t max_tokens, int64_t max_patches) {
  const uint64_t layer = 2 * TextLayerBytes(config.text);
  const auto tokens = static_cast<uint64_t>(max_tokens), patches = static_cast<uint64_t>(max_patches);
  const uint64_t text = 4 * tokens * static_cast<uint64_t>(4 * config.text.hidden + 3 * config.text.intermediate);
  const uint64_t vision =
      4 * patches * static_cast<uint64_t>(config.vision.patch_values() + 6 * config.vision.hidden +
                                          2 * config.vision.intermediate);
  constexpr uint64_t kProgram = 120u << 20;  // code, tokenizer, buffers
  return kProgram + std::max(layer + text, vision);
}

std::map<std::string, LinearType> TypesOf(const QuantPlan& plan) {
  std::map<std::string, LinearType> types;
  for (const auto& linear : plan.linears) types[linear.spec.module] = linear.type;
  return types;
}

}  // namespace

DryRun PlanQuantize(const ModelReader& reader, const QuantPlan& plan, const Dataset& data,
                    const QuantizeOptions& options) {
  RequireQuantizable(reader);
  ValidatePlan(plan);
  const ModelConfig& config = reader.config();
  DryRun run;
  run.output_bytes = PlannedBytes(reader, plan.layout, TypesOf(plan));
  run.free_disk_bytes = FreeDiskBytes(options.out_dir);
  const double passes_text = plan.method == Method::kBalanced && plan.Quantizes(TensorPart::kText) ? 2 : 1;
  const double passes_vision = plan.method == Method::kBalanced && plan.Quantizes(TensorPart::kVision) ? 2 : 1;
  int64_t max_tokens = 0, max_patches = 0;
  if (!data.samples.empty()) {
    const PromptBuilder builder(reader.dir(), config, options.prompt);
    Progress progress("dry run", "samples", data.samples.size());
    for (const Sample& sample : data.samples) {
      progress.Advance(1, sample.id);
      try {
        const CalibrationSample counted = MakeSample(sample.id, builder.Build(sample.conversation));
        ++run.n_samples;
        run.n_pictures += static_cast<int64_t>(counted.images.size() + counted.videos.size());
        run.n_tokens += counted.n_tokens();
        run.n_patches += counted.n_patches();
        max_tokens = std::max(max_tokens, counted.n_tokens());
        max_patches = std::max(max_patches, counted.n_patches());
        run.flops += passes_text * static_cast<double>(config.text.n_layers) *
                     TextLayerFlops(config.text, counted.n_tokens());
        if (counted.n_patches() > 0) {
          run.flops += passes_vision * static_cast<double>(config.vision.depth) *
                       VisionBlockFlops(config.vision, counted.n_patches());
          run.flops += static_cast<double>(1 + config.vision.deepstack_indexes.size()) *
                       MergerFlops(config.vision, counted.n_patches());
        }
      } catch (const Error& error) {
        LogWarning("calibration sample {}: {}", sample.id, error.what());
      }
    }
  }
  const auto merged = static_cast<uint64_t>(run.n_patches / (config.vision.merge * config.vision.merge));
  const uint64_t features = 1 + config.vision.deepstack_indexes.size();
  run.spill_bytes = sizeof(float) * (2 * static_cast<uint64_t>(run.n_patches * config.vision.hidden) +
                                     2 * static_cast<uint64_t>(run.n_tokens * config.text.hidden) +
                                     2 * merged * features * static_cast<uint64_t>(config.text.hidden));
  run.peak_bytes = PeakBytes(config, max_tokens, max_patches);
  const double disk_seconds = static_cast<double>(run.output_bytes + reader.data_bytes()) / 500e6;
  run.seconds = run.flops / MeasureFlops(options.calibration.precision) + disk_seconds;
  return run;
}

}  // namespace ingot
