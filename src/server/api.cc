// SPDX-License-Identifier: Apache-2.0
#include "server/api.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "engine/engine.h"
#include "server/api_error.h"
#include "server/chat_writer.h"
#include "server/completion_writer.h"
#include "server/generation_defaults.h"
#include "server/metrics_text.h"
#include "server/openapi.h"
#include "server/prompt_input.h"
#include "server/request_json.h"
#include "server/structured_output.h"
#include "server/task_pool.h"

namespace ingot::server {
namespace {

int64_t UnixSeconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void CheckParsers(const ApiOptions& options) {
  if (!options.tool_call_parser.empty() && options.tool_call_parser != "hermes") {
    throw UserError("--tool-call-parser {}: the one that Qwen models need is hermes",
                    options.tool_call_parser);
  }
  if (options.auto_tool_choice && options.tool_call_parser.empty()) {
    throw UserError("--enable-auto-tool-choice needs --tool-call-parser hermes");
  }
  if (!options.reasoning_parser.empty() && options.reasoning_parser != "qwen3") {
    throw UserError("--reasoning-parser {}: the one that Qwen models need is qwen3",
                    options.reasoning_parser);
  }
}

// Printable ASCII of bounded length, or nothing: ids go into logs and answers.
std::string SafeId(const std::string& id) {
  const bool safe = !id.empty() && id.size() <= 128 && std::ranges::all_of(id, [](char c) {
    return c > ' ' && c < 127 && c != '"' && c != '\\';
  });
  return safe ? id : "";
}

std::string RequestId(const HttpRequest& http, const CommonFields& common) {
  if (http.HasHeader("X-Request-Id")) return http.request_id;
  const std::string given = SafeId(common.request_id);
  return given.empty() ? RandomHex32() : given;
}

void RequireJson(const HttpRequest& http) {
  const std::string type = http.MediaType();
  if (type == "application/json" || type.ends_with("+json")) return;
  throw ApiError(400, "Unsupported Media Type: Only 'application/json' is allowed", "Bad Request");
}

int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// The prompt ends with an open <think>, as templates of thinking models write it.
bool EndsInThought(std::string_view text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  return end != std::string_view::npos && text.substr(0, end + 1).ends_with("<think>");
}

HttpResponse JsonResponse(const Json& json) {
  return {.status = 200, .content_type = "application/json", .body = Dump(json)};
}

}  // namespace

class Api::Impl {
 public:
  Impl(ApiOptions options, ServedModel model, EnginePort engine);

  void Register(Router* router);

 private:
  using Member = void (Impl::*)(HttpRequest&, const ResponderPtr&);
  // A chat request on its way to the engine.
  struct ChatTask {
    ChatRequest request;
    std::shared_ptr<const GrammarMatcher> grammar;
    std::string id;
    EngineClock::time_point arrival;
    ResponderPtr responder;
  };
  Handler Guarded(Member member);
  template <typename Body>
  void WithErrors(const ResponderPtr& responder, std::string_view request_id, const Body& body);
  void Generate(ChatTask& task);

  // Endpoints.
  void Chat(HttpRequest& http, const ResponderPtr& responder);
  void Completions(HttpRequest& http, const ResponderPtr& responder);
  void Invocations(HttpRequest& http, const ResponderPtr& responder);
  void Tokenize(HttpRequest& http, const ResponderPtr& responder);
  void Detokenize(HttpRequest& http, const ResponderPtr& responder);
  void TokenizerInfo(HttpRequest& http, const ResponderPtr& responder);
  void Models(HttpRequest& http, const ResponderPtr& responder);
  void Health(HttpRequest& http, const ResponderPtr& responder);
  void Version(HttpRequest& http, const ResponderPtr& responder);
  void Load(HttpRequest& http, const ResponderPtr& responder);
  void Metrics(HttpRequest& http, const ResponderPtr& responder);
  void ServerInfo(HttpRequest& http, const ResponderPtr& responder);
  void ResetPrefixCache(HttpRequest& http, const ResponderPtr& responder);
  void ResetPictureCache(HttpRequest& http, const ResponderPtr& responder);
  void IsSleeping(HttpRequest& http, const ResponderPtr& responder);
  void OpenApi(HttpRequest& http, const ResponderPtr& responder);
  void Docs(HttpRequest& http, const ResponderPtr& responder);
  void OutOfScope(HttpRequest& http, const ResponderPtr& responder);

