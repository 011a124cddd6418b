// SPDX-License-Identifier: Apache-2.0
#include "check/check.h"

#include "base/error.h"
#include "base/files.h"
#include "check/checks.h"
#include "check/folder.h"

namespace ingot {
namespace {

// "Qwen3-VL, golden-stick-310, float16, 207 tensors, 4.7 MB".
std::string Sentence(const CheckedFolder& folder, const CheckReport& report) {
  const std::string model = folder.model ? std::string(FamilyName(folder.model->family)) : "unknown model";
  std::string format = folder.format ? std::string(FolderFormatName(*folder.format)) : "unknown format";
  if (folder.description) format += " (" + Printable(folder.description->model_quant_type, 40) + ")";
  const std::string dtype = folder.torch_dtype.empty() ? "no dtype in config.json" : Printable(folder.torch_dtype, 40);
  return fmt::format("{}, {}, {}, {} tensors, {}", model, format, dtype, report.n_tensors, HumanBytes(report.data_bytes));
}

void RequireFolder(const std::filesystem::path& dir, const char* what) {
  if (std::filesystem::is_directory(dir)) return;
  throw UserError("{}: is no folder. Give {}.", dir.string(), what);
}

}  // namespace

CheckReport CheckFolder(const std::filesystem::path& dir, const CheckOptions& options) {
  RequireFolder(dir, "the folder of a model");
  if (!options.source.empty()) RequireFolder(options.source, "the float model with --source");
  Findings findings(options.max_findings_per_rule);
  const CheckedFolder folder = OpenForCheck(dir, options.profile, &findings);
  CheckFiles(folder, &findings);
  CheckTensorTable(folder, &findings);
  CheckLabels(folder, &findings);
  CheckLinears(folder, options.quick, &findings);
  CheckConfig(folder, &findings);
  const bool look_at_values = folder.quantized() ? !options.quick : options.deep;
  if (look_at_values) CheckFloatValues(folder, &findings);
  CheckCompressedTensors(folder, &findings);
  if (!options.source.empty()) {
    Findings source_findings(1);
    const CheckedFolder source = OpenForCheck(options.source, std::nullopt, &source_findings);
    if (source.format != FolderFormat::kFloat || source_findings.ErrorsOf(1) > 0) {
      throw UserError("{}: is no readable float model. Give the model that was quantized with --source.",
                      options.source.string());
    }
    CheckAgainstSource(folder, source, options.quick, &findings);
  }
  CheckReport report;
  report.dir = dir;
  report.format = folder.format;
  report.n_tensors = static_cast<int64_t>(folder.tensors.size());
  for (const auto& file : folder.weights) report.data_bytes += file->data_bytes();
  report.what = Sentence(folder, report);
  report.engines = JudgeEngines(folder, findings);
  findings.MoveInto(&report);
  return report;
}

}  // namespace ingot
