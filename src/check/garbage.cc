// SPDX-License-Identifier: Apache-2.0
#include "check/garbage.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <tuple>

namespace ingot {
namespace {

// Limits. Fluent text, tables, other alphabets and rhymes stay below them (garbage_test.cc).
constexpr size_t kMinSteps = 12;   // shorter answers are judged by their logits and bytes only
constexpr size_t kMaxPeriod = 32;  // longest repeated phrase that is looked for
constexpr size_t kShortestRun = 10;       // tokens of a periodic run that counts
constexpr double kRepetitionLimit = 0.8;  // share of tokens inside of periodic runs
constexpr double kTrigramLimit = 0.25;    // different 3-grams
constexpr double kEntropyLimit = 0.65;    // of ln(vocab)
constexpr double kBrokenLimit = 0.1;      // of the characters
constexpr double kSwitchLimit = 0.25;     // script changes a letter
constexpr int64_t kManyScripts = 4;
constexpr double kSpecialLimit = 0.2;

// Tokens inside of runs that repeat with one period, at least three times around and kShortestRun
// long: an answer may go from one circle into the next.
size_t TokensInCircles(const std::vector<StepStats>& steps) {
  std::vector<bool> inside(steps.size());
  for (size_t period = 1; period <= kMaxPeriod && period * 3 <= steps.size(); ++period) {
    size_t equal = 0;  // consecutive tokens equal to those one period before
    size_t marked = 0;  // below here this period has marked what it covers
    for (size_t i = period; i < steps.size(); ++i) {
      equal = steps[i].token == steps[i - period].token ? equal + 1 : 0;
      const size_t run = equal + period;
      if (equal < 2 * period || run < kShortestRun) continue;
      for (size_t k = std::max(marked, i + 1 - run); k <= i; ++k) inside[k] = true;
      marked = i + 1;
    }
  }
  return static_cast<size_t>(std::ranges::count(inside, true));
}

double DistinctTrigrams(const std::vector<StepStats>& steps) {
  if (steps.size() < 3) return 1;
  std::set<std::tuple<int64_t, int64_t, int64_t>> seen;
  for (size_t i = 2; i < steps.size(); ++i)
    seen.emplace(steps[i - 2].token, steps[i - 1].token, steps[i].token);
  return static_cast<double>(seen.size()) / static_cast<double>(steps.size() - 2);
}

// One character of UTF-8 text; nullopt for a byte that starts none. Advances `at` past it.
std::optional<char32_t> NextCharacter(std::string_view text, size_t* at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(*at);
  const size_t length = first < 0x80                    ? 1
                        : first >= 0xf0 && first < 0xf5 ? 4
                        : first >= 0xe0                 ? 3
                        : first >= 0xc2                 ? 2
                                                        : 0;
  if (length == 0 || first >= 0xf5 || *at + length > text.size()) {
    ++*at;
    return std::nullopt;
  }
  char32_t code = length == 1 ? first : first & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(*at + i) & 0xc0) != 0x80) {
      ++*at;
      return std::nullopt;
    }
    code = (code << 6) | (byte(*at + i) & 0x3fu);
  }
  *at += length;
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  if (overlong || (code >= 0xd800 && code < 0xe000) || code > 0x10ffff) return std::nullopt;
  return code;
}

// Scripts by code block, coarse on purpose: Chinese with Kana is Japanese, Latin with accents is
// Latin. 0: no letter.
int ScriptOf(char32_t c) {
  struct Block {
    char32_t first, last;
    int script;
  };
  static constexpr std::array<Block, 21> kBlocks = {{
      {'A', 'Z', 1},        {'a', 'z', 1},        {0xc0, 0x24f, 1},     {0x370, 0x3ff, 2},
      {0x400, 0x52f, 3},    {0x530, 0x58f, 4},    {0x590, 0x5ff, 5},    {0x600, 0x77f, 6},
      {0x900, 0x97f, 7},    {0x980, 0xdff, 8},    {0xe00, 0xeff, 9},    {0x1000, 0x109f, 10},
      {0x10a0, 0x10ff, 11}, {0x1100, 0x11ff, 12}, {0x1200, 0x139f, 13}, {0x1780, 0x17ff, 14},
      {0x1e00, 0x1eff, 1},  {0x3040, 0x30ff, 15}, {0x3400, 0x9fff, 15}, {0xac00, 0xd7af, 12},
      {0xf900, 0xfaff, 15},
  }};
  for (const Block& block : kBlocks) {
    if (c >= block.first && c <= block.last) return block.script;
  }
  return 0;
}

// Broken characters and changes of script.
void MeasureText(std::string_view text, GarbageReport* report) {
  int64_t n_characters = 0, broken = 0, letters = 0, switches = 0;
  int last = 0;
  std::set<int> scripts;
  for (size_t at = 0; at < text.size();) {
    const std::optional<char32_t> c = NextCharacter(text, &at);
    ++n_characters;
    if (!c || *c == 0xfffd) {
      ++broken;
      continue;
    }
    const int script = ScriptOf(*c);
    if (script == 0) continue;
    ++letters;
    scripts.insert(script);
    switches += last != 0 && script != last ? 1 : 0;
    last = script;
  }
  report->n_scripts = static_cast<int64_t>(scripts.size());
  if (n_characters > 0)
    report->broken_utf8 = static_cast<double>(broken) / static_cast<double>(n_characters);
  if (letters > 0)
    report->script_switches = static_cast<double>(switches) / static_cast<double>(letters);
}

double MeanEntropyShare(const GeneratedText& generated) {
  double sum = 0;
  int64_t n = 0;
  for (const StepStats& step : generated.steps) {
    if (!(step.entropy >= 0)) continue;
    sum += step.entropy;
    ++n;
  }
  if (n == 0 || generated.vocab < 2) return 0;
  return sum / static_cast<double>(n) / std::log(static_cast<double>(generated.vocab));
}

