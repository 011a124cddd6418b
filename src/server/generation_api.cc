// SPDX-License-Identifier: Apache-2.0
#include "server/generation_api.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "server/api_error.h"
#include "server/chat_writer.h"
#include "server/completion_writer.h"
#include "server/endpoint.h"
#include "server/request_json.h"

namespace ingot::server {
namespace {

int64_t UnixSeconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
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

// The prompt ends with an open <think>, as templates of thinking models write it.
bool EndsInThought(std::string_view text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  return end != std::string_view::npos && text.substr(0, end + 1).ends_with("<think>");
}

// What is repeated of the conversation: its last message, when that is the answer's own beginning.
std::string EchoOf(const ChatRequest& request, const std::string& role) {
  if (!request.common.echo || request.messages.empty()) return "";
  const ChatMessage& last = request.messages.back();
  std::string text;
  if (last.role == role) {
    for (const MediaPart& part : last.parts) text += part.text;
  }
  return text;
}

ChatAnswerOptions ChatOptions(const ModelLane& lane, const ChatRequest& request,
                              const PreparedPrompt& prompt, bool constrained, std::string id) {
  const CommonFields& common = request.common;
  const ApiOptions& options = lane.options();
  ChatAnswerOptions answer;
  answer.id = std::move(id);
  answer.model = lane.name();
  answer.created = UnixSeconds();
  answer.role = request.prompt.add_generation_prompt ? options.response_role
                                                     : request.messages.back().role;
  answer.echo = EchoOf(request, answer.role);
  answer.n = common.n;
  answer.stream = common.stream_options;
  answer.streaming = common.stream;
  answer.logprobs = request.logprobs;
  answer.top_logprobs = request.top_logprobs;
  answer.tokens_as_ids = common.tokens_as_ids.value_or(options.return_tokens_as_token_ids);
  answer.return_token_ids = common.return_token_ids;
  answer.cached_tokens = options.prompt_tokens_details;
  if (common.return_token_ids) answer.prompt_ids = prompt.ids;
  answer.parser = {.reasoning = !options.reasoning_parser.empty() && !constrained,
                   .include_reasoning = request.include_reasoning,
                   .reasoning_open = EndsInThought(prompt.text),
                   .tool_choice = request.tool_choice,
                   .has_tools = !request.tools.empty(),
                   .parallel = request.parallel_tool_calls};
  return answer;
}

CompletionAnswerOptions CompletionOptions(const ModelLane& lane, const CommonFields& common,
                                          std::string id) {
  const ApiOptions& options = lane.options();
  return {.id = std::move(id),
          .model = lane.name(),
          .created = UnixSeconds(),
          .n = common.n,
          .stream = common.stream_options,
          .streaming = common.stream,
          .echo = common.echo,
          .logprobs = common.sampling.logprobs.has_value(),
          .prompt_logprobs = common.sampling.prompt_logprobs.has_value(),
          .tokens_as_ids = common.tokens_as_ids.value_or(options.return_tokens_as_token_ids),
          .return_token_ids = common.return_token_ids,
          .cached_tokens = options.prompt_tokens_details,
          .prompts = {}};
}

CompletionAnswerOptions::Prompt KeptOf(const ModelLane& lane, const CommonFields& common,
                                       const CompletionPrompt& asked,
                                       const PreparedPrompt& prompt) {
  CompletionAnswerOptions::Prompt kept;
  if (common.echo || common.return_token_ids) kept.ids = prompt.ids;
  if (common.echo) {
    const auto* text = std::get_if<std::string>(&asked);
    kept.text = text != nullptr ? *text : lane.tokenizer().Decode(prompt.ids, false);
  }
  return kept;
}

}  // namespace

// A chat request on its way to the engine.
struct GenerationApi::ChatTask {
  ModelLane* lane = nullptr;
  ChatRequest request;
  std::shared_ptr<const GrammarMatcher> grammar;
  std::string id;
  EngineClock::time_point arrival;
  ResponderPtr responder;
};

void GenerationApi::Register(Router* router) {
  using Member = void (GenerationApi::*)(HttpRequest&, const ResponderPtr&);
  const auto work = [&](const char* path, Member member) {
    router->Work("POST", path, Guarded([this, member](HttpRequest& http, const ResponderPtr& to) {
                   (this->*member)(http, to);
                 }));
  };
  work("/v1/chat/completions", &GenerationApi::Chat);
  work("/v1/completions", &GenerationApi::Completions);
  work("/invocations", &GenerationApi::Invocations);
}

void GenerationApi::Chat(HttpRequest& http, const ResponderPtr& responder) {
  RequireJson(http);
  auto task = std::make_shared<ChatTask>();
  task->request = ParseChatRequest(
      http.body, [this](const std::string& model) -> const ParseLimits& {
        return lanes_.Of(model).limits();
      });
  http.body = {};  // pictures are in it
  const ChatRequest& request = task->request;
  ModelLane& lane = lanes_.Require(request.common.model);
  lane.RequireAlive();
  lane.CheckTools(request);
  task->lane = &lane;
  task->grammar = lane.GrammarOf(request);
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

void GenerationApi::Generate(ChatTask& task) {
  ModelLane& lane = *task.lane;
  const ChatRequest& request = task.request;
  PreparedPrompt prompt = lane.prompts().OfChat(request);
  ChatAnswerOptions answer =
      ChatOptions(lane, request, prompt, task.grammar != nullptr, task.id);
  std::vector<Request> generations;
  generations.push_back(lane.EngineRequest(request.common, std::move(prompt), task.id));
  generations.back().grammar = task.grammar;
  generations.back().arrival = task.arrival;
  lane.CountRequest();
  const auto writer = std::make_shared<ChatWriter>(std::move(answer), lane.tokenizer(),
                                                   task.responder, lane.engine(), &load_);
  writer->Start(std::move(generations), &writer_thread_);
}

void GenerationApi::Completions(HttpRequest& http, const ResponderPtr& responder) {
  RequireJson(http);
  const CompletionRequest request = ParseCompletionRequest(
      http.body, [this](const std::string& model) -> const ParseLimits& {
        return lanes_.Of(model).limits();
      });
  http.body = {};
  const CommonFields& common = request.common;
  ModelLane& lane = lanes_.Require(common.model);
  lane.RequireAlive();
  const auto grammar = lane.GrammarOf(common.structured);
  const std::string id = "cmpl-" + RequestId(http, common);
  CompletionAnswerOptions answer = CompletionOptions(lane, common, id);
  std::vector<Request> generations;
  for (size_t i = 0; i < request.prompts.size(); ++i) {
    PreparedPrompt prompt = lane.prompts().OfCompletion(request.prompts[i], common);
    answer.prompts.push_back(KeptOf(lane, common, request.prompts[i], prompt));
    generations.push_back(
        lane.EngineRequest(common, std::move(prompt), fmt::format("{}-{}", id, i)));
    generations.back().grammar = grammar;
    generations.back().arrival = http.received;
  }
  lane.CountRequest();
  const auto writer = std::make_shared<CompletionWriter>(std::move(answer), lane.tokenizer(),
                                                         responder, lane.engine(), &load_);
  writer->Start(std::move(generations), &writer_thread_);
}

void GenerationApi::Invocations(HttpRequest& http, const ResponderPtr& responder) {
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

}  // namespace ingot::server
