// SPDX-License-Identifier: Apache-2.0
#include "check/check.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "check/checks.h"
#include "check/folder.h"

namespace ingot {
namespace {

// "Qwen3-VL, golden-stick-310, float16, 207 tensors, 4.7 MB".
std::string Sentence(const CheckedFolder& folder, const CheckReport& report) {
  const std::string model =
      folder.model ? std::string(FamilyName(folder.model->family)) : "unknown model";
  std::string format =
      folder.format ? std::string(FolderFormatName(*folder.format)) : "unknown format";
  if (folder.description)
    format += " (" + Printable(folder.description->model_quant_type, 40) + ")";
  const std::string dtype =
      folder.torch_dtype.empty() ? "no dtype in config.json" : Printable(folder.torch_dtype, 40);
  return fmt::format("{}, {}, {}, {} tensors, {}", model, format, dtype, report.n_tensors,
                     HumanBytes(report.data_bytes));
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
      throw UserError(
          "{}: is no readable float model. Give the model that was quantized with --source.",
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

void AddRunFailure(const std::string& error, CheckReport* report) {
  const Rule& rule = Rules()[kAnswersRule];
  report->findings.push_back({kAnswersRule, std::string(rule.id), Severity::kError,
                              report->dir.string(), error, "the model does not even start",
                              std::string(rule.remedy)});
  SortFindings(&report->findings);
}

namespace {

// A quantized model follows its source nearly always; half is what a wrong factor in one layer
// leaves.
constexpr double kGarbageAgreement = 0.5, kPoorAgreement = 0.8;
constexpr int64_t kEnoughTokens = 8;

void AddAgreement(const SourceAgreement& agreement, CheckReport* report) {
  const double share = static_cast<double>(agreement.n_same) /
                       static_cast<double>(std::max<int64_t>(agreement.n_tokens, 1));
  const std::string text =
      fmt::format("chooses the float model's next token in {} of {} places ({:.0f} %)",
                  agreement.n_same, agreement.n_tokens, 100 * share);
  if (agreement.n_tokens < kEnoughTokens || share >= kPoorAgreement) {
    report->facts.push_back(text);
    return;
  }
  const Rule& rule = Rules()[kAnswersRule];
  report->findings.push_back(
      {kAnswersRule, std::string(rule.id),
       share < kGarbageAgreement ? Severity::kError : Severity::kWarning, report->dir.string(),
       text, "the folder is another model than its source", std::string(rule.remedy)});
}

}  // namespace

void AddAnswers(std::span<const GeneratedText> answers,
                const std::optional<SourceAgreement>& agreement, CheckReport* report) {
  const Rule& rule = Rules()[kAnswersRule];
  const GarbageReport verdict = JudgeTexts(answers);
  for (const GeneratedText& answer : answers) {
    report->facts.push_back(
        fmt::format("answer to the {}: \"{}\"", answer.prompt_name, Printable(answer.text, 120)));
  }
  if (agreement) AddAgreement(*agreement, report);
  if (verdict.verdict == GarbageVerdict::kFine) {
    report->facts.push_back(fmt::format(
        "{} answers look like text (mean entropy at most {:.2f} of the largest possible)",
        answers.size(), verdict.mean_entropy_share));
  }
  const bool garbage = verdict.verdict == GarbageVerdict::kGarbage;
  for (const std::string& reason : verdict.reasons) {
    report->findings.push_back(
        {kAnswersRule, std::string(rule.id), garbage ? Severity::kError : Severity::kWarning,
         report->dir.string(), reason, std::string(rule.why), std::string(rule.remedy)});
  }
  SortFindings(&report->findings);
}

}  // namespace ingot
