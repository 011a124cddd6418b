// SPDX-License-Identifier: Apache-2.0
// --dry-run of quantize: counts the work by preparing the samples, and measures this machine for
// half a second.
#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

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

constexpr double kDiskBytesPerSecond = 300e6;  // a plain local disk
// What the search for the scale of a weight, its rounding and the measurement of its error cost, in
// floating point operations of a product: measured on the 2b shape.
constexpr double kWeightFlops = 4000;

uint64_t QuantizedWeights(const QuantPlan& plan) {
  uint64_t weights = 0;
  for (const PlanLinear& linear : plan.linears) {
    if (linear.type != LinearType::kFloat)
      weights += static_cast<uint64_t>(linear.spec.out * linear.spec.in);
  }
  return weights;
}

// Floating point operations a second of the kernels on a text-layer-like product, in the run's
// precision.
double MeasureFlops(Precision precision) {
  constexpr int64_t kRows = 256, kIn = 1024, kOut = 1024;
  const LinearSpec spec{
      .module = "measure", .kind = LinearKind::kQ, .out = kOut, .in = kIn, .site = "measure"};
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

// Bytes (or weights, 1 byte each) of the largest block of a part.
struct BlockWeights {
  uint64_t all = 0, quantized = 0,
           largest = 0;      // weights; of the quantized linears; of the largest linear
  uint64_t packed = 0;       // float weights that are multiplied with as they are
  uint64_t site_values = 0;  // inputs of a token that are kept as samples
};

BlockWeights WeightsOf(const QuantPlan& plan, TensorPart part) {
  std::map<int64_t, BlockWeights> blocks;
  std::set<std::string> sites;
  for (const PlanLinear& linear : plan.linears) {
    if (linear.spec.part != part || linear.spec.kind == LinearKind::kLmHead) continue;
    BlockWeights& block = blocks[linear.spec.layer];
    const auto weights = static_cast<uint64_t>(linear.spec.out * linear.spec.in);
    block.all += weights;
    block.largest = std::max(block.largest, weights);
    if (linear.type == LinearType::kFloat) continue;
    block.quantized += weights;
    if (sites.insert(linear.spec.site).second)
      block.site_values += static_cast<uint64_t>(linear.spec.in);
  }
  BlockWeights most;
  for (const auto& [layer, block] : blocks) {
    if (block.all > most.all) most = block;
  }
  return most;
}

// What stays of the weights of one block: its mapped pages, the codes, those of a linear once more
// while they are made and written, and with packed weights both kinds again. V0 holds
// half-precision copies, and float32 ones of a linear at a time.
uint64_t WeightBytes(const QuantPlan& plan, const BlockWeights& block, bool packed) {
  if (plan.method == Method::kV0) return 2 * block.all + 2 * block.quantized + 5 * block.largest;
  const uint64_t codes = block.quantized > 0 ? block.quantized + 3 * block.largest : 0;
  return 2 * block.all + codes + (packed ? 2 * block.all - block.quantized : 0);
}

struct Largest {
  int64_t tokens = 0, patches = 0;  // of one sample
  uint64_t copied = 0;              // bytes of the largest tensor that is copied
};

// Peak resident memory above what the program and its tokenizer take: preparing a sample, or one
// block with its weights and the activations of the largest sample, with a piece of a tensor that
// is being copied beside it.
uint64_t PeakBytes(const ModelConfig& config, const QuantPlan& plan, const DryRun& run,
                   const Largest& largest) {
  constexpr uint64_t kSampleRows = 256, kHistograms = 2u << 20, kPiece = 32u << 20;
  const auto tokens = static_cast<uint64_t>(largest.tokens),
             patches = static_cast<uint64_t>(largest.patches);
  const auto n = static_cast<uint64_t>(std::max<int64_t>(run.n_samples, 1));
  const auto d = static_cast<uint64_t>(config.vision.hidden),
             m = static_cast<uint64_t>(config.vision.intermediate);
  // Pixels as values twice and as rows of products; patch embeddings.
  const uint64_t prepare =
      patches * (10 * static_cast<uint64_t>(config.vision.patch_values()) + 4 * d);
  const auto rows = [&](const BlockWeights& block, uint64_t all_rows) {
    const uint64_t modalities = run.n_pictures > 0 ? 2 : 1;
    return block.site_values *
               (4 * std::min(modalities * kSampleRows, all_rows) + 4 * kSampleRows) +
           (block.site_values > 0 ? 3 * kHistograms : 0);
  };
  const TextConfig& t = config.text;
  const auto h = static_cast<uint64_t>(t.hidden), q = static_cast<uint64_t>(t.n_heads * t.head_dim);
  const auto kv = static_cast<uint64_t>(t.n_kv_heads * t.head_dim),
             i = static_cast<uint64_t>(t.intermediate);
  const BlockWeights text = WeightsOf(plan, TensorPart::kText),
                     vision = WeightsOf(plan, TensorPart::kVision);
  const auto all_tokens = static_cast<uint64_t>(run.n_tokens),
             all_patches = static_cast<uint64_t>(run.n_patches);
  const uint64_t text_bytes = WeightBytes(plan, text, PacksWeights(n, all_tokens)) +
                              rows(text, all_tokens) +
                              tokens * std::max(8 * h + 8 * q + 12 * kv, 8 * h + 10 * i);
  const uint64_t vision_bytes =
      patches == 0 ? 0
                   : WeightBytes(plan, vision, PacksWeights(n, all_patches)) +
                         rows(vision, all_patches) + patches * (8 * d + std::max(20 * d, 6 * m));
  return std::max(prepare, std::min(largest.copied, kPiece) + std::max(text_bytes, vision_bytes));
}

// Prepares the samples; bad ones are named and left out.
void CountSamples(const ModelReader& reader, const QuantPlan& plan, const Dataset& data,
                  const PromptBuilder& builder, DryRun* run, Largest* largest) {
  const ModelConfig& config = reader.config();
  const double passes_text = Passes(plan, TensorPart::kText);
  const double passes_vision = Passes(plan, TensorPart::kVision);
  const auto n_mergers = static_cast<double>(1 + config.vision.deepstack_indexes.size());
  Progress progress("dry run", "samples", data.samples.size());
  for (const Sample& sample : data.samples) {
    progress.Advance(1, sample.id);
    try {
      const CalibrationSample counted = MakeSample(sample.id, builder.Build(sample.conversation));
      ++run->n_samples;
      run->n_pictures += static_cast<int64_t>(counted.images.size() + counted.videos.size());
      run->n_tokens += counted.n_tokens();
      run->n_patches += counted.n_patches();
      largest->tokens = std::max(largest->tokens, counted.n_tokens());
      largest->patches = std::max(largest->patches, counted.n_patches());
      run->flops += passes_text * static_cast<double>(config.text.n_layers) *
                    TextLayerFlops(config.text, counted.n_tokens());
      if (counted.n_patches() == 0) continue;
      run->flops += passes_vision * static_cast<double>(config.vision.depth) *
                    VisionBlockFlops(config.vision, counted.n_patches());
      run->flops += n_mergers * MergerFlops(config.vision, counted.n_patches());
    } catch (const Error& error) {
      LogWarning("calibration sample {}: {}", sample.id, error.what());
    }
  }
}

// Hidden states of all samples twice (before and after a block), the visual features twice.
uint64_t SpillBytes(const ModelConfig& config, const DryRun& run) {
  const auto merged =
      static_cast<uint64_t>(run.n_patches / (config.vision.merge * config.vision.merge));
  const uint64_t features = 1 + config.vision.deepstack_indexes.size();
  return sizeof(float) * (2 * static_cast<uint64_t>(run.n_patches * config.vision.hidden) +
                          2 * static_cast<uint64_t>(run.n_tokens * config.text.hidden) +
                          2 * merged * features * static_cast<uint64_t>(config.text.hidden));
}

}  // namespace

