// SPDX-License-Identifier: Apache-2.0
// The report of a quantization, ingot_quant_report.json: what was seen at every site, what every
// linear became and what that costs. Plain data; JSON only in report.cc.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/folder_layout.h"
#include "quant/linear_quant.h"
#include "quant/observer.h"

namespace ingot {

inline constexpr std::string_view kReportName = "ingot_quant_report.json";

struct SiteReport {
  std::string site;
  std::array<int64_t, kModalities> tokens{};
  std::array<std::optional<float>, kModalities> min{}, max{};  // exact extremes
};

struct LinearReport {
  std::string module;
  LinearKind kind = LinearKind::kQ;
  int64_t layer = -1;
  std::string site;
  LinearType type = LinearType::kFloat;
  std::string reason;  // why it stays float or is dynamic, "" for the plan's default
  // Static only.
  std::optional<float> range_lo, range_hi, scale, offset;
  std::optional<LinearQuality> quality;  // nullopt: not measured (float, or a run without data)
};

struct StageTime {
  std::string stage;
  double seconds = 0;
};

struct QuantReport {
  std::string source, method, target, run_dtype;
  int64_t samples = 0, pictures = 0;  // pictures and videos given to the calibration
  std::vector<SiteReport> sites;
  std::vector<LinearReport> linears;
  std::vector<StageTime> stages;
  double total_seconds = 0;
  uint64_t peak_bytes = 0;
  uint64_t source_bytes = 0, output_bytes = 0;  // tensor data
  std::vector<std::string> notes;               // skipped pictures, warnings
};

SiteReport ReportOf(const std::string& site, const SiteStatistics& statistics);
LinearReport ReportOf(const LinearSpec& spec, const QuantizedLinear& linear,
                      std::optional<LinearQuality> quality);

// Mean and worst SQNR over the linears of one kind.
struct KindSummary {
  LinearKind kind = LinearKind::kQ;
  int64_t n_float = 0, n_static = 0, n_dynamic = 0;
  std::array<std::optional<double>, kModalities> mean_sqnr_db{}, worst_sqnr_db{};
  std::array<std::string, kModalities> worst_module;
  std::optional<double> mean_weight_sqnr_db;
};
std::vector<KindSummary> SqnrByKind(const std::vector<LinearReport>& linears);

// UserError when pictures were given and some site of the decoder saw no vision token, or no text
// token at all: the placeholders were lost on the way, and the ranges would be wrong without anyone
// noticing.
void RequireModalities(const QuantReport& report);

std::string ReportJson(const QuantReport& report);
// Errors: FormatError naming `file` and the field.
QuantReport ParseReport(std::string_view json, const std::string& file);

// One line of JSON (no newline) for a journal, and back.
std::string SiteReportLine(const SiteReport& site);
std::string LinearReportLine(const LinearReport& linear);
SiteReport ParseSiteReport(std::string_view json, const std::string& file);
LinearReport ParseLinearReport(std::string_view json, const std::string& file);

}  // namespace ingot
