// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "cli/serve_model.h"

#include "base/coded_error.h"
#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/machine_memory.h"
#include "check/check.h"
#include "checkpoint/model_reader.h"

namespace ingot::cli {
namespace {

// The value of --quantization that names this format.
std::string_view QuantizationOf(FolderFormat format) {
  switch (format) {
    case FolderFormat::kFloat:
      return "none";
    case FolderFormat::kAscendV0:
    case FolderFormat::kAscendV1:
      return "ascend";
    case FolderFormat::kGoldenStick310:
    case FolderFormat::kGoldenStick910:
      return "golden-stick";
    case FolderFormat::kCompressedTensors:
      return "compressed-tensors";
  }
  return "none";
}

void RequireFolder(const std::filesystem::path& dir) {
  std::error_code ignored;
  if (std::filesystem::is_directory(dir, ignored)) return;
  if (std::filesystem::exists(dir, ignored)) {
    throw NoModelError("{}: this is a file; expected a model folder.", dir.string());
  }
  throw NoModelError(
      "{}: there is no such folder. ingot downloads nothing: give the folder of a model that is on "
      "this machine.",
      dir.string());
}

[[noreturn]] void ThrowMismatch(const std::filesystem::path& dir, std::string_view asked,
                                std::string_view is, FolderFormat format) {
  if (asked == "none") {
    throw UserError(
        "--quantization none: {} holds int8 codes ({}); taken for weights they answer garbage. "
        "Leave the option out, or give --quantization {}. To see the garbage: "
        "--unsafe-load-as-float.",
        dir.string(), FolderFormatName(format), is);
  }
  if (is == "none") {
    throw UserError(
        "--quantization {}: {} is a float folder. Leave the option out, or quantize it first: "
        "ingot quantize.",
        asked, dir.string());
  }
  throw UserError(
      "--quantization {}: {} is a {} folder. Leave the option out, or give --quantization {}; "
      "ingot convert makes other formats.",
      asked, dir.string(), FolderFormatName(format), is);
}

}  // namespace

FolderFormat RequireServable(const std::filesystem::path& dir, const std::string& quantization,
                             bool load_as_float) {
  RequireFolder(dir);
  const CheckReport report = CheckFolder(dir, {.quick = true});
  if (!report.format) {
    throw UserError("{}: this is no model folder that can be served: {}", dir.string(),
                    report.findings.empty() ? "no weights were found." : report.findings[0].found);
  }
  const FolderFormat format = *report.format;
  if (load_as_float) {
    if (format == FolderFormat::kFloat) {
      throw UserError(
          "--unsafe-load-as-float: {} is a float folder; there are no codes to mistake.",
          dir.string());
    }
    return format;
  }
  for (const Finding& finding : report.findings) {
    if (finding.severity != Severity::kError) continue;
    throw FormatError("{}: {}: {} {} {} `ingot check {}` lists everything that is wrong.",
                      dir.string(), finding.where.empty() ? finding.id : finding.where,
                      finding.found, finding.why, finding.remedy, dir.string());
  }
  const std::string_view is = QuantizationOf(format);
  if (quantization != "auto" && quantization != is) ThrowMismatch(dir, quantization, is, format);
  for (const Finding& finding : report.findings) {
    if (finding.severity == Severity::kWarning) {
      LogWarning("{}: {} {}", finding.where.empty() ? finding.id : finding.where, finding.found,
                 finding.why);
    }
  }
  return format;
}

void RequireMemory(const std::vector<std::filesystem::path>& dirs, double utilization) {
  const MachineMemory machine = ReadMachineMemory();
  const auto budget = static_cast<uint64_t>(utilization * static_cast<double>(machine.limit));
  uint64_t weights = 0;
  std::string what;
  for (const std::filesystem::path& dir : dirs) {
    const uint64_t bytes = ModelReader(dir).data_bytes();
    weights += bytes;
    what += fmt::format("{}{} ({})", what.empty() ? "" : " and ", dir.string(), HumanBytes(bytes));
  }
  if (weights <= budget) return;
  throw ResourceError(
      "{}: the weights do not fit into memory: {} of {} may be used (--gpu-memory-utilization "
      "{}). Use a smaller or a quantized model, or raise the share or the limit of the container.",
      what, HumanBytes(budget), HumanBytes(static_cast<uint64_t>(machine.limit)), utilization);
}

}  // namespace ingot::cli
