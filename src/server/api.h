// SPDX-License-Identifier: Apache-2.0
// The OpenAI-compatible endpoints of vLLM 0.11 over one served model, or over two that are
// compared. What each endpoint and field does: docs/api.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "prompt/prompt_builder.h"
#include "server/engine_port.h"
#include "server/router.h"
#include "server/serve_config.h"

namespace ingot {
class Engine;
}

namespace ingot::server {

struct ServedModel {
  const PromptBuilder* prompts = nullptr;  // outlives the Api
  std::vector<int32_t> end_tokens;         // tokens that end an answer
  std::string version;                     // of this program
  std::string description;                 // format and precision, for /server_info
};

// What there is to know of a loaded engine.
ServedModel ServedModelOf(const Engine& engine, std::string version);

// One model that requests may name.
struct ApiModel {
  ApiOptions options;
  ServedModel model;
  EnginePort engine;
};

class Api {
 public:
  // Errors: UserError when an option names something that is not there (chat template, generation
  // config, media folder, parser).
  Api(ApiOptions options, ServedModel model, EnginePort engine);
  // Several models. The first answers requests that name none, and its options decide which
  // endpoints there are. Errors: also UserError when two models have a name in common.
  explicit Api(std::vector<ApiModel> models);
  // Requires: no handler runs any more and the engines have been stopped.
  ~Api();
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  void Register(Router* router);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingot::server