void Raise(GarbageReport* report, GarbageVerdict verdict, std::string reason) {
  report->verdict = std::max(report->verdict, verdict);
  report->reasons.push_back(std::move(reason));
}

void Condemn(GarbageReport* report, GarbageSign sign, std::string reason) {
  report->signs.push_back(sign);
  Raise(report, GarbageVerdict::kGarbage, std::move(reason));
}

void JudgeLogits(const GeneratedText& generated, GarbageReport* report) {
  if (report->bad_logits > 0) {
    Condemn(report, GarbageSign::kBadLogits,
            fmt::format("{} logits are NaN or infinite", report->bad_logits));
  }
  if (report->mean_entropy_share > kEntropyLimit) {
    Condemn(report, GarbageSign::kEntropy,
            fmt::format("the next token is nearly arbitrary: mean entropy {:.2f} of the largest "
                        "possible (limit {:.2f})",
                        report->mean_entropy_share, kEntropyLimit));
  }
  if (generated.steps.empty() && !generated.stopped) {
    Raise(report, GarbageVerdict::kSuspicious, "nothing was generated");
  }
}

void JudgeTokens(const GeneratedText& generated, GarbageReport* report) {
  if (generated.steps.size() < kMinSteps) return;
  if (report->repetition > kRepetitionLimit) {
    Condemn(report, GarbageSign::kRepetition,
            fmt::format("{:.0f} % of the tokens repeat the ones before them (limit {:.0f} %)",
                        100 * report->repetition, 100 * kRepetitionLimit));
  } else if (report->distinct_trigrams < kTrigramLimit) {
    Raise(report, GarbageVerdict::kSuspicious,
          fmt::format("only {:.0f} % of the 3-token sequences are different (limit {:.0f} %)",
                      100 * report->distinct_trigrams, 100 * kTrigramLimit));
  }
  if (report->special_share > kSpecialLimit) {
    Condemn(report, GarbageSign::kControlTokens,
            fmt::format("{:.0f} % of the tokens are control tokens (limit {:.0f} %)",
                        100 * report->special_share, 100 * kSpecialLimit));
  }
}

void JudgeCharacters(const GeneratedText& generated, GarbageReport* report) {
  // A picture of one character at the end of a cut answer may be incomplete; a tenth of all may
  // not.
  if (report->broken_utf8 > kBrokenLimit && generated.text.size() >= 8) {
    Condemn(report, GarbageSign::kBrokenText,
            fmt::format("{:.0f} % of the characters are broken UTF-8 (limit {:.0f} %)",
                        100 * report->broken_utf8, 100 * kBrokenLimit));
  }
  if (report->n_scripts >= kManyScripts && report->script_switches > kSwitchLimit / 2) {
    Condemn(report, GarbageSign::kScripts,
            fmt::format("letters of {} writing systems alternate ({:.2f} changes a letter)",
                        report->n_scripts, report->script_switches));
  } else if (report->script_switches > kSwitchLimit) {
    Raise(report, GarbageVerdict::kSuspicious,
          fmt::format("writing systems alternate ({:.2f} changes a letter, limit {:.2f})",
                      report->script_switches, kSwitchLimit));
  }
}

bool SameTokens(const GeneratedText& a, const GeneratedText& b) {
  return std::ranges::equal(a.steps, b.steps, {}, &StepStats::token, &StepStats::token);
}

}  // namespace

GarbageReport JudgeText(const GeneratedText& generated) {
  GarbageReport report;
  const double n_steps = static_cast<double>(std::max<size_t>(generated.steps.size(), 1));
  report.repetition = static_cast<double>(TokensInCircles(generated.steps)) / n_steps;
  report.distinct_trigrams = DistinctTrigrams(generated.steps);
  report.mean_entropy_share = MeanEntropyShare(generated);
  int64_t special = 0;
  for (const StepStats& step : generated.steps) {
    report.bad_logits += step.bad_logits;
    special += step.special ? 1 : 0;
  }
  report.special_share = static_cast<double>(special) / n_steps;
  MeasureText(generated.text, &report);
  JudgeLogits(generated, &report);
  JudgeTokens(generated, &report);
  JudgeCharacters(generated, &report);
  return report;
}

GarbageReport JudgeTexts(std::span<const GeneratedText> answers) {
  GarbageReport total;
  for (const GeneratedText& answer : answers) {
    const GarbageReport one = JudgeText(answer);
    total.verdict = std::max(total.verdict, one.verdict);
    for (const std::string& reason : one.reasons)
      total.reasons.push_back(answer.prompt_name + ": " + reason);
    total.repetition = std::max(total.repetition, one.repetition);
    total.distinct_trigrams = std::min(total.distinct_trigrams, one.distinct_trigrams);
    total.mean_entropy_share = std::max(total.mean_entropy_share, one.mean_entropy_share);
    total.broken_utf8 = std::max(total.broken_utf8, one.broken_utf8);
    total.script_switches = std::max(total.script_switches, one.script_switches);
    total.n_scripts = std::max(total.n_scripts, one.n_scripts);
    total.bad_logits += one.bad_logits;
    total.special_share = std::max(total.special_share, one.special_share);
  }
  const bool same =
      answers.size() > 1 && answers[0].steps.size() >= kMinSteps &&
      std::all_of(answers.begin() + 1, answers.end(),
                  [&](const GeneratedText& answer) { return SameTokens(answer, answers[0]); });
  if (same) {
    Raise(&total, GarbageVerdict::kGarbage,
          fmt::format("all {} answers are the same, although the prompts differ", answers.size()));
  }
  return total;
}

}  // namespace ingot
