// SPDX-License-Identifier: Apache-2.0
// `ingot serve`: the OpenAI-compatible server, from its start to its end.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "cli/serve_model.h"
#include "cli/serve_options.h"
#include "engine/async_engine.h"
#include "server/api.h"
#include "server/http_log.h"
#include "server/net_notify.h"
#include "server/web_pages.h"

namespace ingot::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kPoll{50};
constexpr std::chrono::seconds kStatsPeriod{10};

void WriteLine(FILE* file, const std::string& line) {
  std::fprintf(file, "%s\n", line.c_str());
  std::fflush(file);
}

void LogAccess(bool json, const server::AccessRecord& record) {
  WriteLine(stdout, json ? server::AccessLineJson(record) : server::AccessLine(record));
}

// What is served, what the memory is spent on, where to look.
void PrintBanner(const ServeSetup& setup, FolderFormat format, const Engine& model,
                 const AsyncEngine& engine, const server::HttpServer& http, double seconds) {
  const std::string url = http.url();
  std::string text = fmt::format("ingot {} serves {} as \"{}\"\n", INGOT_VERSION,
                                 setup.api.model_dir.string(), setup.api.served_names.front());
  text +=
      fmt::format("model:  {} ({}), {} arithmetic{}{}\n", FolderFormatName(format),
                  HumanBytes(model.reader().data_bytes()), PrecisionName(model.options().precision),
                  setup.model.emulate == Emulate::kNone ? "" : ", emulates ",
                  setup.model.emulate == Emulate::kNone ? "" : EmulateName(setup.model.emulate));
  text += engine.memory().Describe() + "\n";
  text += fmt::format("length: {} tokens of prompt and answer; {:.1f} such requests fit at once\n",
                      engine.max_model_len(), engine.memory().SequencesOf(engine.max_model_len()));
  if (engine.options().deterministic) {
    text += "results: the same bits whatever the batch, the chunks and the threads\n";
  }
  text += fmt::format("API:    {}/v1{}\n", url,
                      setup.http.api_keys.empty() ? "" : " (needs an API key)");
  if (setup.http.unix_path.empty()) text += fmt::format("chat:   {}/\n", url);
  text += fmt::format("ready after {}; Ctrl-C or SIGTERM ends it, a second one at once",
                      HumanSeconds(seconds));
  WriteLine(stderr, text);
}

// One line every ten seconds while something happens.
void LogStats(const AsyncEngine& engine, const EngineStats& before, const EngineStats& now,
              double seconds) {
  const uint64_t generated = now.generation_tokens - before.generation_tokens;
  const uint64_t prompt = now.prompt_tokens - before.prompt_tokens;
  if (generated + prompt == 0 && now.running + now.waiting == 0) return;
  (void)engine;
  LogNote(
      "prompt {:.1f} tokens/s, answers {:.1f} tokens/s, running {}, waiting {}, KV {:.1f} %, "
      "prefix hits {:.1f} %",
      static_cast<double>(prompt) / seconds, static_cast<double>(generated) / seconds, now.running,
      now.waiting, 100 * now.KvUsage(),
      now.prefix_queries == 0
          ? 0.0
          : 100.0 * static_cast<double>(now.prefix_hits) / static_cast<double>(now.prefix_queries));
}

// Until a signal comes or the engine dies.
void WaitForEnd(const ServeSetup& setup, const AsyncEngine& engine) {
  EngineStats before = engine.Stats();
  Clock::time_point last = Clock::now();
  while (!InterruptRequested()) {
    std::this_thread::sleep_for(kPoll);
    if (!engine.healthy()) {
      throw InternalError(
          "the engine has stopped: {}. This is a defect of ingot; please report it.",
          engine.death_reason());
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - last).count();
    if (!setup.api.log_stats || seconds < std::chrono::duration<double>(kStatsPeriod).count()) {
      continue;
    }
    const EngineStats now = engine.Stats();
    LogStats(engine, before, now, seconds);
    before = now;
    last = Clock::now();
  }
}

void SayWhatIsSpecial(const ServeSetup& setup, FolderFormat format) {
  for (const std::string& note : setup.notes) LogOnceText(LogLevel::kNote, note);
  if (setup.load_as_float) {
    LogWarning(
        "--unsafe-load-as-float: the int8 codes of {} are taken for weights and their scales are "
        "dropped. THE ANSWERS WILL BE GARBAGE. This shows what an engine prints that is not told "
        "of the format ({}).",
        setup.api.model_dir.string(), FolderFormatName(format));
  } else if (setup.quantization == "auto" && format != FolderFormat::kFloat) {
    LogNote("{} holds {} weights; they are read as such.", setup.api.model_dir.string(),
            FolderFormatName(format));
  }
}

