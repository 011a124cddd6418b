// SPDX-License-Identifier: Apache-2.0
// A model folder ready to answer: weights, tokenizer, template and picture processor loaded once;
// prompts in, text out. Also what comparisons need: the logits of every step of a greedy answer,
// and of a given answer. One request at a time; not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/model_reader.h"
#include "model/generate.h"
#include "model/session.h"
#include "prompt/prompt_builder.h"

namespace ingot {

struct EngineOptions {
  Precision precision = Precision::kBF16;
  std::optional<KvType> kv;  // none: as the precision wants it
  Emulate emulate = Emulate::kNone;
  bool pack = false;  // weights are packed while they are loaded (LoadOptions::pack): for serving
  bool codes_as_float = false;  // LoadOptions::codes_as_float: garbage on purpose
  PromptOptions prompt;

  KvType KvTypeInUse() const { return kv.value_or(KvTypeOf(precision)); }
};

Precision ParsePrecision(std::string_view name);      // "f32", "bf16"; UserError otherwise
std::string_view PrecisionName(Precision precision);  // "f32"
std::string_view EmulateName(Emulate emulate);        // "none", "310p", "910b"

struct AnswerParams {
  SamplingParams sampling;
  int64_t max_tokens = 512;
};

struct Answer {
  std::string text;
  std::vector<int32_t> tokens;  // without the token that ended the answer
  FinishReason reason = FinishReason::kLength;
  int64_t prompt_tokens = 0;
  int64_t picture_tokens = 0;  // those of prompt_tokens that stand for pictures and videos
  double vision_seconds = 0, prefill_seconds = 0, decode_seconds = 0;  // prefill: without vision
  int64_t decoded = 0;                   // tokens that decode_seconds were spent on
  double DecodeTokensPerSecond() const;  // 0 when nothing was decoded
  double PrefillTokensPerSecond() const;
};
std::string_view FinishReasonName(FinishReason reason);  // "stop", "length", "cancelled"

// A prompt as the model takes it.
ModelInput ToModelInput(const PreparedPrompt& prompt);

class Engine {
 public:
  // Receives text as soon as it is whole UTF-8; returning false ends the answer.
  using TextFn = std::function<bool(std::string_view)>;
  // Receives the logits [vocab] that choose token `step` of the answer.
  using LogitsFn = std::function<void(int64_t step, std::span<const float> logits)>;

  // Errors: those of ModelReader, LoadModel and PromptBuilder.
  Engine(const std::filesystem::path& dir, const EngineOptions& options);

  PreparedPrompt Prepare(const Conversation& conversation) const;

  // Errors: UserError on impossible parameters or a prompt that is too long. Ctrl-C ends the answer
  // (kCancelled).
  Answer Ask(const PreparedPrompt& prompt, const AnswerParams& params, const TextFn& on_text = {});

  // The largest logit at each step, no penalties, at most `max_tokens` tokens; a tie goes to the
  // lowest id.
  Answer AskGreedy(const PreparedPrompt& prompt, int64_t max_tokens,
                   const LogitsFn& on_logits = {});

  // The model reads the prompt and then `tokens` one at a time, whatever it would have chosen
  // itself; on_logits sees one step for each of them. The result is the model's own greedy answer,
  // which leaves `tokens` where it first chooses another one. Times and speeds are those of the
  // given tokens.
  Answer Follow(const PreparedPrompt& prompt, std::span<const int32_t> tokens, int64_t max_tokens,
                const LogitsFn& on_logits);

  // Prompt only, observed: what `context` asks for is reported along the way. Precision is the
  // engine's.
  void Observe(const PreparedPrompt& prompt, const ObserveFn& observe, const SiteHook& hook);

  // Sampling as the folder's generation_config.json wants it.
  AnswerParams DefaultParams() const;
  bool IsStop(int32_t token) const;
  const std::vector<int32_t>& stop_ids() const { return stop_ids_; }  // ascending
  // Text of the tokens piece by piece; the concatenation is the text of the answer.
  std::vector<std::string> TokenTexts(std::span<const int32_t> tokens) const;

  const ModelReader& reader() const { return *reader_; }
  const QwenVlModel& model() const { return model_; }
  const PromptBuilder& prompts() const { return *prompts_; }
  const EngineOptions& options() const { return options_; }
  // Logits from here on belong to padding rows of the matrix and are never chosen.
  int64_t vocab_limit() const { return vocab_limit_; }
  double load_seconds() const { return load_seconds_; }

 private:
  // A sequence that is through its prompt, with the logits of the first answer token. Splits the
  // time between vision and text.
  struct Started {
    Session session;
    std::span<const float> logits;
  };
  Started Start(const PreparedPrompt& prompt, Answer* answer) const;
  // Continues greedily from `logits`, appending to `answer`.
  void ContinueGreedy(Session* session, std::span<const float> logits, int64_t max_tokens,
                      const LogitsFn& on_logits, Answer* answer) const;
  int32_t LargestLogit(std::span<const float> logits) const;

  EngineOptions options_;
  std::unique_ptr<ModelReader> reader_;
  QwenVlModel model_;
  std::unique_ptr<PromptBuilder> prompts_;
  GenerationConfig generation_;
  std::vector<int32_t> stop_ids_;
  int64_t vocab_limit_ = 0;
  double load_seconds_ = 0;
};

}  // namespace ingot
