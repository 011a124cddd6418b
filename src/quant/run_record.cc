// SPDX-License-Identifier: Apache-2.0
// What a run keeps on disk while it goes on: the journal, the folder under its working name, the
// samples.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "quant/journal.h"
#include "quant/quantize_run.h"
#include "quant/sample_preparer.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

constexpr size_t kFloatTwins = 5;  // samples on which act_method 3 judges a site, as the original

}  // namespace

void QuantizeRun::RestoreJournal() {
  const std::string file = folder_.journal().path().string();
  for (const std::string& line : folder_.journal().entries()) {
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_discarded() || !json.is_object()) {
      throw FormatError("{}: a line is no JSON. Delete {} to start afresh.", file,
                        folder_.dir().string());
    }
    if (json.contains("sample")) store_.Add(ParseSampleLine(line, file));
    if (json.contains("skipped")) Skip(json["skipped"], json.value("why", ""));
    if (json.contains("done")) done_.insert(json["done"].get<std::string>());
    for (const auto& name : json.value("written", Json::array())) written_.push_back(name);
    for (const auto& site : json.value("sites", Json::array())) {
      report_.sites.push_back(ParseSiteReport(site.get<std::string>(), file));
    }
    for (const auto& linear : json.value("linears", Json::array())) {
      report_.linears.push_back(ParseLinearReport(linear.get<std::string>(), file));
    }
  }
  if (folder_.resumed() && !done_.empty()) {
    LogNote("{}: going on after {} finished steps of an earlier run", folder_.dir().string(),
            done_.size());
  }
}

void QuantizeRun::Append(const std::string& step, const std::vector<std::string>& written,
                         const BlockReport& block) {
  Json json{
      {"done", step}, {"written", written}, {"sites", Json::array()}, {"linears", Json::array()}};
  for (const auto& site : block.sites) json["sites"].push_back(SiteReportLine(site));
  for (const auto& linear : block.linears) json["linears"].push_back(LinearReportLine(linear));
  const std::lock_guard lock(journal_mutex_);
  folder_.journal().Append(json.dump());
}

void QuantizeRun::MarkDone(const std::string& step, const BlockReport& block) {
  WaitForWritten();
  WaitForSaved();
  copier_->ThrowIfFailed();
  saving_ = std::async(std::launch::async, [this, step, block, written = std::move(pending_)] {
    store_.Sync();
    writer_->Sync();
    Append(step, written, block);
  });
  pending_.clear();
  done_.insert(step);
  report_.sites.insert(report_.sites.end(), block.sites.begin(), block.sites.end());
  report_.linears.insert(report_.linears.end(), block.linears.begin(), block.linears.end());
}

void QuantizeRun::WaitForWritten() {
  if (writing_.valid()) writing_.get();
}
void QuantizeRun::WaitForSaved() {
  if (saving_.valid()) saving_.get();
}

void QuantizeRun::StopIfInterrupted() const {
  if (!InterruptRequested()) return;
  throw InterruptedError(
      "what is finished is kept in {}: run the same command again to go on.",
      folder_.dir().string());
}

void QuantizeRun::OpenWriter() {
  FolderWriter::Options writer_options;
  writer_options.mode = folder_.resumed() ? AtomicFile::Mode::kResume : AtomicFile::Mode::kFresh;
  writer_options.allow_overflow = plan_.method == Method::kV0;
  writer_options.v0_torch_dtype = options_.v0_torch_dtype;
  const bool v0_extremes =
      plan_.method == Method::kV0 && options_.calibration.act_method == V0ActMethod::kMinMax;
  if (v0_extremes)
    writer_options.v0_input_dtype = DType::kF16;  // that observer stays in float16 throughout
  FolderLayout layout = plan_.layout;
  if (options_.shard_bytes != 0) layout.options.shard_bytes = options_.shard_bytes;
  writer_ = std::make_unique<FolderWriter>(reader_, folder_.dir(), layout, TypesByModule(plan_),
                                           writer_options);
  for (const auto& name : written_) writer_->MarkWritten(name);
}

void QuantizeRun::Skip(const std::string& id, const std::string& why) {
  skipped_.insert(id);
  report_.notes.push_back(fmt::format("skipped {}: {}", id, why));
}

void QuantizeRun::PrepareSamples() {
  if (Done("prepare")) return CountPictures();
  SamplePreparer preparer(reader_, data_, options_, &store_, &folder_.journal());
  preparer.Run(skipped_, [this] { StopIfInterrupted(); });
  for (const auto& [id, why] : preparer.skipped()) Skip(id, why);
  AddFloatTwins();
  MarkDone("prepare");
  CountPictures();
}

// act_method 3 looks at the float model first: the first samples once more, run without
// quantization.
void QuantizeRun::AddFloatTwins() {
  if (!UsesTwins()) return;
  const size_t twins = std::min(kFloatTwins, store_.samples().size());
  for (size_t i = 0; i < twins; ++i) {
    CalibrationSample twin = store_.samples()[i];
    twin.id += " (float)";
    const std::string line = SampleLine(twin);
    store_.Add(std::move(twin));
    const std::vector<float> hidden = store_.ReadVision(i, 0);
    if (!hidden.empty()) store_.WriteVision(store_.samples().size() - 1, 0, hidden);
    folder_.journal().Append(line);
  }
}

bool QuantizeRun::UsesTwins() const {
  return plan_.method == Method::kV0 && options_.calibration.act_method == V0ActMethod::kMixed;
}
size_t QuantizeRun::TwinCount() const {
  if (!UsesTwins()) return 0;
  const size_t n = store_.samples().size();  // real + min(5, real)
  return n >= 2 * kFloatTwins ? kFloatTwins : n / 2;
}

void QuantizeRun::CountPictures() {
  const size_t real = store_.samples().size() - TwinCount();
  report_.samples = static_cast<int64_t>(real);
  for (size_t i = 0; i < real; ++i) {
    const auto& sample = store_.samples()[i];
    report_.pictures += static_cast<int64_t>(sample.images.size() + sample.videos.size());
  }
}

}  // namespace ingot
