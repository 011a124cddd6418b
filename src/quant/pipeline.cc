// SPDX-License-Identifier: Apache-2.0
#include "quant/pipeline.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <future>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "quant/float_copier.h"
#include "quant/folder_writer.h"
#include "quant/journal.h"
#include "quant/run_identity.h"
#include "quant/sample_preparer.h"
#include "quant/sample_store.h"
#include "quant/work_folder.h"
#include "quant/cost.h"

namespace ingot {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr size_t kFloatTwins = 5;  // samples on which act_method 3 judges a site, as the original

std::map<std::string, LinearType> TypesOf(const QuantPlan& plan) {
  std::map<std::string, LinearType> types;
  for (const auto& linear : plan.linears) types[linear.spec.module] = linear.type;
  return types;
}

// One run from the first sample to the commit. The steps are in Run(), in the order of pipeline.h.
class QuantizeRun {
 public:
  QuantizeRun(const ModelReader& reader, const QuantPlan& plan, const Dataset& data, const QuantizeOptions& options)
      : reader_(reader),
        config_(reader.config()),
        plan_(plan),
        data_(data),
        options_(options),
        folder_(options.out_dir, RunFingerprint(reader, plan, data, options)),
        calibrator_(reader, plan, options.calibration),
        needs_data_(plan.AnyOf(LinearType::kStatic) || !data.samples.empty()),
        store_(folder_.dir(), config_) {}

  // Bad input is not mended by running the same command again: nothing is kept unless blocks are finished.
  void Discard() {
    progress_.reset();
    copier_.reset();
    for (auto* work : {&saving_, &writing_}) {
      if (work->valid()) work->wait();
    }
    writer_.reset();
    folder_.Discard();
  }

  QuantReport Run() {
    started_ = Clock::now();
    report_.source = reader_.dir().filename().empty() ? reader_.dir().parent_path().filename().string()
                                                      : reader_.dir().filename().string();
    report_.method = MethodName(plan_.method);
    report_.target = TargetName(plan_.layout.target);
    report_.run_dtype = DTypeName(plan_.layout.options.run_dtype);
    RestoreJournal();
    OpenWriter();
    copier_ = std::make_unique<FloatCopier>(reader_, writer_.get(), [this](const auto& names) {
      Append("copy up to " + names.back(), names, {});
    });
    if (needs_data_) {
      Timed("prepare", [&] { PrepareSamples(); });
      StartProgress();
      copier_->Start();
      Timed("vision", [&] { RunVision(); });
      Timed("text", [&] { RunText(); });
      RequireModalities(report_);
    } else {
      copier_->Start();
      Timed("round", [&] { QuantizeWithoutData(); });
    }
    progress_.reset();
    WaitForSaved();
    Timed("copy", [&] { CopyFloats(); });
    Timed("commit", [&] { Commit(); });
    return Finished();
  }

 private:
  // ---- journal -----------------------------------------------------------------------------------------------------------

