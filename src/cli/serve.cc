// SPDX-License-Identifier: Apache-2.0
// `ingot serve`: the OpenAI-compatible server, from its start to its end.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "cli/serve_instance.h"
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
void PrintBanner(const ServeSetup& setup, const std::vector<ServeInstance>& models,
                 const server::HttpServer& http, double seconds) {
  const std::string url = http.url();
  std::string text;
  for (const ServeInstance& model : models) text += DescribeInstance(model);
  if (setup.engine.deterministic) {
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
class StatsLog {
 public:
  // `name`: in front of the line; "" when there is only one model.
  StatsLog(const AsyncEngine& engine, std::string name)
      : engine_(engine), name_(std::move(name)), before_(engine.Stats()) {}

  void Write() {
    const EngineStats now = engine_.Stats();
    const double seconds = std::chrono::duration<double>(Clock::now() - last_).count();
    const uint64_t generated = now.generation_tokens - before_.generation_tokens;
    const uint64_t prompt = now.prompt_tokens - before_.prompt_tokens;
    if (generated + prompt > 0 || now.running + now.waiting > 0) {
      LogNote(
          "{}prompt {:.1f} tokens/s, answers {:.1f} tokens/s, running {}, waiting {}, KV {:.1f} "
          "%, prefix hits {:.1f} %",
          name_.empty() ? "" : name_ + ": ", static_cast<double>(prompt) / seconds,
          static_cast<double>(generated) / seconds, now.running, now.waiting, 100 * now.KvUsage(),
          100.0 * static_cast<double>(now.prefix_hits) /
              static_cast<double>(std::max<uint64_t>(now.prefix_queries, 1)));
    }
    before_ = now;
    last_ = Clock::now();
  }

 private:
  const AsyncEngine& engine_;
  std::string name_;
  EngineStats before_;
  Clock::time_point last_ = Clock::now();
};

// Until a signal comes or an engine dies.
void WaitForEnd(const ServeSetup& setup, const std::vector<ServeInstance>& models) {
  std::vector<StatsLog> logs;
  for (const ServeInstance& one : models) {
    logs.emplace_back(*one.engine, models.size() > 1 ? one.name() : "");
  }
  Clock::time_point last = Clock::now();
  while (!InterruptRequested()) {
    std::this_thread::sleep_for(kPoll);
    for (const ServeInstance& one : models) {
      if (one.engine->healthy()) continue;
      throw InternalError(
          "the engine of {} has stopped: {}. This is a defect of ingot; please report it.",
          one.name(), one.engine->death_reason());
    }
    if (!setup.api.log_stats || Clock::now() - last < kStatsPeriod) continue;
    for (StatsLog& log : logs) log.Write();
    last = Clock::now();
  }
}

// However serving ends: first the engines, so that every request gets its last event, then the
// handlers, and only then what these stand on.
struct StopAll {
  const std::vector<ServeInstance>& models;
  server::HttpServer& http;
  ~StopAll() {
    for (const ServeInstance& one : models) one.engine->Stop();
    http.Stop();
  }
};

int Run(const Options& options) {
  const Clock::time_point start = Clock::now();
  ServeSetup setup = ServeSetupOf(options);
  std::signal(SIGHUP, SIG_IGN);  // a closed terminal is no reason to stop serving
  for (const std::string& note : setup.notes) LogOnceText(LogLevel::kNote, note);
  std::vector<ServeInstance> models = FindModels(setup);
  if (setup.access_log) {
    setup.http.on_access = [json = setup.json_log](const server::AccessRecord& record) {
      LogAccess(json, record);
    };
  }
  // A port that is taken shows before the models are read.
  server::Router router;
  server::HttpServer http(setup.http, &router);
  LoadModels(setup.engine, &models);
  server::Api api(ApiModelsOf(models));
  api.Register(&router);
  server::AddWebPages(INGOT_VERSION, InfoOf(models.front()),
                      models.size() > 1 ? std::optional(InfoOf(models.back())) : std::nullopt,
                      &router);
  const StopAll stop{models, http};

  http.Start();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  PrintBanner(setup, models, http, seconds);
  server::NotifyServiceManager("READY=1\nSTATUS=Serving at " + http.url());
  WaitForEnd(setup, models);

  server::NotifyServiceManager("STOPPING=1");
  LogNote("stopping: no new connections; running requests have {:g} s to finish.",
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
          "Serves a model folder, float or quantized, with the OpenAI-compatible API, options and "
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
           {"ingot serve Qwen3-VL-8B-W8A8 --compare Qwen3-VL-8B-Instruct",
            "quantized and float side by side in the chat page"},
           {"ingot serve --config serve.yaml", "options from a file"}},
      .run = Run,
      .expand = ExpandServeArguments,
  };
  return command;
}

}  // namespace ingot::cli
