// SPDX-License-Identifier: Apache-2.0
// A check report as text for people and as JSON for scripts.
#include <nlohmann/json.hpp>
#include <numeric>

#include "check/check.h"
#include "check/rules.h"
#include "fmt/format.h"

namespace ingot {
namespace {

std::string Verdict(const CheckReport& report) {
  const int errors = report.Count(Severity::kError), warnings = report.Count(Severity::kWarning);
  const auto plural = [](int n, const char* word) {
    return fmt::format("{} {}{}", n, word, n == 1 ? "" : "s");
  };
  const int omitted = std::accumulate(report.omitted.begin(), report.omitted.end(), 0);
  std::string text = fmt::format("{}: {}, {}", report.sound() ? "sound" : "NOT sound",
                                 plural(errors, "error"), plural(warnings, "warning"));
  if (omitted > 0) text += fmt::format(" shown, {} more of the same kinds", omitted);
  return text;
}

}  // namespace

std::string CheckReportText(const CheckReport& report) {
  std::string text = fmt::format("{}\n  {}\n", report.dir.string(), report.what);
  for (const Finding& finding : report.findings) {
    text += fmt::format("{} {} [{}] {}: {}\n", SeverityName(finding.severity), finding.rule,
                        finding.id, finding.where, finding.found);
    if (finding.severity != Severity::kNote) text += fmt::format("    why: {}\n", finding.why);
    text += fmt::format("    remedy: {}\n", finding.remedy);
  }
  for (const std::string& fact : report.facts) text += fmt::format("fact: {}\n", fact);
  if (!report.engines.empty()) text += "engines:\n";
  for (const EngineVerdict& engine : report.engines) {
    text += engine.works ? fmt::format("  {}: reads it\n      {}\n", engine.engine, engine.command)
                         : fmt::format("  {}: no ({})\n", engine.engine, engine.reason);
  }
  const bool golden_stick = report.format == FolderFormat::kGoldenStick310 ||
                            report.format == FolderFormat::kGoldenStick910;
  if (golden_stick) {
    text +=
        "  vllm-mindspore without --quantization golden-stick starts without any error and answers "
        "garbage.\n";
  }
  return text + Verdict(report) + "\n";
}

std::string CheckReportJson(const CheckReport& report) {
  nlohmann::ordered_json root;
  root["folder"] = report.dir.string();
  root["sound"] = report.sound();
  root["format"] = report.format ? nlohmann::ordered_json(FolderFormatName(*report.format))
                                 : nlohmann::ordered_json();
  root["what"] = report.what;
  root["tensors"] = report.n_tensors;
  root["bytes"] = report.data_bytes;
  root["errors"] = report.Count(Severity::kError);
  root["warnings"] = report.Count(Severity::kWarning);
  root["findings"] = nlohmann::ordered_json::array();
  for (const Finding& finding : report.findings) {
    root["findings"].push_back({{"rule", finding.rule},
                                {"id", finding.id},
                                {"severity", SeverityName(finding.severity)},
                                {"where", finding.where},
                                {"found", finding.found},
                                {"why", finding.why},
                                {"remedy", finding.remedy}});
  }
  root["omitted"] = nlohmann::ordered_json::object();
  for (size_t rule = 0; rule < report.omitted.size(); ++rule) {
    if (report.omitted[rule] > 0) root["omitted"][std::to_string(rule)] = report.omitted[rule];
  }
  root["facts"] = report.facts;
  root["engines"] = nlohmann::ordered_json::array();
  for (const EngineVerdict& engine : report.engines) {
    nlohmann::ordered_json item = {{"engine", engine.engine}, {"works", engine.works}};
    item[engine.works ? "command" : "reason"] = engine.works ? engine.command : engine.reason;
    root["engines"].push_back(std::move(item));
  }
  return root.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace ingot