  void RestoreJournal() {
    const std::string file = folder_.journal().path().string();
    for (const std::string& line : folder_.journal().entries()) {
      const Json json = Json::parse(line, nullptr, false);
      if (json.is_discarded() || !json.is_object()) {
        throw FormatError("{}: a line is no JSON. Delete {} to start afresh.", file, folder_.dir().string());
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
      LogNote("{}: going on after {} finished steps of an earlier run", folder_.dir().string(), done_.size());
    }
  }

  bool Done(const std::string& step) const { return done_.contains(step); }

  void Append(const std::string& step, const std::vector<std::string>& written, const BlockReport& block) {
    Json json{{"done", step}, {"written", written}, {"sites", Json::array()}, {"linears", Json::array()}};
    for (const auto& site : block.sites) json["sites"].push_back(SiteReportLine(site));
    for (const auto& linear : block.linears) json["linears"].push_back(LinearReportLine(linear));
    const std::lock_guard lock(journal_mutex_);
    folder_.journal().Append(json.dump());
  }

  // What the step wrote is on disk before the journal says so. That happens while the next step computes, which waits for
  // it (WaitForSaved) before it overwrites what this step has read.
  void MarkDone(const std::string& step, const BlockReport& block = {}) {
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

  // One linear is written while the next one is rounded.
  void WaitForWritten() {
    if (writing_.valid()) writing_.get();
  }
  void WaitForSaved() {
    if (saving_.valid()) saving_.get();
  }

  void StopIfInterrupted() const {
    if (!InterruptRequested()) return;
    throw InterruptedError("interrupted. What is finished is kept in {}: run the same command again to go on.",
                           folder_.dir().string());
  }

  // ---- prepare -----------------------------------------------------------------------------------------------------------

  void OpenWriter() {
    FolderWriter::Options writer_options;
    writer_options.mode = folder_.resumed() ? AtomicFile::Mode::kResume : AtomicFile::Mode::kFresh;
    writer_options.allow_overflow = plan_.method == Method::kV0;
    writer_options.v0_torch_dtype = options_.v0_torch_dtype;
    const bool v0_extremes =
        plan_.method == Method::kV0 && options_.calibration.act_method == V0ActMethod::kMinMax;
    if (v0_extremes) writer_options.v0_input_dtype = DType::kF16;  // that observer stays in float16 throughout
    FolderLayout layout = plan_.layout;
    if (options_.shard_bytes != 0) layout.options.shard_bytes = options_.shard_bytes;
    writer_ = std::make_unique<FolderWriter>(reader_, folder_.dir(), layout, TypesOf(plan_), writer_options);
    for (const auto& name : written_) writer_->MarkWritten(name);
  }

  void Skip(const std::string& id, const std::string& why) {
    skipped_.insert(id);
    report_.notes.push_back(fmt::format("skipped {}: {}", id, why));
  }

  void PrepareSamples() {
    if (Done("prepare")) return CountPictures();
    SamplePreparer preparer(reader_, data_, options_, &store_, &folder_.journal());
    preparer.Run(skipped_, [this] { StopIfInterrupted(); });
    for (const auto& [id, why] : preparer.skipped()) Skip(id, why);
    AddFloatTwins();
    MarkDone("prepare");
    CountPictures();
  }

  // act_method 3 looks at the float model first: the first samples once more, run without quantization.
  void AddFloatTwins() {
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

  bool UsesTwins() const {
    return plan_.method == Method::kV0 && options_.calibration.act_method == V0ActMethod::kMixed;
  }
  size_t TwinCount() const {
    if (!UsesTwins()) return 0;
    const size_t n = store_.samples().size();  // real + min(5, real)
    return n >= 2 * kFloatTwins ? kFloatTwins : n / 2;
  }

  void CountPictures() {
    const size_t real = store_.samples().size() - TwinCount();
    report_.samples = static_cast<int64_t>(real);
    for (size_t i = 0; i < real; ++i) {
      const auto& sample = store_.samples()[i];
      report_.pictures += static_cast<int64_t>(sample.images.size() + sample.videos.size());
    }
  }

  // ---- blocks ------------------------------------------------------------------------------------------------------------

  // Finished steps count as done.
  void StartProgress() {
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

  static std::string VisionStep(int64_t block) { return fmt::format("vision.block.{}", block); }
  static std::string TextStep(int64_t layer) { return fmt::format("text.layer.{}", layer); }

  BlockJob MakeJob(std::string name, std::vector<Linear*> linears, TensorPart part) {
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
      writing_ = std::async(std::launch::async, [this, spec, linear] { writer_->WriteLinear(spec, linear); });
      for (auto& name_written : writer_->LinearTensorNames(spec)) pending_.push_back(name_written);
    };
    return job;
  }

  void DropLinears(const std::vector<Linear*>& linears) {
    for (const Linear* linear : linears) reader_.Drop(linear->module + ".weight");
  }

  bool KeepsPacked(TensorPart part) const {
    uint64_t rows = 0;
    for (const auto& s : store_.samples()) {
      rows += static_cast<uint64_t>(part == TensorPart::kText ? s.n_tokens() : s.n_patches());
    }
    return PacksWeights(store_.samples().size(), rows);
  }

  void PrefetchNext(TensorPart part, int64_t layer) const {
    for (const PlanLinear& linear : plan_.linears) {
      if (linear.spec.part == part && linear.spec.layer == layer) reader_.Prefetch(linear.spec.module + ".weight");
    }
  }

  void Step(const std::string& step, BlockJob job) {
    job.run = [this, run = std::move(job.run)](size_t sample, const RunContext& context, bool keep) {
      if (keep) WaitForSaved();
      run(sample, context, keep);
    };
    const std::vector<Linear*> linears = job.linears;
    const BlockReport block = calibrator_.Calibrate(job);
    MarkDone(step, block);
    DropLinears(linears);
  }

  void Worked(TensorPart part, size_t sample, const std::string& name, bool first_pass) {
    if (progress_) progress_->Advance(meter_->Pass(part, store_.samples()[sample], first_pass), name);
    StopIfInterrupted();
  }

  // ---- vision ------------------------------------------------------------------------------------------------------------

  void RunVision() {
    for (int64_t block = 0; block < config_.vision.depth; ++block) {
      if (!Done(VisionStep(block))) RunVisionStep(block);
    }
    if (!Done("vision.merger")) RunMergerStep();
  }

  // A block and, where it is tapped, its deepstack merger.
  void RunVisionStep(int64_t index) {
    VisionBlock block = LoadVisionBlock(reader_, index);
    PrefetchNext(TensorPart::kVision, index + 1);
    const std::optional<int64_t> tap = DeepstackIndex(config_.vision, index);
    VisionMerger deepstack;
    std::vector<Linear*> linears{&block.qkv, &block.proj, &block.fc1, &block.fc2};
    if (tap) {
      deepstack = LoadDeepstackMerger(reader_, *tap);
      linears.insert(linears.end(), {&deepstack.fc1, &deepstack.fc2});
    }
    const std::string name = fmt::format("vision block {}/{}", index + 1, config_.vision.depth);
    BlockJob job = MakeJob(name, linears, TensorPart::kVision);
    job.run = [&](size_t sample, const RunContext& context, bool keep) {
      const auto& s = store_.samples()[sample];
      if (s.n_patches() == 0) return;
      std::vector<float> hidden = store_.ReadVision(sample, index);
      RunVisionBlock(config_.vision, block, MakeVisionLayout(config_.vision, s.grids()), hidden.data(), context);
      if (keep) store_.WriteVision(sample, index + 1, hidden);
      const bool wanted = keep || context.last_site == deepstack.fc1.site || context.last_site == deepstack.fc2.site;
      if (tap && wanted) RunMerger(sample, deepstack, hidden, 1 + *tap, context, keep);
      Worked(TensorPart::kVision, sample, name, !keep);
    };
    Step(VisionStep(index), job);
  }

  void RunMerger(size_t sample, const VisionMerger& merger, const std::vector<float>& hidden, int64_t feature,
                 const RunContext& context, bool keep) {
    const int64_t n_patches = store_.samples()[sample].n_patches();
    const int64_t rows = n_patches / (config_.vision.merge * config_.vision.merge);
    std::vector<float> out(static_cast<size_t>(rows * config_.vision.out_hidden));
    RunVisionMerger(config_.vision, merger, hidden.data(), n_patches, out.data(), context);
    if (keep) store_.WriteVisual(sample, feature, out);
  }

  void RunMergerStep() {
    VisionMerger merger = LoadVisionMerger(reader_);
    BlockJob job = MakeJob("vision merger", {&merger.fc1, &merger.fc2}, TensorPart::kVision);
    job.run = [&](size_t sample, const RunContext& context, bool keep) {
      if (store_.samples()[sample].n_patches() == 0) return;
      RunMerger(sample, merger, store_.ReadVision(sample, config_.vision.depth), 0, context, keep);
    };
    Step("vision.merger", job);
  }

  // ---- text --------------------------------------------------------------------------------------------------------------

  void RunText() {
    if (!Done("text.embed")) EmbedSamples();
    for (int64_t layer = 0; layer < config_.text.n_layers; ++layer) {
      if (!Done(TextStep(layer))) RunTextStep(layer);
    }
  }

  // Rows [first, first + count) of every visual feature, as the vision tower returns them.
  VisionOutput TowerOutput(size_t sample, int64_t first, int64_t count) const {
    const auto width = static_cast<size_t>(config_.text.hidden);
    VisionOutput output{.n_tokens = count};
    const size_t n_features = 1 + config_.vision.deepstack_indexes.size();
    for (size_t feature = 0; feature < n_features; ++feature) {
      const std::vector<float> all = store_.ReadVisual(sample, static_cast<int64_t>(feature));
      const auto begin = all.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(first) * width);
      std::vector<float> part(begin, begin + static_cast<std::ptrdiff_t>(static_cast<size_t>(count) * width));
      (feature == 0 ? output.embeds : output.deepstack.emplace_back()) = std::move(part);
    }
    return output;
  }

  int64_t MergedRows(const std::vector<GridThw>& grids) const {
    int64_t patches = 0;
    for (const auto& grid : grids) patches += grid[0] * grid[1] * grid[2];
    return patches / (config_.vision.merge * config_.vision.merge);
  }

  ModelInput InputOf(const CalibrationSample& sample) const {
    ModelInput input;
    input.token_ids = sample.ids;
    input.images.grids = sample.images;
    input.videos.grids = sample.videos;
    input.rule = options_.prompt.video_rule == VideoPrompt::kLegacy ? PositionRule::kLegacy : PositionRule::kV5;
    return input;
  }

  void EmbedSamples() {
    const Weight embedding = LoadEmbedding(reader_);
    for (size_t i = 0; i < store_.samples().size(); ++i) {
      const auto& sample = store_.samples()[i];
      const int64_t n_images = MergedRows(sample.images), n_videos = MergedRows(sample.videos);
      const VisionOutput images = TowerOutput(i, 0, n_images);
      const VisionOutput videos = TowerOutput(i, n_images, n_videos);
      const MergedPrompt merged = MergePrompt(config_, embedding, InputOf(sample), n_images > 0 ? &images : nullptr,
                                              n_videos > 0 ? &videos : nullptr);
      store_.WriteText(i, 0, merged.hidden);
      for (size_t k = 0; k < merged.deepstack.size(); ++k) {
        store_.WriteMerged(i, static_cast<int64_t>(k), merged.deepstack[k]);
      }
    }
    reader_.Drop(embedding_name());
    MarkDone("text.embed");
  }

  std::string embedding_name() const {
    for (const TensorSpec& spec : TensorTable(config_, true)) {
      if (spec.role == TensorRole::kEmbedding) return spec.name;
    }
    throw InternalError("quantize: the tensor table has no embedding");
  }

  RopeTable RopeOf(const CalibrationSample& sample) const {
    const ModelInput input = InputOf(sample);
    const RopePositions positions =
        TextPositions(config_, sample.ids, sample.images, sample.videos, input.rule);
    return MakeTextRope(config_.text, positions, 0, sample.n_tokens());
  }

  void AddDeepstack(size_t sample, int64_t layer, std::vector<float>* hidden) const {
    if (layer >= static_cast<int64_t>(config_.vision.deepstack_indexes.size())) return;
    const auto& modality = store_.samples()[sample].modality;
    std::vector<int64_t> rows;
    for (size_t i = 0; i < modality.size(); ++i) {
      if (modality[i] == Modality::kVision) rows.push_back(static_cast<int64_t>(i));
    }
    if (rows.empty()) return;
    AddToRows(hidden->data(), config_.text.hidden, rows, store_.ReadMerged(sample, layer).data());
  }

  void RunTextStep(int64_t index) {
    DecoderLayer layer = LoadDecoderLayer(reader_, index);
    PrefetchNext(TensorPart::kText, index + 1);
    const std::string name = fmt::format("text layer {}/{}", index + 1, config_.text.n_layers);
    BlockJob job = MakeJob(name, {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down},
                           TensorPart::kText);
    job.run = [&](size_t sample, const RunContext& context, bool keep) {
      const auto& s = store_.samples()[sample];
      std::vector<float> hidden = store_.ReadText(sample, index);
      RunDecoderLayer(config_.text, layer, RopeOf(s), hidden.data(), s.n_tokens(), context);
      if (keep) {
        AddDeepstack(sample, index, &hidden);
        store_.WriteText(sample, index + 1, hidden);
      }
      Worked(TensorPart::kText, sample, name, !keep);
    };
    Step(TextStep(index), job);
  }

  // ---- without data, copy, commit ----------------------------------------------------------------------------------------

  // Dynamic linears only: the weights alone decide, each linear is loaded, rounded, written.
  void QuantizeWithoutData() {
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
      BlockReport report = calibrator_.QuantizeWithoutData(MakeJob(planned.spec.module, {&linear}, planned.spec.part));
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
  uint64_t BytesToRound(const PlanLinear& linear) const {
    if (linear.type == LinearType::kFloat || writer_->IsWritten(linear.spec.module + ".weight")) return 0;
    return static_cast<uint64_t>(linear.spec.out * linear.spec.in);
  }

  void CopyFloats() {
    copier_->Finish();
    StopIfInterrupted();
    copier_.reset();
  }

  void Commit() {
    report_.source_bytes = reader_.data_bytes();
    report_.output_bytes = writer_->data_bytes();
    AddFloatLinears();
    writer_->Commit();
    if (options_.report_in_folder) {
      WriteFileAtomically(folder_.dir() / std::string(kReportName), ReportJson(report_));
    }
    writer_.reset();
    SampleStore::Remove(folder_.dir());
    folder_.Publish();
  }

  // Linears that stay float are in the report with their reason; all in module order.
  void AddFloatLinears() {
    std::map<std::string, LinearReport> by_module;
    for (auto& linear : report_.linears) by_module[linear.module] = std::move(linear);
    report_.linears.clear();
    for (const PlanLinear& planned : plan_.linears) {
      const auto it = by_module.find(planned.spec.module);
      if (it != by_module.end()) {
        report_.linears.push_back(std::move(it->second));
        continue;
      }
      LinearReport row;
      row.module = planned.spec.module;
      row.kind = planned.spec.kind;
      row.layer = planned.spec.layer;
      row.site = planned.spec.site;
      row.reason = planned.reason;
      report_.linears.push_back(std::move(row));
    }
  }

  QuantReport Finished() {
    report_.total_seconds = std::chrono::duration<double>(Clock::now() - started_).count();
    report_.peak_bytes = PeakResidentBytes();
    report_.stages = std::move(stages_);
    return std::move(report_);
  }

  template <typename Body>
  void Timed(const char* stage, Body body) {
    const auto begin = Clock::now();
    body();
    stages_.push_back({stage, std::chrono::duration<double>(Clock::now() - begin).count()});
  }

  const ModelReader& reader_;
  const ModelConfig& config_;
  const QuantPlan& plan_;
  const Dataset& data_;
  const QuantizeOptions& options_;
  WorkFolder folder_;
  BlockCalibrator calibrator_;
  bool needs_data_;
  SampleStore store_;
  std::unique_ptr<FolderWriter> writer_;
  std::mutex journal_mutex_;
  std::unique_ptr<FloatCopier> copier_;
  std::unique_ptr<Progress> progress_;
  std::optional<WorkMeter> meter_;
  std::set<std::string> done_, skipped_;
  std::vector<std::string> written_, pending_;  // tensor names: from the journal; of the step that is going on
  QuantReport report_;
  std::vector<StageTime> stages_;
  Clock::time_point started_;
  // Of the last finished step, and of the last linear; destroyed, that is waited for, before what they use.
  std::future<void> saving_, writing_;
};

}  // namespace

QuantReport RunQuantize(const ModelReader& reader, const QuantPlan& plan, const Dataset& data,
                        const QuantizeOptions& options) {
  RequireQuantizable(reader);
  ValidatePlan(plan);
  if (plan.AnyOf(LinearType::kStatic) && data.samples.empty()) {
    throw UserError("the plan has static linears, whose activation ranges come from data: give pictures with --calib, or "
                    "--layers '*=dynamic' where the target allows it.");
  }
  QuantizeRun run(reader, plan, data, options);
  try {
    return run.Run();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kUser || error.kind() == ErrorKind::kFormat) run.Discard();
    throw;
  }
}

}  // namespace ingot
