// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/error.h"
#include "base/interrupt.h"

namespace ingot {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kPrefillChunk = 512;  // tokens; bounds the buffers of a long prompt

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

VisualInput ToVisualInput(const VisionInput& vision) {
  VisualInput input;
  for (const auto& grid : vision.grids) input.grids.push_back({grid.t, grid.h, grid.w});
  input.pixels = vision.patches;
  return input;
}

// generation_config.json's list, then config.json's; a folder that names neither ends its turns
// with <|im_end|>.
std::vector<int32_t> StopIds(const GenerationConfig& generation, const ModelConfig& config,
                             const Tokenizer& tokenizer) {
  std::vector<int32_t> ids(generation.eos_tokens.begin(), generation.eos_tokens.end());
  if (ids.empty() && config.eos_token >= 0) ids.push_back(static_cast<int32_t>(config.eos_token));
  if (const auto end = tokenizer.TokenId("<|im_end|>")) ids.push_back(*end);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

}  // namespace

Precision ParsePrecision(std::string_view name) {
  if (name == "f32") return Precision::kF32;
  if (name == "bf16") return Precision::kBF16;
  throw UserError("precision '{}'; expected f32 or bf16.", name);
}

std::string_view PrecisionName(Precision precision) {
  return precision == Precision::kF32 ? "f32" : "bf16";
}

std::string_view EmulateName(Emulate emulate) {
  switch (emulate) {
    case Emulate::kNone:
      return "none";
    case Emulate::k310:
      return "310p";
    case Emulate::k910:
      return "910b";
  }
  return "none";
}

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "length";
}

double Answer::DecodeTokensPerSecond() const {
  return decode_seconds > 0 ? static_cast<double>(decoded) / decode_seconds : 0;
}

double Answer::PrefillTokensPerSecond() const {
  return prefill_seconds > 0 ? static_cast<double>(prompt_tokens) / prefill_seconds : 0;
}

ModelInput ToModelInput(const PreparedPrompt& prompt) {
  ModelInput input;
  input.token_ids = prompt.ids;
  input.images = ToVisualInput(prompt.images);
  input.videos = ToVisualInput(prompt.videos);
  return input;
}

Engine::Engine(const std::filesystem::path& dir, const EngineOptions& options) : options_(options) {
  const auto start = Clock::now();
  reader_ = std::make_unique<ModelReader>(dir);
  RequireSupported(reader_->config(), dir);
  prompts_ = std::make_unique<PromptBuilder>(dir, reader_->config(), options.prompt);
  generation_ = LoadGenerationConfig(dir, reader_->config());
  model_ = LoadModel(
      *reader_,
      {.emulate = options.emulate, .pack = options.pack, .codes_as_float = options.codes_as_float});
  stop_ids_ = StopIds(generation_, reader_->config(), prompts_->tokenizer());
  vocab_limit_ = std::min(prompts_->tokenizer().vocab_size(), reader_->config().text.vocab);
  load_seconds_ = SecondsSince(start);
}

PreparedPrompt Engine::Prepare(const Conversation& conversation) const {
  return prompts_->Build(conversation);
}

AnswerParams Engine::DefaultParams() const {
  AnswerParams params;
  params.sampling.do_sample = generation_.do_sample;
  params.sampling.temperature = generation_.temperature;
  params.sampling.top_k = generation_.top_k;
  params.sampling.top_p = generation_.top_p;
  params.sampling.repetition_penalty = generation_.repetition_penalty;
  return params;
}

bool Engine::IsStop(int32_t token) const {
  return std::binary_search(stop_ids_.begin(), stop_ids_.end(), token);
}

std::vector<std::string> Engine::TokenTexts(std::span<const int32_t> tokens) const {
  StreamDecoder decoder(prompts_->tokenizer());
  std::vector<std::string> texts;
  for (const int32_t token : tokens) texts.push_back(decoder.Push(token));
  if (!texts.empty()) texts.back() += decoder.Finish();
  return texts;
}

int32_t Engine::LargestLogit(std::span<const float> logits) const {
  const auto end = logits.begin() + std::min(vocab_limit_, static_cast<int64_t>(logits.size()));
  return static_cast<int32_t>(std::max_element(logits.begin(), end) - logits.begin());
}

Engine::Started Engine::Start(const PreparedPrompt& prompt, Answer* answer) const {
  answer->prompt_tokens = prompt.n_tokens();
  answer->picture_tokens = std::count_if(prompt.kinds.begin(), prompt.kinds.end(),
                                         [](TokenKind kind) { return kind != TokenKind::kText; });
  const auto start = Clock::now();
  // The embedded prompt is reported when the vision tower is through.
  auto embedded = std::make_shared<Clock::time_point>(start);
  RunContext context{.precision = options_.precision};
  context.observe = [embedded](std::string_view name, std::span<const int64_t>, const float*) {
    if (name == "text.embeds") *embedded = Clock::now();
  };
  Started started{Session(model_, std::move(context), options_.kv), {}};
  started.logits = started.session.Prefill(ToModelInput(prompt), kPrefillChunk);
  if (answer->picture_tokens > 0) {
    answer->vision_seconds = std::chrono::duration<double>(*embedded - start).count();
  }
  answer->prefill_seconds = SecondsSince(start) - answer->vision_seconds;
  return started;
}

