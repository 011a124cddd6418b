// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "eval/evaluate.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/files.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/sha256.h"
#include "eval/metrics.h"
#include "eval/sample_text.h"

namespace ingot {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// What an answer depends on besides the sample.
std::string RunKey(const Engine& engine, const EvalOptions& options) {
  const PromptOptions& prompt = engine.options().prompt;
  return fmt::format("{} {} {} tokens {} pixels {}-{} alpha {} fps {}",
                     FingerprintOf(engine.reader()), PrecisionName(engine.options().precision),
                     EmulateName(engine.options().emulate), options.max_tokens,
                     prompt.limits.min_pixels, prompt.limits.max_pixels,
                     static_cast<int>(prompt.decode.alpha), prompt.video_fps);
}

std::string SampleKey(const std::string& run_key, const Sample& sample,
                      const Conversation& conversation) {
  const std::string text = run_key + "\n" + sample.id + "\n" + FingerprintOf(conversation);
  return Sha256Hex(std::as_bytes(std::span(text))).substr(0, 32);
}

Prediction AnswerSample(Engine& engine, const Sample& sample, const Conversation& conversation,
                        const EvalOptions& options) {
  const auto start = Clock::now();
  const Answer answer = engine.AskGreedy(engine.Prepare(conversation), options.max_tokens);
  Prediction prediction;
  prediction.id = sample.id;
  prediction.kind = KindOf(sample.conversation);
  prediction.question = QuestionOf(sample.conversation);
  prediction.text = answer.text;
  prediction.references = DistinctAnswers(sample.answers);
  if (!sample.answers.empty()) {
    const AnswerScores scores = ScoreAnswer(answer.text, sample.answers);
    prediction.vqa = scores.vqa;
    prediction.exact = scores.exact;
    prediction.anls = scores.anls;
  }
  prediction.finish_reason = FinishReasonName(answer.reason);
  prediction.prompt_tokens = answer.prompt_tokens;
  prediction.output_tokens = static_cast<int64_t>(answer.tokens.size());
  prediction.seconds = SecondsSince(start);
  return prediction;
}

void Summarize(EvalResult* result) {
  std::map<std::string, EvalKind> by_kind;
  for (const Prediction& prediction : result->predictions) {
    if (prediction.references.empty()) continue;
    ++result->n_scored;
    result->vqa += prediction.vqa;
    result->exact += prediction.exact;
    result->anls += prediction.anls;
    EvalKind& kind = by_kind[prediction.kind];
    kind.kind = prediction.kind;
    ++kind.n;
    kind.vqa += prediction.vqa;
    kind.exact += prediction.exact;
    kind.anls += prediction.anls;
  }
  const auto divide = [](auto* sums, int64_t n) {
    sums->vqa /= static_cast<double>(n);
    sums->exact /= static_cast<double>(n);
    sums->anls /= static_cast<double>(n);
  };
  if (result->n_scored > 0) divide(result, result->n_scored);
  for (auto& [name, kind] : by_kind) {
    divide(&kind, kind.n);
    result->kinds.push_back(kind);
  }
  std::stable_sort(result->kinds.begin(), result->kinds.end(),
                   [](const EvalKind& x, const EvalKind& y) { return x.n > y.n; });
}

[[noreturn]] void ThrowInterrupted(const EvalOptions& options, size_t done, size_t total) {
  if (options.out_dir.empty()) {
    throw InterruptedError("{} of {} samples were answered; nothing is kept without -o.", done,
                           total);
  }
  throw InterruptedError("{} of {} samples are answered and kept in {}; the same command goes on.",
                         done, total, (options.out_dir / "predictions.jsonl").string());
}

}  // namespace

