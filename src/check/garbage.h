// SPDX-License-Identifier: Apache-2.0
// Is this generated text garbage? Pure function of what the engine already has: token ids, text,
// statistics of the logits. A misread checkpoint (int8 codes taken as weights, scales copied by
// value) starts up without a word and then repeats one token, mixes scripts, breaks UTF-8 or
// spreads its probability over the whole vocabulary. Each of these is measured.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ingot {

// One generated step. Entropy is of the full softmax in nats; negative when unknown.
struct StepStats {
  int64_t token = 0;
  float entropy = -1;
  float top_probability = -1;
  int64_t bad_logits = 0;  // NaN or infinite
  bool special = false;    // a control token other than the end of the turn
};

struct GeneratedText {
  std::string prompt_name;       // for the reason
  std::vector<StepStats> steps;  // without the end token
  std::string text;              // bytes as decoded, invalid UTF-8 kept or replaced by U+FFFD
  int64_t vocab = 0;
  bool stopped = false;  // ended by itself, not by the length limit
};

enum class GarbageVerdict { kFine, kSuspicious, kGarbage };
// What a verdict of kGarbage stands on.
enum class GarbageSign { kBadLogits, kEntropy, kRepetition, kControlTokens, kBrokenText, kScripts };

struct GarbageReport {
  GarbageVerdict verdict = GarbageVerdict::kFine;
  std::vector<std::string> reasons;  // each names the measure, the value and the limit
  std::vector<GarbageSign> signs;    // of the reasons that alone make it garbage
  // The measures, for --json.
  double repetition = 0;          // share of the tokens inside of periodic runs
  double distinct_trigrams = 1;   // different 3-grams / 3-grams
  double mean_entropy_share = 0;  // mean entropy / ln(vocab); 0 when unknown
  double broken_utf8 = 0;         // share of characters that are U+FFFD or invalid
  double script_switches = 0;     // script changes between neighbouring letters / letters
  int64_t n_scripts = 0;
  int64_t bad_logits = 0;
  double special_share = 0;
};

GarbageReport JudgeText(const GeneratedText& generated);
// Several answers of one model: garbage when any is, or when all are the same although their
// prompts differ.
GarbageReport JudgeTexts(std::span<const GeneratedText> answers);

}  // namespace ingot