Answer Engine::Ask(const PreparedPrompt& prompt, const AnswerParams& params,
                   const TextFn& on_text) {
  CheckSamplingParams(params.sampling);
  Answer answer;
  Started started = Start(prompt, &answer);
  Sampler sampler(params.sampling, prompt.ids, vocab_limit_);
  StreamDecoder decoder(prompts_->tokenizer());
  const auto emit = [&](const std::string& piece) {
    answer.text += piece;
    return piece.empty() || !on_text || on_text(piece);
  };
  const auto start = Clock::now();
  while (static_cast<int64_t>(answer.tokens.size()) < params.max_tokens) {
    const int32_t token = sampler.Next(started.logits);
    if (IsStop(token)) {
      answer.reason = FinishReason::kStop;
      break;
    }
    answer.tokens.push_back(token);
    if (InterruptRequested() || !emit(decoder.Push(token))) {
      answer.reason = FinishReason::kCancelled;
      break;
    }
    if (static_cast<int64_t>(answer.tokens.size()) < params.max_tokens) {
      started.logits = started.session.Step(token);
    }
  }
  emit(decoder.Finish());
  answer.decode_seconds = SecondsSince(start);
  answer.decoded = static_cast<int64_t>(answer.tokens.size());
  return answer;
}

void Engine::ContinueGreedy(Session* session, std::span<const float> logits, int64_t max_tokens,
                            const LogitsFn& on_logits, Answer* answer) const {
  while (static_cast<int64_t>(answer->tokens.size()) < max_tokens) {
    if (on_logits) on_logits(static_cast<int64_t>(answer->tokens.size()), logits);
    const int32_t token = LargestLogit(logits);
    if (IsStop(token)) {
      answer->reason = FinishReason::kStop;
      return;
    }
    answer->tokens.push_back(token);
    if (InterruptRequested()) {
      answer->reason = FinishReason::kCancelled;
      return;
    }
    if (static_cast<int64_t>(answer->tokens.size()) < max_tokens) logits = session->Step(token);
  }
}

Answer Engine::AskGreedy(const PreparedPrompt& prompt, int64_t max_tokens,
                         const LogitsFn& on_logits) {
  Answer answer;
  Started started = Start(prompt, &answer);
  const auto start = Clock::now();
  ContinueGreedy(&started.session, started.logits, max_tokens, on_logits, &answer);
  answer.decode_seconds = SecondsSince(start);
  answer.decoded = static_cast<int64_t>(answer.tokens.size());
  answer.text = prompts_->tokenizer().Decode(answer.tokens, true);
  return answer;
}

Answer Engine::Follow(const PreparedPrompt& prompt, std::span<const int32_t> tokens,
                      int64_t max_tokens, const LogitsFn& on_logits) {
  Answer answer;
  Started started = Start(prompt, &answer);
  const auto start = Clock::now();
  std::optional<int64_t> fork;  // tokens read when the model first chose another one
  std::vector<float> fork_logits;
  for (size_t step = 0; step < tokens.size(); ++step) {
    if (on_logits) on_logits(static_cast<int64_t>(step), started.logits);
    if (!fork && LargestLogit(started.logits) != tokens[step]) {
      fork = started.session.n_tokens();
      fork_logits.assign(started.logits.begin(), started.logits.end());
      answer.tokens.assign(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(step));
    }
    if (InterruptRequested()) {
      answer.reason = FinishReason::kCancelled;
      return answer;
    }
    if (step + 1 < tokens.size()) started.logits = started.session.Step(tokens[step]);
  }
  answer.decode_seconds = SecondsSince(start);
  answer.decoded = static_cast<int64_t>(tokens.size());
  if (fork) {
    started.session.Rewind(*fork);
    ContinueGreedy(&started.session, fork_logits, max_tokens, {}, &answer);
  } else {
    answer.tokens.assign(tokens.begin(), tokens.end());
    if (!tokens.empty() && IsStop(tokens.back())) {
      answer.tokens.pop_back();
      answer.reason = FinishReason::kStop;
    }
  }
  answer.text = prompts_->tokenizer().Decode(answer.tokens, true);
  return answer;
}

void Engine::Observe(const PreparedPrompt& prompt, const ObserveFn& observe, const SiteHook& hook) {
  Session session(model_, RunContext{options_.precision, observe, hook}, options_.kv);
  session.Prefill(ToModelInput(prompt));
}

}  // namespace ingot
