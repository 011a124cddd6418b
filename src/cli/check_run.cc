// SPDX-License-Identifier: Apache-2.0
#include "cli/check_run.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "base/progress.h"

namespace ingot::cli {
namespace {

// 64 x 64 grey picture as PNG: dark left half, light right half, a white square in the middle.
constexpr std::array<uint8_t, 109> kPicture = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52,
    0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00, 0x40, 0x08, 0x00, 0x00, 0x00, 0x00, 0x8f, 0x02, 0x2e,
    0x02, 0x00, 0x00, 0x00, 0x34, 0x49, 0x44, 0x41, 0x54, 0x78, 0xda, 0xed, 0xd5, 0x31, 0x11, 0x00,
    0x30, 0x08, 0x00, 0x31, 0xe4, 0xe0, 0x5f, 0x05, 0xae, 0x8a, 0x02, 0x8e, 0xbd, 0xe4, 0x05, 0x64,
    0xfd, 0xc8, 0xa5, 0x5a, 0x0a, 0x00, 0x00, 0x00, 0xf8, 0x1c, 0x78, 0x43, 0x00, 0x00, 0x00, 0x00,
    0xb8, 0x09, 0x78, 0x23, 0x00, 0x00, 0x38, 0x0a, 0x34, 0x5e, 0xb4, 0xb0, 0x39, 0x26, 0x0d, 0xb7,
    0xfb, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};

struct TestPrompt {
  const char* name;
  const char* question;
  bool picture;
};
constexpr TestPrompt kPrompts[] = {
    {"first question", "What is the capital of France?", false},
    {"second question", "Write one sentence about the sea.", false},
    {"question about a picture", "Describe this image.", true},
};

Conversation ConversationOf(const TestPrompt& prompt) {
  Message turn{"user", {}, ""};
  if (prompt.picture) {
    turn.parts.push_back(
        Part::ImageBytes("built-in.png", std::string(kPicture.begin(), kPicture.end())));
  }
  turn.parts.push_back(Part::Text(prompt.question));
  return {std::move(turn)};
}

// Entropy in nats of softmax(logits) over the real tokens, and how many logits are no numbers.
void Measure(std::span<const float> logits, StepStats* step) {
  float largest = -INFINITY;
  for (const float logit : logits) {
    step->bad_logits += std::isfinite(logit) ? 0 : 1;
    if (std::isfinite(logit)) largest = std::max(largest, logit);
  }
  double sum = 0, weighted = 0;
  for (const float logit : logits) {
    if (!std::isfinite(logit)) continue;
    const double e = std::exp(static_cast<double>(logit) - largest);
    sum += e;
    weighted += e * (static_cast<double>(logit) - largest);
  }
  if (!(sum > 0)) return;
  step->entropy = static_cast<float>(std::log(sum) - weighted / sum);
  step->top_probability = static_cast<float>(1 / sum);
}

bool IsControl(const ModelConfig& config, int32_t token) {
  for (const int64_t id : {config.image_token, config.video_token, config.vision_start_token,
                           config.vision_end_token, config.bos_token}) {
    if (id == token) return true;
  }
  return false;
}

GeneratedText AnswerTo(const TestPrompt& prompt, int64_t max_tokens, Engine* engine) {
  GeneratedText generated;
  generated.prompt_name = prompt.name;
  generated.vocab = engine->vocab_limit();
  const size_t limit = static_cast<size_t>(engine->vocab_limit());
  const auto measure = [&](int64_t, std::span<const float> logits) {
    StepStats step;
    Measure(logits.first(std::min(limit, logits.size())), &step);
    generated.steps.push_back(step);
  };
  const Answer answer =
      engine->AskGreedy(engine->Prepare(ConversationOf(prompt)), max_tokens, measure);
  generated.steps.resize(
      std::min(generated.steps.size(), answer.tokens.size()));  // without the end token
  for (size_t i = 0; i < generated.steps.size(); ++i) {
    generated.steps[i].token = answer.tokens[i];
    generated.steps[i].special = IsControl(engine->reader().config(), answer.tokens[i]);
  }
  generated.text = answer.text;
  generated.stopped = answer.reason == FinishReason::kStop;
  return generated;
}

// Tokens of the float model's answers, prompt by prompt.
std::vector<std::vector<int32_t>> SourceAnswers(const std::filesystem::path& source,
                                                int64_t max_tokens) {
  Engine engine(source, {});
  std::vector<std::vector<int32_t>> answers;
  for (const TestPrompt& prompt : kPrompts) {
    answers.push_back(engine.AskGreedy(engine.Prepare(ConversationOf(prompt)), max_tokens).tokens);
  }
  return answers;
}

SourceAgreement Agreement(const std::vector<std::vector<int32_t>>& source_answers, Engine* engine) {
  SourceAgreement agreement;
  const size_t limit = static_cast<size_t>(engine->vocab_limit());
  for (size_t i = 0; i < source_answers.size(); ++i) {
    const std::vector<int32_t>& tokens = source_answers[i];
    if (tokens.empty()) continue;
    const auto compare = [&](int64_t step, std::span<const float> logits) {
      const auto real = logits.first(std::min(limit, logits.size()));
      const auto chosen =
          static_cast<int32_t>(std::max_element(real.begin(), real.end()) - real.begin());
      ++agreement.n_tokens;
      agreement.n_same += chosen == tokens[static_cast<size_t>(step)] ? 1 : 0;
    };
    engine->Follow(engine->Prepare(ConversationOf(kPrompts[i])), tokens,
                   static_cast<int64_t>(tokens.size()), compare);
  }
  return agreement;
}

}  // namespace

TestRun RunTestPrompts(const std::filesystem::path& dir, const std::filesystem::path& source,
                       Emulate emulate, int64_t max_tokens) {
  // One model in memory at a time.
  std::vector<std::vector<int32_t>> source_answers;
  if (!source.empty()) source_answers = SourceAnswers(source, max_tokens);
  EngineOptions options;
  options.emulate = emulate;
  Engine engine(dir, options);
  TestRun run;
  Progress progress("run", "answers", std::size(kPrompts));
  for (const TestPrompt& prompt : kPrompts) {
    run.answers.push_back(AnswerTo(prompt, max_tokens, &engine));
    progress.Advance();
  }
  if (!source.empty()) run.agreement = Agreement(source_answers, &engine);
  return run;
}

}  // namespace ingot::cli
