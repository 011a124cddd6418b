// SPDX-License-Identifier: Apache-2.0
// `ingot eval`: a model answers a data set, the answers are scored, in all and by kind of question.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "eval/prediction_log.h"
#include "prompt/dataset.h"

namespace ingot {

struct EvalOptions {
  int64_t max_tokens = 64;
  std::string instruction;        // added to every question
  std::filesystem::path out_dir;  // "": nothing is written
  bool skip_bad_samples = false;  // else a sample that cannot be read ends the run
};

struct EvalKind {
  std::string kind;
  int64_t n = 0;
  double vqa = 0, exact = 0, anls = 0;
};

struct EvalResult {
  std::string model, format, precision, emulate, data;
  int64_t n_samples = 0, n_scored = 0, n_resumed = 0;
  double vqa = 0, exact = 0, anls = 0;  // means over the scored samples
  std::vector<EvalKind> kinds;          // largest first
  std::vector<Prediction> predictions;  // in the order of the data
  std::vector<std::string> skipped;     // "id: why"
  double seconds = 0;                   // of this run
  uint64_t peak_bytes = 0;
};

// Answers greedily. Errors: InterruptedError says how to go on; those of Engine and PredictionLog.
EvalResult Evaluate(Engine& engine, const Dataset& dataset, const EvalOptions& options);

std::string EvalResultJson(const EvalResult& result);
std::string EvalResultTable(const EvalResult& result);  // for people

}  // namespace ingot
