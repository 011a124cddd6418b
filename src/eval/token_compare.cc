// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "eval/token_compare.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "eval/metrics.h"
#include "eval/sample_text.h"
#include "eval/thumbnail.h"

namespace ingot {
namespace {

constexpr size_t kMaxThumbnailBytes = 12u << 20;  // of all samples; later pictures are named only

SpillFile OpenNameless(const std::filesystem::path& dir) {
  const std::filesystem::path path = dir / ".compare-logits";
  SpillFile file(path);
  std::filesystem::remove(path);
  return file;
}

bool AllFinite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

void RequireNotInterrupted() {
  if (InterruptRequested())
    throw InterruptedError("the comparison was ended; nothing was written.");
}

void AddCost(const Answer& answer, RunCost* cost) {
  cost->prefill_seconds += answer.prefill_seconds;
  cost->decode_seconds += answer.decode_seconds;
  cost->total_seconds += answer.vision_seconds + answer.prefill_seconds + answer.decode_seconds;
  cost->prefill_tokens += answer.prompt_tokens;
  cost->decode_tokens += answer.decoded;
}

}  // namespace

AnswerStore::AnswerStore(const std::filesystem::path& dir) : file_(OpenNameless(dir)) {}

void AnswerStore::Append(std::span<const float> logits) {
  file_.Write(size_, logits);
  size_ += logits.size();
}

void AnswerStore::Read(uint64_t first, std::span<float> logits) const { file_.Read(first, logits); }

TokenCompare::TokenCompare(const Dataset& dataset, const TokenCompareOptions& options,
                           const std::filesystem::path& spill_dir)
    : dataset_(dataset), options_(options), store_(spill_dir) {}

Conversation TokenCompare::ConversationOf(size_t index) const {
  Conversation conversation = dataset_.samples[index].conversation;
  AppendInstruction(&conversation, options_.instruction);
  return conversation;
}

void TokenCompare::RecordSample(Engine& engine, size_t index) {
  const Sample& sample = dataset_.samples[index];
  SampleFigures figures;
  const PreparedPrompt prompt = engine.Prepare(ConversationOf(index));
  for (const Part& part : PicturesOf(sample.conversation)) {
    const bool room = options_.thumbnails && thumbnail_bytes_ < kMaxThumbnailBytes;
    figures.pictures.push_back(MakeThumbnail(part, engine.options().prompt.decode, room));
    thumbnail_bytes_ += figures.pictures.back().thumbnail.size();
  }
  RecordedAnswer recorded;
  recorded.prompt = prompt.ids;
  recorded.first_logit = store_.size();
  const Answer answer =
      engine.AskGreedy(prompt, options_.max_tokens, [&](int64_t, std::span<const float> logits) {
        store_.Append(logits.first(static_cast<size_t>(vocab_)));
        recorded.tokens.push_back(
            static_cast<int32_t>(ArgMax(logits.first(static_cast<size_t>(vocab_)))));
      });
  AddCost(answer, &cost_a_);
  recorded.text = answer.text;
  figures.id = sample.id;
  figures.kind = KindOf(sample.conversation);
  figures.question = QuestionOf(sample.conversation);
  figures.references = DistinctAnswers(sample.answers);
  figures.text_a = answer.text;
  figures.tokens = engine.TokenTexts(recorded.tokens);
  if (!sample.answers.empty()) figures.score_a = VqaAccuracy(answer.text, sample.answers);
  answered_.push_back(index);
  recorded_.push_back(std::move(recorded));
  samples_.push_back(std::move(figures));
}

void TokenCompare::RunFirst(Engine& engine) {
  vocab_ = engine.vocab_limit();
  Progress progress("compare: first model", "samples", dataset_.samples.size());
  for (size_t index = 0; index < dataset_.samples.size(); ++index) {
    try {
      RecordSample(engine, index);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kUser && error.kind() != ErrorKind::kFormat) throw;
      const std::string& id = dataset_.samples[index].id;
      if (!options_.skip_bad_samples) {
        throw Error(error.kind(), fmt::format("sample {}: {} --skip-bad-images goes on without it.",
                                              id, error.what()));
      }
      LogWarning("sample {} is skipped: {}", id, error.what());
      skipped_.push_back(id + ": " + error.what());
    }
    RequireNotInterrupted();
    progress.Advance();
  }
  if (samples_.empty()) throw UserError("no sample of the data could be used.");
}

void TokenCompare::CompareSample(Engine& engine, size_t row) {
  const RecordedAnswer& recorded = recorded_[row];
  const Sample& sample = dataset_.samples[answered_[row]];
  SampleFigures& figures = samples_[row];
  const PreparedPrompt prompt = engine.Prepare(ConversationOf(answered_[row]));
  if (prompt.ids != recorded.prompt) {
    throw UserError(
        "sample {}: the two models read different prompts ({} and {} tokens). Tokenizer, chat "
        "template and processor "
        "configs of both folders must be equal.",
        sample.id, recorded.prompt.size(), prompt.ids.size());
  }
  std::vector<float> reference(static_cast<size_t>(vocab_));
  const Answer answer = engine.Follow(
      prompt, recorded.tokens, options_.max_tokens, [&](int64_t step, std::span<const float> all) {
        const std::span<const float> logits = all.first(reference.size());
        store_.Read(recorded.first_logit + static_cast<uint64_t>(step * vocab_), reference);
        const bool finite = AllFinite(logits);
        n_not_finite_ += !finite;
        if (finite && AllFinite(reference)) {
          figures.kl.push_back(KlDivergence(LogSoftmax(reference), LogSoftmax(logits)));
        } else {
          figures.kl.push_back(std::nullopt);
        }
        figures.agree.push_back(finite &&
                                ArgMax(logits) == recorded.tokens[static_cast<size_t>(step)]);
      });
  AddCost(answer, &cost_b_);
  figures.text_b = answer.text;
  if (!sample.answers.empty()) figures.score_b = VqaAccuracy(answer.text, sample.answers);
  SummarizeSample(&figures);
}

void TokenCompare::RunSecond(Engine& engine) {
  if (engine.vocab_limit() != vocab_) {
    throw UserError(
        "the two models have vocabularies of {} and {} tokens; they cannot be compared.", vocab_,
        engine.vocab_limit());
  }
  Progress progress("compare: second model", "samples", samples_.size());
  for (size_t row = 0; row < samples_.size(); ++row) {
    CompareSample(engine, row);
    RequireNotInterrupted();
    progress.Advance();
  }
}

}  // namespace ingot