EvalResult Evaluate(Engine& engine, const Dataset& dataset, const EvalOptions& options) {
  const auto start = Clock::now();
  std::unique_ptr<PredictionLog> log;
  if (!options.out_dir.empty()) {
    std::filesystem::create_directories(options.out_dir);
    log = std::make_unique<PredictionLog>(options.out_dir / "predictions.jsonl");
  }
  EvalResult result;
  result.model = engine.reader().dir().string();
  result.format = FolderFormatName(engine.reader().format());
  result.precision = PrecisionName(engine.options().precision);
  result.emulate = EmulateName(engine.options().emulate);
  result.data = dataset.description;
  const std::string run_key = RunKey(engine, options);
  Progress progress("eval", "samples", dataset.samples.size());
  for (const Sample& sample : dataset.samples) {
    Conversation conversation = sample.conversation;
    AppendInstruction(&conversation, options.instruction);
    const std::string key = SampleKey(run_key, sample, conversation);
    if (const Prediction* done = log ? log->Find(key) : nullptr) {
      result.predictions.push_back(*done);
      ++result.n_resumed;
      progress.SkipTo(result.predictions.size() + result.skipped.size());
      continue;
    }
    if (InterruptRequested()) break;
    try {
      Prediction prediction = AnswerSample(engine, sample, conversation, options);
      if (InterruptRequested()) break;  // the answer may be cut
      prediction.key = key;
      if (log) log->Append(prediction);
      result.predictions.push_back(std::move(prediction));
    } catch (const Error& error) {
      const bool bad_sample =
          error.kind() == ErrorKind::kUser || error.kind() == ErrorKind::kFormat;
      if (!bad_sample) throw;
      if (!options.skip_bad_samples) {
        throw Error(error.kind(), fmt::format("sample {}: {} --skip-bad-images goes on without it.",
                                              sample.id, error.what()));
      }
      LogWarning("sample {} is skipped: {}", sample.id, error.what());
      result.skipped.push_back(sample.id + ": " + error.what());
    }
    progress.Advance();
  }
  if (InterruptRequested()) {
    ThrowInterrupted(options, result.predictions.size(), dataset.samples.size());
  }
  result.n_samples = static_cast<int64_t>(result.predictions.size());
  Summarize(&result);
  result.seconds = SecondsSince(start);
  result.peak_bytes = PeakResidentBytes();
  if (log) WriteFileAtomically(options.out_dir / "eval.json", EvalResultJson(result) + "\n");
  return result;
}

std::string EvalResultJson(const EvalResult& result) {
  Json kinds = Json::array();
  for (const EvalKind& kind : result.kinds) {
    kinds.push_back({{"kind", kind.kind},
                     {"n", kind.n},
                     {"accuracy", kind.vqa},
                     {"exact_match", kind.exact},
                     {"anls", kind.anls}});
  }
  Json predictions = Json::array();
  for (const Prediction& prediction : result.predictions) {
    Json row = {{"id", prediction.id},
                {"kind", prediction.kind},
                {"question", prediction.question},
                {"prediction", prediction.text},
                {"references", prediction.references}};
    if (!prediction.references.empty()) {
      row["accuracy"] = prediction.vqa;
      row["exact_match"] = prediction.exact;
      row["anls"] = prediction.anls;
    }
    row["finish_reason"] = prediction.finish_reason;
    predictions.push_back(std::move(row));
  }
  const bool scored = result.n_scored > 0;
  const auto score = [&](double value) { return scored ? Json(value) : Json(nullptr); };
  const Json json = {{"accuracy", score(result.vqa)},
                     {"n", result.n_scored},
                     {"metric", "VQA accuracy"},
                     {"exact_match", score(result.exact)},
                     {"anls", score(result.anls)},
                     {"model", result.model},
                     {"format", result.format},
                     {"precision", result.precision},
                     {"emulate", result.emulate},
                     {"data", result.data},
                     {"n_samples", result.n_samples},
                     {"n_resumed", result.n_resumed},
                     {"seconds", result.seconds},
                     {"peak_bytes", result.peak_bytes},
                     {"kinds", kinds},
                     {"skipped", result.skipped},
                     {"predictions", predictions}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace);
}

std::string EvalResultTable(const EvalResult& result) {
  std::string out = fmt::format("{} ({}, {}) on {}\n", result.model, result.format,
                                result.precision, result.data);
  const auto row = [&](std::string_view kind, int64_t n, double vqa, double exact, double anls) {
    out += fmt::format("{:<24} {:>6} {:>9.1f} % {:>9.1f} % {:>9.1f} %\n", kind, n, 100 * vqa,
                       100 * exact, 100 * anls);
  };
  if (result.n_scored > 0) {
    out += fmt::format("{:<24} {:>6} {:>11} {:>11} {:>11}\n", "kind", "n", "VQA", "exact", "ANLS");
    for (const EvalKind& kind : result.kinds)
      row(kind.kind, kind.n, kind.vqa, kind.exact, kind.anls);
    row("all", result.n_scored, result.vqa, result.exact, result.anls);
  } else {
    out += "The data has no reference answers; nothing is scored.\n";
  }
  out += fmt::format("{} samples in {}", result.n_samples, HumanSeconds(result.seconds));
  if (result.n_resumed > 0)
    out += fmt::format(", {} of them from an earlier run", result.n_resumed);
  if (!result.skipped.empty()) out += fmt::format(", {} skipped", result.skipped.size());
  return out + "\n";
}

}  // namespace ingot
