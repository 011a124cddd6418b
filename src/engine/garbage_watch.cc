// SPDX-License-Identifier: Apache-2.0
#include "engine/garbage_watch.h"

#include <algorithm>

namespace ingot {
namespace {

constexpr size_t kAllEntropies = 16;  // tokens at the beginning whose entropy is measured
constexpr size_t kEntropyEvery = 8;   // afterwards
constexpr size_t kLookEvery = 64;     // tokens between two looks at a running answer
constexpr size_t kRecentSteps = 192;  // the last part that is judged by itself
constexpr size_t kRecentText = 1024;  // bytes

}  // namespace

GarbageWatch::GarbageWatch(int64_t vocab) { answer_.vocab = vocab; }

bool GarbageWatch::WantsEntropy() const {
  return answer_.steps.size() < kAllEntropies || answer_.steps.size() % kEntropyEvery == 0;
}

void GarbageWatch::Add(int32_t token, float entropy, int64_t bad_logits, bool special) {
  answer_.steps.push_back(
      {.token = token, .entropy = entropy, .bad_logits = bad_logits, .special = special});
}

bool GarbageWatch::Due() const { return answer_.steps.size() >= judged_ + kLookEvery; }

GarbageReport GarbageWatch::Judge(bool ended) {
  judged_ = answer_.steps.size();
  answer_.stopped = ended;
  GarbageReport report = JudgeText(answer_);
  if (report.verdict == GarbageVerdict::kGarbage || answer_.steps.size() <= kRecentSteps)
    return report;
  GeneratedText recent;
  recent.vocab = answer_.vocab;
  recent.stopped = ended;
  recent.steps.assign(answer_.steps.end() - kRecentSteps, answer_.steps.end());
  size_t from = answer_.text.size() - std::min(answer_.text.size(), kRecentText);
  while (from < answer_.text.size() &&
         (static_cast<unsigned char>(answer_.text[from]) & 0xc0) == 0x80)
    ++from;
  recent.text = answer_.text.substr(from);
  GarbageReport last = JudgeText(recent);
  return last.verdict == GarbageVerdict::kGarbage ? last : report;
}

}  // namespace ingot
