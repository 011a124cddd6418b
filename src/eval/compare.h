// SPDX-License-Identifier: Apache-2.0
// `ingot compare`: two folders on the same data, from the first answer to the report.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "eval/report.h"
#include "eval/token_compare.h"
#include "prompt/dataset.h"

namespace ingot {

struct CompareOptions {
  // For both models; emulation concerns W8A8 linears alone, the type of keys and values the model to
  // judge.
  EngineOptions engine;
  TokenCompareOptions tokens;
  int64_t layer_samples = 4;  // 0: no look inside the models
  std::filesystem::path out_dir;
  // What makes the comparison fail; nullopt: not judged.
  std::optional<double> min_top1_agree = 0.5, max_kl_mean, max_accuracy_drop;
  std::string program_version;
  std::vector<std::string> command;
};

// Runs everything and returns the report; writes nothing but a nameless work file in out_dir.
CompareReport Compare(const std::filesystem::path& a, const std::filesystem::path& b,
                      const Dataset& dataset, const std::string& data_path,
                      const CompareOptions& options);

// Fills report->ok and findings from the figures.
void JudgeReport(const CompareOptions& options, int64_t n_not_finite, CompareReport* report);

// report.json and report.html into `dir`.
void WriteReport(const CompareReport& report, const std::filesystem::path& dir);

std::string CompareTable(const CompareReport& report);  // for people, on a terminal

}  // namespace ingot