// However serving ends: first the engine, so that every request gets its last event, then the
// handlers, and only then what these stand on.
struct StopBoth {
  AsyncEngine& engine;
  server::HttpServer& http;
  ~StopBoth() {
    engine.Stop();
    http.Stop();
  }
};

// What the chat page tells people about the model.
server::ServedInfo InfoOf(const ServeSetup& setup, FolderFormat format, const MemoryPlan& memory) {
  server::ServedInfo info;
  info.name = setup.api.served_names.front();
  info.format = FolderFormatName(format);
  info.quantization = format == FolderFormat::kFloat ? "none" : "w8a8";
  if (setup.model.emulate != Emulate::kNone) info.emulate = EmulateName(setup.model.emulate);
  if (setup.load_as_float) {
    info.warning =
        "int8 codes are taken for weights on purpose (--unsafe-load-as-float): the "
        "answers are garbage";
  }
  info.weight_bytes = memory.weights;
  info.kv_bytes = memory.kv;
  info.picture_cache_bytes = memory.pictures;
  return info;
}

int Run(const Options& options) {
  const Clock::time_point start = Clock::now();
  ServeSetup setup = ServeSetupOf(options);
  std::signal(SIGHUP, SIG_IGN);  // a closed terminal is no reason to stop serving
  const FolderFormat format =
      RequireServable(setup.api.model_dir, setup.quantization, setup.load_as_float);
  SayWhatIsSpecial(setup, format);
  if (setup.access_log) {
    setup.http.on_access = [json = setup.json_log](const server::AccessRecord& record) {
      LogAccess(json, record);
    };
  }
  // A port that is taken shows before the model is read.
  server::Router router;
  server::HttpServer http(setup.http, &router);
  const Engine model(setup.api.model_dir, setup.model);
  AsyncEngine engine(model, setup.engine);
  server::Api api(setup.api, server::ServedModelOf(model, INGOT_VERSION), server::PortOf(engine));
  api.Register(&router);
  server::AddWebPages(INGOT_VERSION, InfoOf(setup, format, engine.memory()), std::nullopt, &router);
  const StopBoth stop{engine, http};

  http.Start();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  PrintBanner(setup, format, model, engine, http, seconds);
  server::NotifyServiceManager("READY=1\nSTATUS=Serving at " + http.url());
  WaitForEnd(setup, engine);

  server::NotifyServiceManager("STOPPING=1");
  LogNote("stopping: no new connections; running requests have {:.0f} s to finish.",
          std::chrono::duration<double>(setup.drain_timeout).count());
  const bool all_done = http.Drain(setup.drain_timeout);
  if (!all_done) LogWarning("some requests did not finish in time and were ended.");
  return 0;
}

}  // namespace

const Command& ServeCommand() {
  static const Command command = {
      .name = "serve",
      .summary = "Serve a model over HTTP as vLLM does: OpenAI API, metrics, chat page",
      .description =
          "Serves one model folder, float or quantized, with the OpenAI-compatible API, options "
          "and "
          "metrics of vLLM 0.11. The format of the weights is detected; a folder that would answer "
          "garbage is refused with the remedy. Options may be written with dashes or underscores, "
          "as --a=b or --a b; vLLM's options that mean nothing on a CPU are accepted and said "
          "once.",
      .options = ServeOptionRows(),
      .examples =
          {{"ingot serve Qwen3-VL-2B-W8A8", "the chat page is at http://127.0.0.1:8000/"},
           {"ingot serve --port 8003 OUT/ --gpu-memory-utilization=0.85 --max_model_len 4096 "
            "--max_num_seqs 64 --max_num_batched_tokens 8192 --enable_prefix_caching",
            "a vllm-mindspore command line as it was"},
           {"ingot serve Qwen3-VL-8B-W8A8 --host 127.0.0.1 --served-model-name qwen --api-key "
            "secret",
            "this machine only, a short name, a key"},
           {"ingot serve --config serve.yaml", "options from a file"}},
      .run = Run,
      .expand = ExpandServeArguments,
  };
  return command;
}

}  // namespace ingot::cli
