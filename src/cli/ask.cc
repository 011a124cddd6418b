// SPDX-License-Identifier: Apache-2.0
// `ingot ask`: one question to a model, or a conversation.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/chat.h"
#include "cli/engine_options.h"

namespace ingot::cli {
namespace {

constexpr char kSampling[] = "How tokens are chosen (default: the model's generation_config.json)";

Option Number(const char* name, const char* help) {
  return {.name = name, .kind = Kind::kNumber, .help = help, .group = kSampling};
}

std::vector<Option> Rows() {
  return Join(
      {{.name = "MODEL",
        .kind = Kind::kPath,
        .help = "A model folder, float or quantized.",
        .required = true},
       {.name = "QUESTION", .help = "The question; without one, a conversation begins."},
       {.name = "--prompt", .help = "The question, as an option.", .aliases = {"-p"}},
       {.name = "--image",
        .kind = Kind::kPath,
        .help = "A picture, before the question.",
        .aliases = {"-i"},
        .repeated = true},
       {.name = "--video",
        .kind = Kind::kPath,
        .help = "A video or a folder of frames, before the question.",
        .repeated = true},
       {.name = "--system", .help = "A system turn before everything."},
       {.name = "--json", .kind = Kind::kFlag, .help = "One JSON object instead of streamed text."},
       {.name = "--max-tokens",
        .kind = Kind::kInteger,
        .default_text = "512",
        .help = "Longest answer.",
        .aliases = {"-n", "--max-new-tokens"},
        .group = kSampling},
       {.name = "--greedy",
        .kind = Kind::kFlag,
        .help = "Always the likeliest token; as --temperature 0.",
        .group = kSampling},
       Number("--temperature", "0 chooses the likeliest token."),
       {.name = "--top-k",
        .kind = Kind::kInteger,
        .help = "Draw from the K likeliest tokens; 0 is off.",
        .group = kSampling},
       Number("--top-p", "Draw from the likeliest tokens that make up this probability."),
       Number("--min-p", "Leave out tokens below this share of the likeliest one's probability."),
       Number("--repetition-penalty", "Above 1: tokens of prompt and answer become less likely."),
       Number("--presence-penalty", "Taken from the score of tokens that the answer has."),
       Number("--frequency-penalty", "The same for every time that it has them."),
       {.name = "--seed",
        .kind = Kind::kInteger,
        .default_text = "0",
        .help = "Start of the random numbers; the same seed gives the same answer.",
        .group = kSampling}},
      EngineOptionRows());
}

AnswerParams ParamsOf(const Options& options, const Engine& engine) {
  AnswerParams params = engine.DefaultParams();
  SamplingParams& sampling = params.sampling;
  params.max_tokens = IntegerBetween(options, "--max-tokens", 1, 1 << 20);
  const auto take = [&](const char* name, float* value) {
    if (options.Has(name)) *value = static_cast<float>(options.Number(name));
    return options.Has(name);
  };
  // Asking for a way of drawing is asking to draw.
  bool draws = take("--temperature", &sampling.temperature);
  draws |= take("--top-p", &sampling.top_p);
  draws |= take("--min-p", &sampling.min_p);
  if (options.Has("--top-k")) {
    sampling.top_k = options.Integer("--top-k");
    draws = true;
  }
  take("--repetition-penalty", &sampling.repetition_penalty);
  take("--presence-penalty", &sampling.presence_penalty);
  take("--frequency-penalty", &sampling.frequency_penalty);
  sampling.seed = static_cast<uint64_t>(IntegerBetween(options, "--seed", 0, INT64_MAX));
  if (draws) sampling.do_sample = true;
  if (options.Flag("--greedy") || sampling.temperature == 0) {
    sampling.do_sample = false;
    sampling.temperature = 1;
  }
  CheckSamplingParams(sampling);
  return params;
}

std::string QuestionOf(const Options& options) {
  if (options.Has("QUESTION") && options.Has("--prompt")) {
    throw UserError("ask: the question is given twice, as QUESTION and with --prompt.");
  }
  return options.Has("--prompt") ? options.Text("--prompt") : options.Text("QUESTION");
}

// System turn and a user turn with the pictures; the question is added by the caller.
Conversation OpeningOf(const Options& options) {
  Conversation conversation;
  if (options.Has("--system")) {
    conversation.push_back({"system", {Part::Text(options.Text("--system"))}, ""});
  }
  Message turn{"user", {}, ""};
  for (const std::string& path : options.List("--image")) turn.parts.push_back(Part::Image(path));
  for (const std::string& path : options.List("--video")) turn.parts.push_back(Part::Video(path));
  conversation.push_back(std::move(turn));
  return conversation;
}

std::string AnswerJson(const Answer& answer, const Engine& engine, double prepare_seconds) {
  using Json = nlohmann::ordered_json;
  const auto n_tokens = static_cast<int64_t>(answer.tokens.size());
  const Json json = {{"text", answer.text},
                     {"token_ids", answer.tokens},
                     {"finish_reason", FinishReasonName(answer.reason)},
                     {"usage",
                      {{"prompt_tokens", answer.prompt_tokens},
                       {"picture_tokens", answer.picture_tokens},
                       {"completion_tokens", n_tokens},
                       {"total_tokens", answer.prompt_tokens + n_tokens}}},
                     {"timings",
                      {{"load_s", engine.load_seconds()},
                       {"prepare_s", prepare_seconds},
                       {"vision_s", answer.vision_seconds},
                       {"prefill_s", answer.prefill_seconds},
                       {"decode_s", answer.decode_seconds},
                       {"decode_tokens_per_s", answer.DecodeTokensPerSecond()}}},
                     {"model",
                      {{"dir", engine.reader().dir().string()},
                       {"format", FolderFormatName(engine.reader().format())},
                       {"precision", PrecisionName(engine.options().precision)},
                       {"emulate", EmulateName(engine.options().emulate)}}}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

int AskOnce(const Options& options, Engine& engine, const AnswerParams& params,
            Conversation conversation, const std::string& question) {
  conversation.back().parts.push_back(Part::Text(question));
  const auto start = std::chrono::steady_clock::now();
  const PreparedPrompt prompt = engine.Prepare(conversation);
  const double prepare_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const bool json = options.Flag("--json");
  const Answer answer = engine.Ask(prompt, params, [&](std::string_view piece) {
    if (json) return true;
    std::fwrite(piece.data(), 1, piece.size(), stdout);
    return std::fflush(stdout) == 0;
  });
  if (json) {
    std::printf("%s\n", AnswerJson(answer, engine, prepare_seconds).c_str());
  } else {
    std::printf("\n");
  }
  if (answer.reason == FinishReason::kCancelled) throw InterruptedError("the answer was ended.");
  return 0;
}

int Run(const Options& options) {
  const std::string question = QuestionOf(options);
  const bool chat = !options.Has("QUESTION") && !options.Has("--prompt");
  if (chat && options.Flag("--json")) throw UserError("ask: --json needs a question.");
  Engine engine(options.Path("MODEL"), EngineOptionsOf(options));
  const AnswerParams params = ParamsOf(options, engine);
  if (!chat) return AskOnce(options, engine, params, OpeningOf(options), question);
  RunChat(engine, params, OpeningOf(options), std::cin, std::cout, std::cerr);
  return 0;
}

}  // namespace

const Command& AskCommand() {
  static const Command command = {
      .name = "ask",
      .summary = "Ask a model about pictures: one question, or a conversation",
      .description =
          "Answers one question and streams the text to standard output. Without a question it "
          "reads questions from standard input until /quit; /image FILE adds a picture. Float and "
          "quantized folders are run alike.",
      .options = Rows(),
      .examples =
          {{"ingot ask Qwen3-VL-2B-Instruct --image receipt.jpg \"What is the total?\"",
            "one question about one picture"},
           {"ingot ask Qwen3-VL-2B-W8A8 -i a.png -i b.png \"What differs?\" --greedy --json",
            "two pictures, reproducible, as JSON"},
           {"ingot ask Qwen3-VL-2B-Instruct", "a conversation"}},
      .run = Run,
  };
  return command;
}

}  // namespace ingot::cli