  void RequireModel(const std::string& name) const;
  void RequireAlive() const;
  void CheckTools(const ChatRequest& request) const;
  GrammarCompiler& Grammars();
  std::shared_ptr<const GrammarMatcher> GrammarOf(const StructuredOutput& structured);
  std::shared_ptr<const GrammarMatcher> GrammarOf(const ChatRequest& request);
  Request EngineRequest(const CommonFields& common, PreparedPrompt prompt, std::string id) const;
  ChatAnswerOptions ChatOptions(const ChatRequest& request, const PreparedPrompt& prompt,
                                bool constrained, std::string id) const;
  std::string EchoOf(const ChatRequest& request, const std::string& role) const;
  void LogRequest(const std::string& id, const Request& request) const;

  ApiOptions options_;
  ServedModel model_;
  EnginePort engine_;
  ParseLimits limits_;
  PromptInput prompts_;
  const int64_t started_ = UnixSeconds();
  std::atomic<int64_t> load_ = 0;       // generations under way
  std::atomic<uint64_t> requests_ = 0;  // generations ever
  std::mutex grammars_mutex_;
  std::unique_ptr<GrammarCompiler> grammars_;  // made when first asked for
  WriterThread writer_thread_;                 // uses the others
  TaskPool fetchers_{8, 64};                   // last: requests that fetch pictures
};

namespace {

ParseLimits LimitsOf(const ApiOptions& options, const ServedModel& model,
                     const EnginePort& engine) {
  return {.max_logprobs = options.max_logprobs,
          .max_choices = std::min<int64_t>(options.max_choices, 128),
          .max_prompts = options.max_prompts,
          .max_stop_strings = options.max_stop_strings,
          .max_bad_words = options.max_bad_words,
          .vocab = model.prompts->tokenizer().vocab_size(),
          .priority_scheduling = engine.options.policy == SchedulingPolicy::kPriority,
          .force_include_usage = options.force_include_usage,
          .defaults = LoadGenerationDefaults(options)};
}

}  // namespace

Api::Impl::Impl(ApiOptions options, ServedModel model, EnginePort engine)
    : options_(std::move(options)),
      model_(std::move(model)),
      engine_(std::move(engine)),
      limits_(LimitsOf(options_, model_, engine_)),
      prompts_(options_, *model_.prompts, engine_.max_model_len) {
  CheckParsers(options_);
  if (options_.served_names.empty()) options_.served_names = {options_.model_dir.string()};
}

// Errors of a request end here.
template <typename Body>
void Api::Impl::WithErrors(const ResponderPtr& responder, std::string_view request_id,
                           const Body& body) {
  try {
    body();
  } catch (const ApiError& error) {
    responder->Send(ErrorResponse(error.status(), error.what(), error.type(), error.param()));
  } catch (const UserError& error) {
    responder->Send(ErrorResponse(400, WithoutPaths(error.what())));
  } catch (...) {
    responder->Send(ErrorResponseOfCurrentException(request_id));
  }
}

Handler Api::Impl::Guarded(Member member) {
  return [this, member](HttpRequest http, ResponderPtr responder) {
    const std::string id = http.request_id;
    WithErrors(responder, id, [&] { (this->*member)(http, responder); });
  };
}

void Api::Impl::Register(Router* router) {
  const auto work = [&](const char* method, const char* path, Member member) {
    router->Work(method, path, Guarded(member));
  };
  const auto quick = [&](const char* method, const char* path, Member member) {
    router->Quick(method, path, Guarded(member));
  };
  work("POST", "/v1/chat/completions", &Impl::Chat);
  work("POST", "/v1/completions", &Impl::Completions);
  work("POST", "/invocations", &Impl::Invocations);
  work("POST", "/tokenize", &Impl::Tokenize);
  work("POST", "/detokenize", &Impl::Detokenize);
  if (options_.tokenizer_info) work("GET", "/tokenizer_info", &Impl::TokenizerInfo);
  quick("GET", "/v1/models", &Impl::Models);
  quick("GET", "/health", &Impl::Health);
  quick("GET", "/ping", &Impl::Health);
  quick("POST", "/ping", &Impl::Health);
  quick("GET", "/version", &Impl::Version);
  quick("GET", "/load", &Impl::Load);
  work("GET", "/metrics", &Impl::Metrics);
  if (options_.server_info) {
    work("GET", "/server_info", &Impl::ServerInfo);
    work("POST", "/reset_prefix_cache", &Impl::ResetPrefixCache);
    work("POST", "/reset_mm_cache", &Impl::ResetPictureCache);
    quick("GET", "/is_sleeping", &Impl::IsSleeping);
    quick("POST", "/sleep", &Impl::OutOfScope);
    quick("POST", "/wake_up", &Impl::OutOfScope);
  }
  if (!options_.disable_docs) {
    quick("GET", "/openapi.json", &Impl::OpenApi);
    quick("GET", "/docs", &Impl::Docs);
  }
  for (const char* path :
       {"/v1/responses", "/v1/embeddings", "/pooling", "/classify", "/score", "/v1/score",
        "/rerank", "/v1/rerank", "/v2/rerank", "/v1/audio/transcriptions",
        "/v1/audio/translations"}) {
    quick("POST", path, &Impl::OutOfScope);
  }
}

void Api::Impl::RequireModel(const std::string& name) const {
  if (name.empty() || std::ranges::count(options_.served_names, name) > 0) return;
  // The client's own text comes back: bounded, and JSON escapes the rest.
  throw ApiError(404, fmt::format("The model `{}` does not exist.", name.substr(0, 256)), "",
                 "model");
}

void Api::Impl::RequireAlive() const {
  if (engine_.healthy()) return;
  throw ApiError(500, "The engine has failed. The server must be restarted; its log says why.");
}

void Api::Impl::CheckTools(const ChatRequest& request) const {
  const bool able = options_.auto_tool_choice && !options_.tool_call_parser.empty();
  if (request.tool_choice.kind == ToolChoice::Kind::kAuto && !able) {
    throw BadRequest("tool_choice",
                     "\"auto\" tool choice requires --enable-auto-tool-choice and "
                     "--tool-call-parser to be set");
  }
}

GrammarCompiler& Api::Impl::Grammars() {
  const std::lock_guard lock(grammars_mutex_);
  if (!grammars_) {
    const PromptBuilder& prompts = *model_.prompts;
    grammars_ = std::make_unique<GrammarCompiler>(
        prompts.tokenizer(), prompts.config().text.vocab, model_.end_tokens);
  }
  return *grammars_;
}

std::shared_ptr<const GrammarMatcher> Api::Impl::GrammarOf(const StructuredOutput& structured) {
  if (structured.kind == StructuredOutput::Kind::kNone) return nullptr;
  return CompileForEngine(Grammars(), ToGrammar(structured));
}

std::shared_ptr<const GrammarMatcher> Api::Impl::GrammarOf(const ChatRequest& request) {
  using Kind = ToolChoice::Kind;
  const Kind kind = request.tool_choice.kind;
  if (kind != Kind::kRequired && kind != Kind::kNamed) return GrammarOf(request.common.structured);
  if (request.common.structured.kind != StructuredOutput::Kind::kNone) {
    throw BadField("tool_choice",
                   "You can only either use structured output or a forced tool, not both.");
  }
  return CompileForEngine(
      Grammars(), {GrammarKind::kJsonSchema,
                   SchemaOfTools(request.tools, request.tool_choice, request.parallel_tool_calls)});
}

Request Api::Impl::EngineRequest(const CommonFields& common, PreparedPrompt prompt,
                                 std::string id) const {
  Request request;
  request.id = std::move(id);
  request.sampling = common.sampling;
  request.sampling.max_tokens = prompts_.RoomFor(prompt.n_tokens(), common.sampling.max_tokens,
                                                 limits_.defaults.max_new_tokens);
  request.sampling.min_tokens =
      std::min(request.sampling.min_tokens, *request.sampling.max_tokens);
  request.prompt = std::move(prompt);
  request.n = common.n;
  request.cache_salt = common.cache_salt;
  request.priority = common.priority;
  return request;
}

void Api::Impl::LogRequest(const std::string& id, const Request& request) const {
  if (!options_.log_requests) return;
  LogText(LogLevel::kNote,
          fmt::format("{}: {} prompt tokens, {} pictures, n={}, max_tokens={}, temperature={}", id,
                      request.prompt.n_tokens(),
                      request.prompt.images.grids.size() + request.prompt.videos.grids.size(),
                      request.n, *request.sampling.max_tokens, request.sampling.temperature));
}

std::string Api::Impl::EchoOf(const ChatRequest& request, const std::string& role) const {
  if (!request.common.echo || request.messages.empty()) return "";
  const ChatMessage& last = request.messages.back();
  std::string text;
  if (last.role == role) {
    for (const MediaPart& part : last.parts) text += part.text;
  }
  return text;
}

ChatAnswerOptions Api::Impl::ChatOptions(const ChatRequest& request, const PreparedPrompt& prompt,
                                         bool constrained, std::string id) const {
  const CommonFields& common = request.common;
  ChatAnswerOptions answer;
  answer.id = std::move(id);
  answer.model = options_.served_names.front();
  answer.created = UnixSeconds();
  answer.role = request.prompt.add_generation_prompt ? options_.response_role
                                                     : request.messages.back().role;
  answer.echo = EchoOf(request, answer.role);
  answer.n = common.n;
  answer.stream = common.stream_options;
  answer.streaming = common.stream;
  answer.logprobs = request.logprobs;
  answer.top_logprobs = request.top_logprobs;
  answer.tokens_as_ids = common.tokens_as_ids.value_or(options_.return_tokens_as_token_ids);
  answer.return_token_ids = common.return_token_ids;
  answer.cached_tokens = options_.prompt_tokens_details;
  if (common.return_token_ids) answer.prompt_ids = prompt.ids;
  answer.parser = {.reasoning = !options_.reasoning_parser.empty() && !constrained,
                   .include_reasoning = request.include_reasoning,
                   .reasoning_open = EndsInThought(prompt.text),
                   .tool_choice = request.tool_choice,
                   .has_tools = !request.tools.empty(),
                   .parallel = request.parallel_tool_calls};
  return answer;
}

void Api::Impl::Chat(HttpRequest& http, const ResponderPtr& responder) {
  RequireJson(http);
  auto task = std::make_shared<ChatTask>();
  task->request = ParseChatRequest(http.body, limits_);
  http.body = {};  // pictures are in it
  const ChatRequest& request = task->request;
  RequireModel(request.common.model);
  RequireAlive();
  CheckTools(request);
  task->grammar = GrammarOf(request);
  task->id = "chatcmpl-" + RequestId(http, request.common);
  task->arrival = http.received;
  task->responder = responder;
  if (!NeedsNetwork(request.messages)) return Generate(*task);
  const bool posted = fetchers_.Post([this, task] {
    WithErrors(task->responder, task->id, [&] { Generate(*task); });
  });
  if (!posted) {
    throw ApiError(503, "Too many pictures are being fetched at the moment. Try again.");
  }
}

void Api::Impl::Generate(ChatTask& task) {
  const ChatRequest& request = task.request;
  PreparedPrompt prompt = prompts_.OfChat(request);
  ChatAnswerOptions answer = ChatOptions(request, prompt, task.grammar != nullptr, task.id);
  Request generation = EngineRequest(request.common, std::move(prompt), task.id);
  generation.grammar = task.grammar;
  generation.arrival = task.arrival;
  LogRequest(task.id, generation);
  ++requests_;
  const auto writer = std::make_shared<ChatWriter>(
      std::move(answer), model_.prompts->tokenizer(), task.responder, engine_, &load_);
  std::vector<Request> generations;
  generations.push_back(std::move(generation));
  writer->Start(std::move(generations), &writer_thread_);
}

void Api::Impl::Completions(HttpRequest& http, const ResponderPtr& responder) {
  RequireJson(http);
  const CompletionRequest request = ParseCompletionRequest(http.body, limits_);
  http.body = {};
  const CommonFields& common = request.common;
  RequireModel(common.model);
  RequireAlive();
  const auto grammar = GrammarOf(common.structured);
  const std::string id = "cmpl-" + RequestId(http, common);
  CompletionAnswerOptions answer{
      .id = id,
      .model = options_.served_names.front(),
      .created = UnixSeconds(),
      .n = common.n,
      .stream = common.stream_options,
      .streaming = common.stream,
      .echo = common.echo,
      .logprobs = common.sampling.logprobs.has_value(),
      .prompt_logprobs = common.sampling.prompt_logprobs.has_value(),
      .tokens_as_ids = common.tokens_as_ids.value_or(options_.return_tokens_as_token_ids),
      .return_token_ids = common.return_token_ids,
      .cached_tokens = options_.prompt_tokens_details,
      .prompts = {}};
  std::vector<Request> generations;
  for (size_t i = 0; i < request.prompts.size(); ++i) {
    PreparedPrompt prompt = prompts_.OfCompletion(request.prompts[i], common);
    CompletionAnswerOptions::Prompt kept;
    if (common.echo || common.return_token_ids) kept.ids = prompt.ids;
    if (common.echo) {
      const auto* text = std::get_if<std::string>(&request.prompts[i]);
      kept.text = text != nullptr ? *text : model_.prompts->tokenizer().Decode(prompt.ids, false);
    }
    answer.prompts.push_back(std::move(kept));
    generations.push_back(
        EngineRequest(common, std::move(prompt), fmt::format("{}-{}", id, i)));
    generations.back().grammar = grammar;
    generations.back().arrival = http.received;
    LogRequest(generations.back().id, generations.back());
  }
  ++requests_;
  const auto writer = std::make_shared<CompletionWriter>(
      std::move(answer), model_.prompts->tokenizer(), responder, engine_, &load_);
  writer->Start(std::move(generations), &writer_thread_);
}

void Api::Impl::Invocations(HttpRequest& http, const ResponderPtr& responder) {
  RequireJson(http);
  switch (KindOfBody(http.body)) {
    case BodyKind::kChat:
      return Chat(http, responder);
    case BodyKind::kCompletion:
      return Completions(http, responder);
    case BodyKind::kUnknown:
      throw ApiError(400, "The request has neither messages nor a prompt.", "Bad Request");
  }
}

void Api::Impl::Tokenize(HttpRequest& http, const ResponderPtr& responder) {
  RequireJson(http);
  const TokenizeRequest request = ParseTokenizeRequest(http.body);
  RequireModel(request.model);
  const std::vector<int32_t> ids = prompts_.IdsOf(request);
  Json answer = {{"count", ids.size()},
                 {"max_model_len", engine_.max_model_len},
                 {"tokens", ids},
                 {"token_strs", nullptr}};
  if (request.return_token_strs) {
    const TokenWriter writer(model_.prompts->tokenizer(), /*as_ids=*/false);
    Json texts = Json::array();
    for (const int32_t id : ids) texts.push_back(writer.Text(id));
    answer["token_strs"] = std::move(texts);
  }
  responder->Send(JsonResponse(answer));
}

void Api::Impl::Detokenize(HttpRequest& http, const ResponderPtr& responder) {
  RequireJson(http);
  const DetokenizeRequest request = ParseDetokenizeRequest(http.body);
  RequireModel(request.model);
  for (const int32_t id : request.tokens) {
    if (id >= limits_.vocab) {
      throw BadRequest("tokens", "Token id {} is out of vocabulary (0 to {}).", id,
                       limits_.vocab - 1);
    }
  }
  const std::string text = model_.prompts->tokenizer().Decode(request.tokens, false);
  responder->Send(JsonResponse({{"prompt", text}}));
}

void Api::Impl::TokenizerInfo(HttpRequest&, const ResponderPtr& responder) {
  std::ifstream file(options_.model_dir / "tokenizer_config.json", std::ios::binary);
  Json config = Json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) config = Json::object();
  if (!config.contains("tokenizer_class")) config["tokenizer_class"] = "Qwen2Tokenizer";
  if (!config.contains("chat_template")) {
    config["chat_template"] = model_.prompts->chat_template().source();
  }
  responder->Send(JsonResponse(config));
}

