// SPDX-License-Identifier: Apache-2.0
// The numbered checklist as data, and the collector that rules report to. Numbers are stable; rule
// 0 is for what stands outside the list.
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "check/check.h"

namespace ingot {

struct Rule {
  int number;
  std::string_view id;
  std::string_view title;
  std::string_view why;     // default consequence
  std::string_view remedy;  // default remedy
};
inline constexpr int kAnswersRule = 25;  // judged from generated text (check --run), not from files
inline constexpr int kNumRules = 25;
const std::array<Rule, kNumRules + 1>& Rules();

// Errors first, then by rule.
void SortFindings(std::vector<Finding>* findings);

// What a rule says: `why` and `remedy` fall back to the rule's own.
struct Observation {
  int rule = 0;
  Severity severity = Severity::kError;
  std::string where, found, why, remedy;
};

// Keeps the first findings of each rule and severity, counts the others.
class Findings {
 public:
  explicit Findings(int limit) : limit_(limit) {}
  void Add(Observation report);
  void Fact(std::string text) { facts_.push_back(std::move(text)); }
  int Errors() const { return errors_; }
  int ErrorsOf(int rule) const;
  void MoveInto(CheckReport* report);

 private:
  int limit_;
  int errors_ = 0;
  std::vector<Finding> findings_;
  std::vector<std::string> facts_;
  std::map<std::pair<int, Severity>, int> counts_;
};

}  // namespace ingot
