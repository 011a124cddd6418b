// SPDX-License-Identifier: Apache-2.0
// What a model folder is, whether it is sound, and what it needs. Every rule of the checklist runs
// as far as the folder allows; findings are collected, not thrown. Rules: docs/check.md and
// rules.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "check/garbage.h"
#include "checkpoint/quant_format.h"

namespace ingot {

enum class Severity { kNote, kWarning, kError };
std::string_view SeverityName(Severity severity);  // "note", "warning", "error"

// One thing that a rule found. Rule 0 holds for conditions outside the numbered list (an unfinished
// conversion).
struct Finding {
  int rule = 0;
  std::string id;  // "deq-encoding"; stable, for scripts
  Severity severity = Severity::kError;
  std::string where;  // file, tensor or module
  std::string found;  // what is there, and what was expected
  std::string why;    // what would happen
  std::string remedy;
};

// One engine and whether it reads this folder correctly as it stands.
struct EngineVerdict {
  std::string engine;  // "vllm-mindspore 310P"
  bool works = false;
  std::string command;  // when it works: the exact line
  std::string reason;   // when it does not
};

struct CheckOptions {
  std::filesystem::path source;         // float model to compare with; empty: none
  std::optional<FolderFormat> profile;  // what the folder should be; default: what it looks like
  bool deep = false;                    // float folders: also look at every value
  bool quick = false;                   // headers and small tensors only, no weight data
  int max_findings_per_rule = 8;        // further ones are counted
};

struct CheckReport {
  std::filesystem::path dir;
  std::optional<FolderFormat> format;  // nullopt: nothing that is known
  std::string what;                    // one sentence: model, format, run dtype, size
  std::vector<Finding> findings;       // errors first, then by rule
  std::vector<int> omitted;            // [rule]: findings beyond the limit
  std::vector<std::string> facts;      // figures worth knowing: "deq_scale on 310: ..."
  std::vector<EngineVerdict> engines;
  int64_t n_tensors = 0;
  uint64_t data_bytes = 0;
  int Count(Severity severity) const;
  bool sound() const {
    return Count(Severity::kError) == 0;
  }  // warnings do not make a folder unsound
};

// Errors: UserError only when `dir` (or `source`) is no readable folder. Everything else is a
// finding.
CheckReport CheckFolder(const std::filesystem::path& dir, const CheckOptions& options);

// How often the folder chooses the float model's next token when it is led along the float model's
// answers.
struct SourceAgreement {
  int64_t n_tokens = 0, n_same = 0;
};
// Judges generated answers and adds what they show (rule 25). An error that kept the model from
// answering is given as text.
void AddAnswers(std::span<const GeneratedText> answers,
                const std::optional<SourceAgreement>& agreement, CheckReport* report);
void AddRunFailure(const std::string& error, CheckReport* report);

std::string CheckReportText(const CheckReport& report);
std::string CheckReportJson(const CheckReport& report);

}  // namespace ingot