void Api::Impl::Models(HttpRequest&, const ResponderPtr& responder) {
  Json cards = Json::array();
  for (const std::string& name : options_.served_names) {
    const Json permission = {{"id", "modelperm-" + RandomHex32()},
                             {"object", "model_permission"},
                             {"created", started_},
                             {"allow_create_engine", false},
                             {"allow_sampling", true},
                             {"allow_logprobs", true},
                             {"allow_search_indices", false},
                             {"allow_view", true},
                             {"allow_fine_tuning", false},
                             {"organization", "*"},
                             {"group", nullptr},
                             {"is_blocking", false}};
    cards.push_back({{"id", name},
                     {"object", "model"},
                     {"created", started_},
                     {"owned_by", "vllm"},
                     {"root", options_.served_names.front()},
                     {"parent", nullptr},
                     {"max_model_len", engine_.max_model_len},
                     {"permission", Json::array({permission})}});
  }
  responder->Send(JsonResponse({{"object", "list"}, {"data", std::move(cards)}}));
}

void Api::Impl::Health(HttpRequest&, const ResponderPtr& responder) {
  responder->Send({.status = engine_.healthy() ? 200 : 503, .content_type = ""});
}

void Api::Impl::Version(HttpRequest&, const ResponderPtr& responder) {
  responder->Send(JsonResponse({{"version", model_.version}}));
}

