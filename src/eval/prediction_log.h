// SPDX-License-Identifier: Apache-2.0
// predictions.jsonl: one line a sample, written as soon as it is answered. A later run with the
// same model, settings and sample (the key) finds the line and does not ask again; lines of other
// runs stay.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace ingot {

struct Prediction {
  std::string key;  // of model, settings and sample
  std::string id, kind, question, text;
  std::vector<std::string> references;
  double vqa = 0, exact = 0, anls = 0;  // without references: 0, not counted
  std::string finish_reason;
  int64_t prompt_tokens = 0, output_tokens = 0;
  double seconds = 0;
};

std::string PredictionLine(const Prediction& prediction);  // JSON without newline
// Errors: FormatError beginning with `where`.
Prediction ParsePrediction(const std::string& line, const std::string& where);

class PredictionLog {
 public:
  // Reads what is there. A last line without its newline is the trace of a crash and is cut off.
  // Errors: FormatError on any other broken line (names it), ResourceError when the file cannot be
  // written.
  explicit PredictionLog(const std::filesystem::path& path);
  ~PredictionLog();
  PredictionLog(const PredictionLog&) = delete;
  PredictionLog& operator=(const PredictionLog&) = delete;

  const Prediction* Find(const std::string& key) const;  // the latest line of this key
  void Append(const Prediction& prediction);             // on disk when it returns

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  std::map<std::string, Prediction> by_key_;
};

}  // namespace ingot
