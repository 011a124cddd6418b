// SPDX-License-Identifier: Apache-2.0
// What `ingot compare` found, as plain data: report.json and, made from it alone, report.html. The
// field names of the JSON are those of web/report/src/types.ts; docs/formats/evaluation.md describes
// them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ingot {

inline constexpr std::string_view kCompareFormat = "ingot-compare";
inline constexpr int64_t kCompareVersion = 1;

struct ModelFigures {
  std::string dir, name;      // path as given; last component of it
  std::string format;         // FolderFormatName
  std::string precision;      // "f32", "bf16"
  std::string emulate;        // "none", "310p", "910b"
  uint64_t weight_bytes = 0;  // tensor data of the folder
  uint64_t peak_bytes = 0;    // resident memory while this model answered
  double load_seconds = 0, total_seconds = 0;
  std::optional<double> prefill_tokens_per_second, decode_tokens_per_second;
  std::optional<double> accuracy, exact_match, anls;  // over the samples with reference answers
};

struct PerModality {
  std::optional<double> text, vision;
};

// Hidden states of both models after one layer.
struct StageFigures {
  std::string name;  // observe name: "text.layer.3.next", "vision.block.0"
  std::string part;  // "text", "vision"
  int64_t layer = 0;
  PerModality sqnr_db;
};

// One linear of the second model against that of the first, on equal inputs.
struct LinearFigures {
  std::string module, kind, part;
  int64_t layer = -1;
  std::string exec;  // how the second model executes it: "float", "w8a8-static", ...
  PerModality sqnr_db;
  std::optional<PerModality> calibration_sqnr_db;  // from ingot_quant_report.json
  std::string reason;                              // from there: why it is float or dynamic
};

struct PictureFigures {
  std::string name;
  int64_t width = 0, height = 0;
  std::string thumbnail;  // "data:image/jpeg;base64,...", "" when left out
};

// One sample. The token lists run along the first model's own greedy answer; the last entry is the
// end of the answer when the model ended it.
struct SampleFigures {
  std::string id, kind, question;
  std::vector<std::string> references;  // without repetitions
  std::vector<PictureFigures> pictures;
  std::string text_a, text_b;  // each model's own answer
  std::vector<std::string> tokens;
  std::vector<std::optional<double>> kl;  // nats; nullopt where logits are not finite
  std::vector<bool> agree;                // both models' largest logit is at the same token
  std::optional<int64_t> first_divergence;
  std::optional<double> kl_mean, kl_max, top1_agree;
  std::optional<double> score_a, score_b;
};

struct KindFigures {
  std::string kind;
  int64_t n = 0;
  double accuracy_a = 0, accuracy_b = 0;
};

struct CompareTotals {
  int64_t n_samples = 0, n_scored = 0, n_tokens = 0;
  std::optional<double> kl_mean, kl_p50, kl_p90, kl_p99, kl_max, top1_agree;
  int64_t n_diverged = 0;
  std::optional<double> first_divergence_median;
  int64_t identical_texts = 0;
};

struct CompareReport {
  std::string program_version, created;  // created: UTC, "2026-01-20T10:00:00Z"
  std::vector<std::string> command;
  std::string data_path, data_description;
  int64_t max_tokens = 0, layer_samples = 0;
  std::string metric;  // what `accuracy` and `score_*` are: "VQA accuracy"
  bool ok = true;
  std::vector<std::string> findings;  // limits that are broken
  ModelFigures a, b;
  CompareTotals totals;
  std::vector<KindFigures> kinds;
  std::vector<StageFigures> stages;
  std::vector<LinearFigures> linears;
  std::vector<SampleFigures> samples;
  std::vector<std::string> notes;
};

// Fills kl_mean, kl_max, top1_agree and first_divergence of a sample from its token lists.
void SummarizeSample(SampleFigures* sample);
// Fills `totals` and `kinds` (largest first) and the models' accuracy from the samples.
void SummarizeReport(CompareReport* report);

// What a reader should know although no limit is broken: the accuracy falls, many tokens differ,
// linears with little signal above their noise. Made from the figures alone.
std::vector<std::string> RemarksOn(const CompareReport& report);

std::string CompareReportJson(const CompareReport& report, bool pretty);
// Errors: FormatError naming `file` and the field.
CompareReport ParseCompareReport(std::string_view json, const std::string& file);

// The self-contained page. Depends on the report alone.
std::string RenderReportPage(const CompareReport& report);

// JSON made safe inside a <script> element: no '<', no line separators that old JavaScript ends a
// string at.
std::string EscapeJsonForScript(std::string_view json);

}  // namespace ingot
