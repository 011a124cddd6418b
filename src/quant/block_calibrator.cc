// SPDX-License-Identifier: Apache-2.0
#include "quant/block_calibrator.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"
#include "quant/folder_writer.h"
#include "quant/v0_rounding.h"
#include "quant/weight_search.h"

namespace ingot {
namespace {

// The original loads every Qwen3-VL as float16, whatever the checkpoint holds.
constexpr DType kV0Type = DType::kF16;

Tensor CodesTensor(const QuantizedLinear& linear) {
  Tensor codes(DType::kI8, {linear.out, linear.in});
  std::memcpy(codes.bytes().data(), linear.codes.data(), linear.codes.size());
  return codes;
}

}  // namespace

// What is kept of one site while its block is calibrated.
struct BlockCalibrator::Site {
  explicit Site(int64_t in) : statistics(in) {}
  SiteStatistics statistics;
  LinearType type = LinearType::kFloat;
  std::vector<double> column_norms;
  std::unique_ptr<BalancedObserver> balanced;  // static sites, method balanced
  std::unique_ptr<V0Observer> v0;              // static sites, method v0
  std::unique_ptr<V0RangeParam> range_param;   // act_method 3
};

BlockCalibrator::BlockCalibrator(const ModelReader& reader, const QuantPlan& plan, CalibrationOptions options)
    : reader_(reader), plan_(plan), options_(options), rules_(RulesFor(plan.layout)) {
  for (const auto& linear : plan.linears) by_module_[linear.spec.module] = &linear;
}

const LinearSpec& BlockCalibrator::SpecOf(const Linear& linear) const {
  const auto it = by_module_.find(linear.module);
  if (it == by_module_.end()) throw InternalError("calibrate: no plan entry for {}", linear.module);
  return it->second->spec;
}

LinearType BlockCalibrator::TypeOf(const Linear& linear) const { return by_module_.at(linear.module)->type; }

BlockCalibrator::Sites BlockCalibrator::MakeSites(const BlockJob& job) const {
  Sites sites;
  for (const Linear* linear : job.linears) {
    SpecOf(*linear);
    const LinearType type = TypeOf(*linear);
    if (type == LinearType::kFloat) continue;
    Site& site = sites.try_emplace(linear->site, linear->in).first->second;
    site.type = type;
    if (plan_.method == Method::kBalanced && type == LinearType::kStatic) {
      site.column_norms.resize(static_cast<size_t>(linear->in), 0.0);
      AddColumnNorms(linear->weight.view(), site.column_norms);
    }
  }
  for (auto& [name, site] : sites) {
    if (site.type != LinearType::kStatic) continue;
    if (plan_.method == Method::kBalanced) {
      site.balanced = std::make_unique<BalancedObserver>(site.column_norms);
    } else if (options_.act_method == V0ActMethod::kMixed) {
      site.range_param = std::make_unique<V0RangeParam>(site.statistics.in());
    } else {
      site.v0 = std::make_unique<V0Observer>(options_.act_method, kV0Type);
    }
  }
  return sites;
}

BlockReport BlockCalibrator::Calibrate(const BlockJob& job) const {
  Sites sites = MakeSites(job);
  if (sites.empty()) {
    Pack(job);
    const RunContext plain{.precision = options_.precision, .observe = {}, .hook = {}};
    for (size_t sample = 0; sample < job.n_samples; ++sample) job.run(sample, plain, true);
    return {};
  }
  return plan_.method == Method::kBalanced ? CalibrateBalanced(job, sites) : CalibrateV0(job, sites);
}

QuantizedLinear BlockCalibrator::Quantize(const Linear& linear, const ActivationParams& params,
                                          const SearchRows* rows) const {
  const bool is_static = TypeOf(linear) == LinearType::kStatic;
  const TensorInfo* bias_info = reader_.Find(linear.module + ".bias");
  TensorView bias_view;
  if (bias_info != nullptr) bias_view = reader_.View(linear.module + ".bias");
  const TensorView* bias = bias_info != nullptr ? &bias_view : nullptr;
  const TensorView& weight = linear.weight.view();
  if (plan_.method == Method::kV0) {
    return is_static ? V0QuantizeStatic(weight, bias, params, kV0Type, linear.module)
                     : V0QuantizeDynamic(weight, bias, kV0Type, linear.module);
  }
  return is_static ? QuantizeStatic(weight, bias, params, rules_, linear.module, rows)
                   : QuantizeDynamic(weight, bias, rules_, linear.module, rows);
}

void BlockCalibrator::Finish(const BlockJob& job, const Linear& original, const QuantizedLinear& quantized,
                             const SiteStatistics* statistics, BlockReport* report) const {
  const LinearSpec& spec = SpecOf(original);
  std::optional<LinearQuality> quality;
  if (statistics != nullptr) quality = MeasureLinear(original.weight.view(), quantized, *statistics);
  report->linears.push_back(ReportOf(spec, quantized, quality));
  report->linears.back().reason = by_module_.at(original.module)->reason;
  job.write(spec, quantized);
}

Linear BlockCalibrator::Executable(const Linear& original, const QuantizedLinear& quantized) const {
  const LinearSpec& spec = SpecOf(original);
  Weight codes = Weight::Own(CodesTensor(quantized));
  if (quantized.type == LinearType::kDynamic) {
    return MakeDynamicLinear(spec, std::move(codes), quantized.weight_scale, quantized.bias);
  }
  const float scale = quantized.input.scale;
  std::vector<float> outside_bias;
  if (!rules_.bias_in_quant_bias) outside_bias = quantized.bias;
  if (!quantized.input_vector.empty()) {
    return MakeStaticLinear(spec, std::move(codes), quantized.input_vector,
                            std::vector<float>(quantized.input_vector.size(), quantized.input.offset),
                            quantized.quant_bias, quantized.deq, std::move(outside_bias));
  }
  Linear linear = MakeStaticLinear(spec, std::move(codes), {scale}, {quantized.input.offset}, quantized.quant_bias,
                                   quantized.deq, std::move(outside_bias));
  const bool bf16 = rules_.input_scale == ScaleGrid::kBf16Reciprocal;
  if (bf16 || rules_.input_scale == ScaleGrid::kF16Reciprocal) {
    linear.reciprocal = true;
    linear.input_scale = {bf16 ? RoundToBf16(1.0f / scale) : RoundToF16(1.0f / scale)};
  }
  return linear;
}

// Scales by channel for the static sites that gain from them.
BlockCalibrator::VectorSites BlockCalibrator::ChooseVectors(const BlockJob& job, const Sites& sites,
                                                            const SiteParams& params) const {
  VectorSites vectors;
  if (!plan_.layout.options.vector_scales) return vectors;
  for (const auto& [name, input] : params) {
    std::vector<TensorView> weights;
    for (const Linear* linear : job.linears) {
      if (linear->site == name && TypeOf(*linear) == LinearType::kStatic) weights.push_back(linear->weight.view());
    }
    auto found = SearchVectorScales(sites.at(name).statistics, weights, input, rules_);
    if (found) vectors.emplace(name, std::move(*found));
  }
  return vectors;
}

// What the float block computes behind its last quantized linear's input is not needed: with down_proj float that is three
// quarters of a layer.
std::string_view BlockCalibrator::LastSite(const BlockJob& job) const {
  std::string_view site;
  for (const Linear* linear : job.linears) {
    if (TypeOf(*linear) != LinearType::kFloat) site = linear->site;
  }
  return site;
}

// Packs the linears before the site `end` ("": all), if the job asks for it.
void BlockCalibrator::Pack(const BlockJob& job, std::string_view end) const {
  if (!job.pack_weights) return;
  for (const Linear* linear : job.linears) {
    if (!end.empty() && linear->site == end) break;
    if (linear->exec != LinearExec::kFloat || options_.precision == Precision::kBF16) PackWeight(*linear);
  }
}

// Pass 1: float block up to its last site, observers at the sites. Pass 2: the block as the engine runs it, whose output the next block gets, so
// later scales see the errors of earlier blocks.
BlockReport BlockCalibrator::CalibrateBalanced(const BlockJob& job, Sites& sites) const {
  size_t sample = 0;
  RunContext observing{.precision = options_.precision, .observe = {}, .hook = {}};
  observing.hook = [&](std::string_view name, float* x, int64_t rows, int64_t cols) {
    const auto it = sites.find(name);
    if (it == sites.end()) return;
    const std::vector<Modality> modality = job.modality(sample, rows);
    const std::span<const float> values(x, static_cast<size_t>(rows * cols));
    it->second.statistics.Observe(values, modality);
    if (it->second.balanced) it->second.balanced->Observe(values, modality);
  };
  observing.last_site = LastSite(job);
  Pack(job, observing.last_site);
  for (sample = 0; sample < job.n_samples; ++sample) job.run(sample, observing, false);

  BlockReport report;
  SiteParams params;
  for (const auto& [name, site] : sites) {
    report.sites.push_back(ReportOf(name, site.statistics));
    if (site.balanced == nullptr) continue;
    if (site.balanced->non_finite() > 0) {
      throw UserError("{}: {} values of the input {} are NaN or infinite on the calibration data. The source weights are "
                      "damaged or overflow; run ingot check on the source.",
                      job.name, site.balanced->non_finite(), name);
    }
    params[name] = site.balanced->Params(rules_, options_.search_range).params;
  }
  const VectorSites vectors = ChooseVectors(job, sites, params);
  for (Linear* linear : job.linears) {
    if (TypeOf(*linear) == LinearType::kFloat) continue;
    const auto chosen = params.find(linear->site);
    ActivationParams input = chosen != params.end() ? chosen->second : ActivationParams{};
    const SiteStatistics* statistics = &sites.at(linear->site).statistics;
    Linear rounded = *linear;
    const auto vector = vectors.find(linear->site);
    if (vector != vectors.end()) {
      input = vector->second.params;
      statistics = &vector->second.statistics;
      rounded.weight = Weight::Own(ScaleColumns(linear->weight.view(), vector->second.factor));
    }
    std::optional<SearchRows> rows;
    if (options_.search_weights) rows = MakeSearchRows(*statistics, chosen != params.end() ? &input : nullptr);
    QuantizedLinear quantized = Quantize(rounded, input, rows ? &*rows : nullptr);
    if (vector != vectors.end()) quantized.input_vector = vector->second.input_scale;
    Finish(job, rounded, quantized, statistics, &report);
    *linear = Executable(*linear, quantized);
  }
  Pack(job);
  const RunContext plain{.precision = options_.precision, .observe = {}, .hook = {}};
  for (sample = 0; sample < job.n_samples; ++sample) job.run(sample, plain, true);
  return report;
}

// One pass, as msModelSlim's calibration: weights fake-quantized from the start, each sample first updates the observers and
// is then quantized with the scales known so far. With act_method 3 the float twins run first and choose the observers.
BlockReport BlockCalibrator::CalibrateV0(const BlockJob& job, Sites& sites) const {
  std::vector<Linear> originals;
  for (const Linear* linear : job.linears) originals.push_back(*linear);
  size_t sample = 0;
  const size_t n_real = job.n_samples - job.n_float_twins;
  RunContext context{.precision = Precision::kF32, .observe = {}, .hook = {}};
  context.hook = [&](std::string_view name, float* x, int64_t rows, int64_t cols) {
    const auto it = sites.find(name);
    if (it == sites.end()) return;
    Site& site = it->second;
    const std::span<float> values(x, static_cast<size_t>(rows * cols));
    for (float& value : values) value = RoundToF16(value);
    if (sample >= n_real) {
      if (site.range_param) site.range_param->Update(values);
      return;
    }
    site.statistics.Observe(values, job.modality(sample, rows));
    if (site.type == LinearType::kDynamic) return FakeQuantizeRows(values, cols, values);
    site.v0->Observe(values);
    V0FakeQuantizeActivations(values, site.v0->Params(), kV0Type, values);
  };
  for (sample = n_real; sample < job.n_samples; ++sample) job.run(sample, context, true);
  for (auto& [name, site] : sites) {
    if (site.range_param) site.v0 = std::make_unique<V0Observer>(site.range_param->Select(), kV0Type);
  }
  for (Linear* linear : job.linears) {
    if (TypeOf(*linear) == LinearType::kFloat) continue;
    std::vector<float> fake(static_cast<size_t>(linear->out * linear->in));
    V0FakeQuantizeWeight(linear->weight.view(), kV0Type, fake);
    linear->weight = Weight::Own(FromFloats(fake, kV0Type, {linear->out, linear->in}));
  }
  for (sample = 0; sample < n_real; ++sample) job.run(sample, context, true);

  BlockReport report;
  for (const auto& [name, site] : sites) report.sites.push_back(ReportOf(name, site.statistics));
  for (const Linear& original : originals) {
    if (TypeOf(original) == LinearType::kFloat) continue;
    const Site& site = sites.at(original.site);
    const QuantizedLinear quantized = Quantize(original, site.v0 ? site.v0->Params() : ActivationParams{}, nullptr);
    Finish(job, original, quantized, &site.statistics, &report);
  }
  return report;
}

BlockReport BlockCalibrator::QuantizeWithoutData(const BlockJob& job) const {
  BlockReport report;
  for (const Linear* linear : job.linears) {
    SpecOf(*linear);
    if (TypeOf(*linear) == LinearType::kFloat) continue;
    Finish(job, *linear, Quantize(*linear, {}, nullptr), nullptr, &report);
  }
  return report;
}

}  // namespace ingot
