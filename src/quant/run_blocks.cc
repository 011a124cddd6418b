// SPDX-License-Identifier: Apache-2.0
// What all blocks share: progress, the job of a step, and steps that need no data.
#include <fmt/format.h>

#include <iterator>
#include <utility>

#include "base/error.h"
#include "quant/quantize_run.h"

namespace ingot {

// Finished steps count as done.
void QuantizeRun::StartProgress() {
  meter_.emplace(config_, plan_, store_.samples());
  uint64_t total = 0, skipped = 0;
  const auto add = [&](const std::string& step, uint64_t work) {
    total += work;
    if (Done(step)) skipped += work;
  };
  for (int64_t block = 0; block < config_.vision.depth; ++block) {
    add(VisionStep(block), meter_->Block(TensorPart::kVision, block));
  }
  for (int64_t layer = 0; layer < config_.text.n_layers; ++layer) {
    add(TextStep(layer), meter_->Block(TensorPart::kText, layer));
  }
  progress_ = std::make_unique<Progress>("quantize", meter_->unit(), total);
  progress_->SkipTo(skipped);
}

std::string QuantizeRun::VisionStep(int64_t block) { return fmt::format("vision.block.{}", block); }
std::string QuantizeRun::TextStep(int64_t layer) { return fmt::format("text.layer.{}", layer); }

BlockJob QuantizeRun::MakeJob(std::string name, std::vector<Linear*> linears, TensorPart part) {
  BlockJob job{.name = std::move(name),
               .linears = std::move(linears),
               .n_samples = store_.samples().size(),
               .n_float_twins = TwinCount(),
               .pack_weights = KeepsPacked(part)};
  job.modality = [this, part](size_t sample, int64_t rows) {
    if (part == TensorPart::kText) return store_.samples()[sample].modality;
    return std::vector<Modality>(static_cast<size_t>(rows), Modality::kVision);
  };
  job.write = [this](const LinearSpec& spec, const QuantizedLinear& linear) {
    WaitForWritten();
    writing_ = std::async(std::launch::async,
                          [this, spec, linear] { writer_->WriteLinear(spec, linear); });
    for (auto& name_written : writer_->LinearTensorNames(spec)) pending_.push_back(name_written);
  };
  return job;
}

void QuantizeRun::DropLinears(const std::vector<Linear*>& linears) {
  for (const Linear* linear : linears) reader_.Drop(linear->module + ".weight");
}

bool QuantizeRun::KeepsPacked(TensorPart part) const {
  uint64_t rows = 0;
  for (const auto& s : store_.samples()) {
    rows += static_cast<uint64_t>(part == TensorPart::kText ? s.n_tokens() : s.n_patches());
  }
  return PacksWeights(store_.samples().size(), rows);
}

void QuantizeRun::PrefetchNext(TensorPart part, int64_t layer) const {
  for (const PlanLinear& linear : plan_.linears) {
    if (linear.spec.part == part && linear.spec.layer == layer)
      reader_.Prefetch(linear.spec.module + ".weight");
  }
}

void QuantizeRun::Step(const std::string& step, BlockJob job) {
  job.run = [this, run = std::move(job.run)](size_t sample, const RunContext& context, bool keep) {
    if (keep) WaitForSaved();
    run(sample, context, keep);
  };
  const std::vector<Linear*> linears = job.linears;
  const BlockReport block = calibrator_.Calibrate(job);
  MarkDone(step, block);
  DropLinears(linears);
}

void QuantizeRun::Worked(TensorPart part, size_t sample, const std::string& name, bool first_pass) {
  if (progress_) progress_->Advance(meter_->Pass(part, store_.samples()[sample], first_pass), name);
  StopIfInterrupted();
}

// Dynamic linears only: the weights alone decide, each linear is loaded, rounded, written.
void QuantizeRun::QuantizeWithoutData() {
  constexpr uint64_t kSavedWeights = 256u << 20;  // a portion: what an interruption may cost
  uint64_t total = 0, unsaved = 0;
  for (const PlanLinear& planned : plan_.linears) total += BytesToRound(planned);
  ByteProgress progress("quantize", total);
  BlockReport portion;
  for (const PlanLinear& planned : plan_.linears) {
    const uint64_t bytes = BytesToRound(planned);
    if (bytes == 0) continue;
    StopIfInterrupted();
    Linear linear = LoadLinear(reader_, planned.spec);
    BlockReport report =
        calibrator_.QuantizeWithoutData(MakeJob(planned.spec.module, {&linear}, planned.spec.part));
    std::move(report.linears.begin(), report.linears.end(), std::back_inserter(portion.linears));
    DropLinears({&linear});
    progress.Advance(bytes, planned.spec.module);
    unsaved += bytes;
    if (unsaved >= kSavedWeights) {
      MarkDone("rounded up to " + planned.spec.module, std::exchange(portion, {}));
      unsaved = 0;
    }
  }
  if (unsaved > 0) MarkDone("rounded", portion);
}

// Codes of a linear that is not in the output yet.
uint64_t QuantizeRun::BytesToRound(const PlanLinear& linear) const {
  if (linear.type == LinearType::kFloat || writer_->IsWritten(linear.spec.module + ".weight"))
    return 0;
  return static_cast<uint64_t>(linear.spec.out * linear.spec.in);
}

}  // namespace ingot
