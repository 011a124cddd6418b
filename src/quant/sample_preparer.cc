// SPDX-License-Identifier: Apache-2.0
#include "quant/sample_preparer.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"

namespace ingot {
namespace {

// The reference answer follows the prompt, so that tokens as the model writes them are in the
// statistics too.
void AppendAnswer(const PromptBuilder& builder, const std::string& answer, PreparedPrompt* prompt) {
  const std::vector<int32_t> ids = builder.tokenizer().EncodeUser(answer);
  prompt->ids.insert(prompt->ids.end(), ids.begin(), ids.end());
  prompt->kinds.resize(prompt->ids.size(), TokenKind::kText);
}

}  // namespace

SamplePreparer::SamplePreparer(const ModelReader& reader, const Dataset& data,
                               const QuantizeOptions& options, SampleStore* store, Journal* journal)
    : reader_(reader), data_(data), options_(options), store_(store), journal_(journal) {}

void SamplePreparer::Run(const std::set<std::string>& skipped,
                         const std::function<void()>& checkpoint) {
  const PromptBuilder builder(reader_.dir(), reader_.config(), options_.prompt);
  const VisionPatchEmbed patch_embed = LoadVisionPatchEmbed(reader_);
  std::set<std::string> known(skipped);
  for (const auto& sample : store_->samples()) known.insert(sample.id);
  Progress progress("prepare", "samples", data_.samples.size());
  progress.SkipTo(known.size());
  for (const Sample& sample : data_.samples) {
    if (known.contains(sample.id)) continue;
    checkpoint();
    Prepare(builder, patch_embed, sample);
    progress.Advance(1, sample.id);
  }
  RefuseBadSamples();
  if (store_->samples().empty()) {
    throw UserError("{}: no calibration sample is usable. Give pictures with --calib.",
                    data_.description);
  }
}

void SamplePreparer::Prepare(const PromptBuilder& builder, const VisionPatchEmbed& patch_embed,
                             const Sample& sample) {
  try {
    PreparedPrompt prompt = builder.Build(sample.conversation);
    if (options_.with_answers && !sample.answers.empty())
      AppendAnswer(builder, sample.answers.front(), &prompt);
    Add(MakeSample(sample.id, prompt), AllPatches(prompt), patch_embed);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUser && error.kind() != ErrorKind::kFormat) throw;
    if (!options_.skip_bad_samples) {
      bad_.push_back({sample.id, error.what()});
      return;
    }
    LogWarning("skipped {}: {}", sample.id, error.what());
    journal_->Append(nlohmann::json{{"skipped", sample.id}, {"why", error.what()}}.dump(
        -1, ' ', false, nlohmann::json::error_handler_t::replace));
    skipped_.push_back({sample.id, error.what()});
  }
}

// All bad samples are named, so that one look at the folder mends it.
void SamplePreparer::RefuseBadSamples() const {
  if (bad_.empty()) return;
  constexpr const char* kRemedy = "or give --skip-bad-images to leave such samples out";
  if (bad_.size() == 1) {
    throw UserError("calibration sample {}: {} Remove it, {}.", bad_[0].first, bad_[0].second,
                    kRemedy);
  }
  for (const auto& [id, why] : bad_) LogWarning("calibration sample {}: {}", id, why);
  throw UserError("{}: {} of the {} samples cannot be used (listed above). Remove them, {}.",
                  data_.description, bad_.size(), data_.samples.size(), kRemedy);
}

void SamplePreparer::Add(CalibrationSample sample, const std::vector<float>& patches,
                         const VisionPatchEmbed& patch_embed) {
  const VisionConfig& vision = reader_.config().vision;
  const std::string line = SampleLine(sample);
  const std::vector<GridThw> grids = sample.grids();
  store_->Add(std::move(sample));
  if (!grids.empty()) {
    const VisionLayout layout = MakeVisionLayout(vision, grids);
    std::vector<float> hidden(static_cast<size_t>(layout.n_patches * vision.hidden));
    const RunContext context{
        .precision = options_.calibration.precision, .observe = {}, .hook = {}};
    RunVisionPatchEmbed(vision, patch_embed, layout, patches.data(), hidden.data(), context);
    store_->WriteVision(store_->samples().size() - 1, 0, hidden);
    store_->Sync();
  }
  journal_->Append(line);
}

}  // namespace ingot
