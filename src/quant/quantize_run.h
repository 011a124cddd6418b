// SPDX-License-Identifier: Apache-2.0
// One quantization from the first sample to the commit, in the order of pipeline.h. Private to
// quant/: pipeline.cc has the order and the end, run_record.cc what is kept on disk on the way,
// run_blocks.cc what all blocks share, run_vision.cc and run_text.cc the blocks themselves.
#pragma once

#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/progress.h"
#include "quant/block_calibrator.h"
#include "quant/cost.h"
#include "quant/float_copier.h"
#include "quant/folder_writer.h"
#include "quant/pipeline.h"
#include "quant/sample_store.h"
#include "quant/work_folder.h"

namespace ingot {

class QuantizeRun {
 public:
  QuantizeRun(const ModelReader& reader, const QuantPlan& plan, const Dataset& data,
              const QuantizeOptions& options);

  QuantReport Run();
  // Bad input is not mended by running the same command again: nothing is kept unless blocks are
  // finished.
  void Discard();

 private:
  using Clock = std::chrono::steady_clock;

  // ---- what is on disk (run_record.cc)
  void RestoreJournal();
  bool Done(const std::string& step) const { return done_.contains(step); }
  void Append(const std::string& step, const std::vector<std::string>& written,
              const BlockReport& block);
  // What the step wrote is on disk before the journal says so. That happens while the next step
  // computes, which waits for it (WaitForSaved) before it overwrites what this step has read.
  void MarkDone(const std::string& step, const BlockReport& block = {});
  void WaitForWritten();  // one linear is written while the next one is rounded
  void WaitForSaved();
  void StopIfInterrupted() const;
  void OpenWriter();
  void Skip(const std::string& id, const std::string& why);

  // ---- samples (run_record.cc)
  void PrepareSamples();
  void AddFloatTwins();
  bool UsesTwins() const;
  size_t TwinCount() const;
  void CountPictures();

  // ---- blocks (run_blocks.cc)
  static std::string VisionStep(int64_t block);
  static std::string TextStep(int64_t layer);
  void StartProgress();
  BlockJob MakeJob(std::string name, std::vector<Linear*> linears, TensorPart part);
  void DropLinears(const std::vector<Linear*>& linears);
  bool KeepsPacked(TensorPart part) const;
  void PrefetchNext(TensorPart part, int64_t layer) const;
  void Step(const std::string& step, BlockJob job);
  void Worked(TensorPart part, size_t sample, const std::string& name, bool first_pass);
  void QuantizeWithoutData();
  uint64_t BytesToRound(const PlanLinear& linear) const;

  // ---- vision (run_vision.cc)
  void RunVision();
  void RunVisionStep(int64_t index);
  void RunMerger(size_t sample, const VisionMerger& merger, const std::vector<float>& hidden,
                 int64_t feature, const RunContext& context, bool keep);
  void RunMergerStep();

  // ---- text (run_text.cc)
  void RunText();
  VisionOutput TowerOutput(size_t sample, int64_t first, int64_t count) const;
  int64_t MergedRows(const std::vector<GridThw>& grids) const;
  ModelInput InputOf(const CalibrationSample& sample) const;
  void EmbedSamples();
  std::string embedding_name() const;
  RopeTable RopeOf(const CalibrationSample& sample) const;
  void AddDeepstack(size_t sample, int64_t layer, std::vector<float>* hidden) const;
  void RunTextStep(int64_t index);

  // ---- the end (pipeline.cc)
  void CopyFloats();
  void Commit();
  void AddFloatLinears();
  QuantReport Finished();

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
  // Tensor names: from the journal; of the step that is going on.
  std::vector<std::string> written_, pending_;
  QuantReport report_;
  std::vector<StageTime> stages_;
  Clock::time_point started_;
  // Of the last finished step, and of the last linear; destroyed, that is waited for, before what
  // they use.
  std::future<void> saving_, writing_;
};

}  // namespace ingot
