// SPDX-License-Identifier: Apache-2.0
#include "server/model_lane.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "server/api_error.h"
#include "server/generation_defaults.h"

namespace ingot::server {
namespace {

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

ApiOptions Named(ApiOptions options) {
  CheckParsers(options);
  if (options.served_names.empty()) options.served_names = {options.model_dir.string()};
  return options;
}

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

ModelLane::ModelLane(ApiModel model)
    : options_(Named(std::move(model.options))),
      model_(std::move(model.model)),
      engine_(std::move(model.engine)),
      limits_(LimitsOf(options_, model_, engine_)),
      prompts_(options_, *model_.prompts, engine_.max_model_len) {}

bool ModelLane::HasName(const std::string& name) const {
  return std::ranges::count(options_.served_names, name) > 0;
}

void ModelLane::RequireAlive() const {
  if (engine_.healthy()) return;
  throw ApiError(500, "The engine has failed. The server must be restarted; its log says why.");
}

void ModelLane::CheckTools(const ChatRequest& request) const {
  const bool able = options_.auto_tool_choice && !options_.tool_call_parser.empty();
  if (request.tool_choice.kind == ToolChoice::Kind::kAuto && !able) {
    throw BadRequest("tool_choice",
                     "\"auto\" tool choice requires --enable-auto-tool-choice and "
                     "--tool-call-parser to be set");
  }
}

GrammarCompiler& ModelLane::Grammars() {
  const std::lock_guard lock(grammars_mutex_);
  if (!grammars_) {
    const PromptBuilder& prompts = *model_.prompts;
    grammars_ = std::make_unique<GrammarCompiler>(
        prompts.tokenizer(), prompts.config().text.vocab, model_.end_tokens);
  }
  return *grammars_;
}

std::shared_ptr<const GrammarMatcher> ModelLane::GrammarOf(const StructuredOutput& structured) {
  if (structured.kind == StructuredOutput::Kind::kNone) return nullptr;
  return CompileForEngine(Grammars(), ToGrammar(structured));
}

std::shared_ptr<const GrammarMatcher> ModelLane::GrammarOf(const ChatRequest& request) {
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

Request ModelLane::EngineRequest(const CommonFields& common, PreparedPrompt prompt,
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
  LogRequest(request);
  return request;
}

void ModelLane::LogRequest(const Request& request) const {
  if (!options_.log_requests) return;
  LogText(LogLevel::kNote,
          fmt::format("{}: {} prompt tokens, {} pictures, n={}, max_tokens={}, temperature={}",
                      request.id, request.prompt.n_tokens(),
                      request.prompt.images.grids.size() + request.prompt.videos.grids.size(),
                      request.n, *request.sampling.max_tokens, request.sampling.temperature));
}

ModelLanes::ModelLanes(std::vector<ApiModel> models) {
  for (ApiModel& model : models) {
    auto lane = std::make_unique<ModelLane>(std::move(model));
    for (const std::string& name : lane->options().served_names) {
      for (const auto& other : lanes_) {
        if (!other->HasName(name)) continue;
        throw UserError("two models are called \"{}\"; a request could not tell them apart", name);
      }
    }
    lanes_.push_back(std::move(lane));
  }
}

ModelLane& ModelLanes::Of(const std::string& name) const {
  for (const auto& lane : lanes_) {
    if (lane->HasName(name)) return *lane;
  }
  return first();
}

ModelLane& ModelLanes::Require(const std::string& name) const {
  ModelLane& lane = Of(name);
  if (name.empty() || lane.HasName(name)) return lane;
  // The client's own text comes back: bounded, and JSON escapes the rest.
  throw ApiError(404, fmt::format("The model `{}` does not exist.", name.substr(0, 256)), "",
                 "model");
}

}  // namespace ingot::server
