// SPDX-License-Identifier: Apache-2.0
// One served model as the endpoints see it: its names and limits, and the way of a parsed request
// to its engine. ModelLanes are all of them, by name.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "server/api.h"
#include "server/api_types.h"
#include "server/prompt_input.h"
#include "server/structured_output.h"

namespace ingot::server {

class ModelLane {
 public:
  // Errors: those of Api.
  explicit ModelLane(ApiModel model);

  bool HasName(const std::string& name) const;
  const std::string& name() const { return options_.served_names.front(); }  // what answers say
  const ApiOptions& options() const { return options_; }
  const ServedModel& model() const { return model_; }
  const Tokenizer& tokenizer() const { return model_.prompts->tokenizer(); }
  const EnginePort& engine() const { return engine_; }
  const ParseLimits& limits() const { return limits_; }
  const PromptInput& prompts() const { return prompts_; }

  // Errors: ApiError 500.
  void RequireAlive() const;
  // Errors: ApiError 400 when the model may not choose tools by itself.
  void CheckTools(const ChatRequest& request) const;
  // Null for free text. Errors: ApiError 400 for what cannot be enforced.
  std::shared_ptr<const GrammarMatcher> GrammarOf(const StructuredOutput& structured);
  std::shared_ptr<const GrammarMatcher> GrammarOf(const ChatRequest& request);
  // What the engine is asked, max_tokens settled. Logged with --enable-log-requests.
  Request EngineRequest(const CommonFields& common, PreparedPrompt prompt, std::string id) const;

  void CountRequest() { ++requests_; }
  uint64_t requests() const { return requests_.load(); }  // HTTP requests for answers, ever

 private:
  GrammarCompiler& Grammars();
  void LogRequest(const Request& request) const;

  ApiOptions options_;
  ServedModel model_;
  EnginePort engine_;
  ParseLimits limits_;
  PromptInput prompts_;
  std::atomic<uint64_t> requests_ = 0;
  std::mutex grammars_mutex_;
  std::unique_ptr<GrammarCompiler> grammars_;  // made when first asked for
};

class ModelLanes {
 public:
  // Requires: not empty. Errors: those of Api.
  explicit ModelLanes(std::vector<ApiModel> models);

  ModelLane& first() const { return *lanes_.front(); }
  const std::vector<std::unique_ptr<ModelLane>>& all() const { return lanes_; }
  // The lane of this name; the first one when it is "" or nobody's.
  ModelLane& Of(const std::string& name) const;
  // Errors: ApiError 404 when it is nobody's.
  ModelLane& Require(const std::string& name) const;

 private:
  std::vector<std::unique_ptr<ModelLane>> lanes_;
};

}  // namespace ingot::server