void Api::Impl::Load(HttpRequest&, const ResponderPtr& responder) {
  responder->Send(JsonResponse({{"server_load", load_.load()}}));
}

void Api::Impl::Metrics(HttpRequest&, const ResponderPtr& responder) {
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = MetricsText({.stats = engine_.stats(),
                               .options = engine_.options,
                               .memory = engine_.memory,
                               .model_name = options_.served_names.front(),
                               .resident_bytes = ResidentBytes(),
                               .start_time = started_,
                               .requests = requests_.load()});
  responder->Send(std::move(response));
}

void Api::Impl::ServerInfo(HttpRequest&, const ResponderPtr& responder) {
  const ServeOptions& options = engine_.options;
  responder->Send(JsonResponse(
      {{"vllm_config",
        fmt::format("model='{}', max_model_len={}, max_num_seqs={}, max_num_batched_tokens={}, "
                    "enable_prefix_caching={}, gpu_memory_utilization={}, device='cpu', {}",
                    options_.served_names.front(), engine_.max_model_len, options.max_num_seqs,
                    options.max_num_batched_tokens, options.prefix_caching ? "True" : "False",
                    options.memory_utilization, model_.description)}}));
}

void Api::Impl::ResetPrefixCache(HttpRequest&, const ResponderPtr& responder) {
  if (!engine_.reset_prefix_cache()) {
    throw ApiError(503, "The prefix cache can be reset only while no request is running.");
  }
  responder->Send({.status = 200, .content_type = ""});
}

