// SPDX-License-Identifier: Apache-2.0
#include "server/token_api.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "server/api_error.h"
#include "server/endpoint.h"
#include "server/request_json.h"
#include "server/response_json.h"

namespace ingot::server {
namespace {

void Tokenize(const ModelLanes& lanes, const HttpRequest& http, const ResponderPtr& responder) {
  RequireJson(http);
  const TokenizeRequest request = ParseTokenizeRequest(http.body);
  const ModelLane& lane = lanes.Require(request.model);
  const std::vector<int32_t> ids = lane.prompts().IdsOf(request);
  Json answer = {{"count", ids.size()},
                 {"max_model_len", lane.engine().max_model_len},
                 {"tokens", ids},
                 {"token_strs", nullptr}};
  if (request.return_token_strs) {
    const TokenWriter writer(lane.tokenizer(), /*as_ids=*/false);
    Json texts = Json::array();
    for (const int32_t id : ids) texts.push_back(writer.Text(id));
    answer["token_strs"] = std::move(texts);
  }
  responder->Send(JsonResponse(answer));
}

void Detokenize(const ModelLanes& lanes, const HttpRequest& http, const ResponderPtr& responder) {
  RequireJson(http);
  const DetokenizeRequest request = ParseDetokenizeRequest(http.body);
  const ModelLane& lane = lanes.Require(request.model);
  for (const int32_t id : request.tokens) {
    if (id >= lane.limits().vocab) {
      throw BadRequest("tokens", "Token id {} is out of vocabulary (0 to {}).", id,
                       lane.limits().vocab - 1);
    }
  }
  responder->Send(JsonResponse({{"prompt", lane.tokenizer().Decode(request.tokens, false)}}));
}

// Of the first model: the endpoint names none.
void TokenizerInfo(const ModelLane& lane, const ResponderPtr& responder) {
  std::ifstream file(lane.options().model_dir / "tokenizer_config.json", std::ios::binary);
  Json config = Json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) config = Json::object();
  if (!config.contains("tokenizer_class")) config["tokenizer_class"] = "Qwen2Tokenizer";
  if (!config.contains("chat_template")) {
    config["chat_template"] = lane.model().prompts->chat_template().source();
  }
  responder->Send(JsonResponse(config));
}

}  // namespace

void RegisterTokenApi(const ModelLanes& lanes, Router* router) {
  router->Work("POST", "/tokenize", Guarded([&lanes](HttpRequest& http, const ResponderPtr& to) {
                 Tokenize(lanes, http, to);
               }));
  router->Work("POST", "/detokenize", Guarded([&lanes](HttpRequest& http, const ResponderPtr& to) {
                 Detokenize(lanes, http, to);
               }));
  if (!lanes.first().options().tokenizer_info) return;
  router->Work("GET", "/tokenizer_info",
               Guarded([&lanes](HttpRequest&, const ResponderPtr& to) {
                 TokenizerInfo(lanes.first(), to);
               }));
}

}  // namespace ingot::server