DryRun PlanQuantize(const ModelReader& reader, const QuantPlan& plan, const Dataset& data,
                    const QuantizeOptions& options) {
  RequireQuantizable(reader);
  ValidatePlan(plan);
  const ModelConfig& config = reader.config();
  DryRun run;
  run.source_bytes = reader.data_bytes();
  run.output_bytes = PlannedBytes(reader, plan.layout, TypesByModule(plan));
  run.free_disk_bytes = FreeDiskBytes(options.out_dir);
  Largest largest;
  for (const LayoutTensor& tensor : PlannedTensors(reader, plan.layout, TypesByModule(plan))) {
    if (tensor.stored) largest.copied = std::max(largest.copied, LayoutBytes(tensor));
  }
  uint64_t program_bytes = PeakResidentBytes();
  if (!data.samples.empty()) {
    const PromptBuilder builder(reader.dir(), config, options.prompt);
    program_bytes = PeakResidentBytes();
    CountSamples(reader, plan, data, builder, &run, &largest);
  }
  run.spill_bytes = SpillBytes(config, run);
  run.peak_bytes = program_bytes + PeakBytes(config, plan, run, largest);
  if (plan.method == Method::kBalanced) {
    run.flops += kWeightFlops * static_cast<double>(QuantizedWeights(plan));
  }
  // Reading and writing go on beside the arithmetic.
  const double disk_seconds = static_cast<double>(run.output_bytes) / kDiskBytesPerSecond;
  run.seconds = std::max(run.flops / MeasureFlops(options.calibration.precision), disk_seconds);
  return run;
}

std::string DryRunJson(const DryRun& run, const QuantPlan& plan) {
  using Json = nlohmann::ordered_json;
  Json linears = Json::object();
  for (const auto& [kind, counts] : CountTypes(plan)) {
    linears[std::string(LinearKindName(kind))] = {
        {"float", counts[0]}, {"static", counts[1]}, {"dynamic", counts[2]}};
  }
  const Json json = {{"dry_run", true},
                     {"target", TargetName(plan.layout.target)},
                     {"method", MethodName(plan.method)},
                     {"run_dtype", DTypeName(plan.layout.options.run_dtype)},
                     {"linears", linears},
                     {"samples", run.n_samples},
                     {"pictures", run.n_pictures},
                     {"tokens", run.n_tokens},
                     {"patches", run.n_patches},
                     {"source_bytes", run.source_bytes},
                     {"output_bytes", run.output_bytes},
                     {"spill_bytes", run.spill_bytes},
                     {"free_disk_bytes", run.free_disk_bytes},
                     {"peak_bytes", run.peak_bytes},
                     {"flops", run.flops},
                     {"seconds", run.seconds}};
  return json.dump(1) + "\n";
}

}  // namespace ingot