void Api::Impl::ResetPictureCache(HttpRequest&, const ResponderPtr& responder) {
  engine_.reset_picture_cache();
  responder->Send({.status = 200, .content_type = ""});
}

void Api::Impl::IsSleeping(HttpRequest&, const ResponderPtr& responder) {
  responder->Send(JsonResponse({{"is_sleeping", false}}));
}

void Api::Impl::OpenApi(HttpRequest&, const ResponderPtr& responder) {
  responder->Send({.status = 200,
                   .content_type = "application/json",
                   .body = OpenApiJson(model_.version, options_.tokenizer_info)});
}

void Api::Impl::Docs(HttpRequest&, const ResponderPtr& responder) {
  responder->Send({.status = 200,
                   .content_type = "text/html; charset=utf-8",
                   .body = DocsPage(model_.version, options_.tokenizer_info)});
}

void Api::Impl::OutOfScope(HttpRequest&, const ResponderPtr& responder) {
  responder->Send(ErrorResponse(501, "This server does not have this endpoint. It serves one "
                                     "generating model: use /v1/chat/completions or "
                                     "/v1/completions."));
}

ServedModel ServedModelOf(const Engine& engine, std::string version) {
  ServedModel model{.prompts = &engine.prompts(), .end_tokens = {}, .version = std::move(version)};
  for (const AddedToken& token : engine.prompts().tokenizer().added_tokens()) {
    if (engine.IsStop(token.id)) model.end_tokens.push_back(token.id);
  }
  model.description =
      fmt::format("quantization='{}', dtype='{}'", FolderFormatName(engine.reader().format()),
                  PrecisionName(engine.options().precision));
  return model;
}

Api::Api(ApiOptions options, ServedModel model, EnginePort engine)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(model), std::move(engine))) {}
Api::~Api() = default;
void Api::Register(Router* router) { impl_->Register(router); }

}  // namespace ingot::server
