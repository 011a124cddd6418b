// SPDX-License-Identifier: Apache-2.0
#include "quant/pipeline.h"

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "quant/quantize_run.h"
#include "quant/run_identity.h"

namespace ingot {

QuantizeRun::QuantizeRun(const ModelReader& reader, const QuantPlan& plan, const Dataset& data,
                         const QuantizeOptions& options)
    : reader_(reader),
      config_(reader.config()),
      plan_(plan),
      data_(data),
      options_(options),
      folder_(options.out_dir, RunFingerprint(reader, plan, data, options)),
      calibrator_(reader, plan, options.calibration),
      needs_data_(plan.AnyOf(LinearType::kStatic) || !data.samples.empty()),
      store_(folder_.dir(), config_) {}

QuantReport QuantizeRun::Run() {
  started_ = Clock::now();
  report_.source = reader_.dir().filename().empty()
                       ? reader_.dir().parent_path().filename().string()
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

void QuantizeRun::Discard() {
  progress_.reset();
  copier_.reset();
  for (auto* work : {&saving_, &writing_}) {
    if (work->valid()) work->wait();
  }
  writer_.reset();
  folder_.Discard();
}

void QuantizeRun::CopyFloats() {
  copier_->Finish();
  StopIfInterrupted();
  copier_.reset();
}

void QuantizeRun::Commit() {
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
void QuantizeRun::AddFloatLinears() {
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

QuantReport QuantizeRun::Finished() {
  report_.total_seconds = std::chrono::duration<double>(Clock::now() - started_).count();
  report_.peak_bytes = PeakResidentBytes();
  report_.stages = std::move(stages_);
  return std::move(report_);
}

QuantReport RunQuantize(const ModelReader& reader, const QuantPlan& plan, const Dataset& data,
                        const QuantizeOptions& options) {
  RequireQuantizable(reader);
  ValidatePlan(plan);
  if (plan.AnyOf(LinearType::kStatic) && data.samples.empty()) {
    throw UserError(
        "the plan has static linears, whose activation ranges come from data: give pictures with "
        "--calib, or --layers '*=dynamic' where the target allows it.");
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
