// SPDX-License-Identifier: Apache-2.0
// The routes of people: the chat page and what it says about the model.
#include "server/web_pages.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "web/chat_page.h"

namespace ingot::server {
namespace {

using Json = nlohmann::ordered_json;

void PutBytes(const char* name, int64_t bytes, Json* memory) {
  if (bytes > 0) (*memory)[name] = bytes;
}

Json JsonOf(const ServedInfo& model) {
  Json json;
  const std::pair<const char*, const std::string*> texts[] = {{"name", &model.name},
                                                              {"format", &model.format},
                                                              {"quantization", &model.quantization},
                                                              {"emulate", &model.emulate},
                                                              {"warning", &model.warning}};
  for (const auto& [name, text] : texts) {
    if (!text->empty()) json[name] = *text;
  }
  Json memory = Json::object();
  PutBytes("weights_bytes", model.weight_bytes, &memory);
  PutBytes("kv_cache_bytes", model.kv_bytes, &memory);
  PutBytes("picture_cache_bytes", model.picture_cache_bytes, &memory);
  json["memory"] = std::move(memory);
  return json;
}

HttpResponse PageResponse() {
  HttpResponse response;
  response.content_type = "text/html; charset=utf-8";
  response.body = ChatPage();
  // The policy names the page's script and style by their hashes; a cached page of another version
  // comes with its own.
  response.headers = {{"Content-Security-Policy", std::string(ChatPageSecurityPolicy())},
                      {"X-Content-Type-Options", "nosniff"},
                      {"X-Frame-Options", "DENY"},
                      {"Referrer-Policy", "no-referrer"},
                      {"Cache-Control", "no-cache"}};
  return response;
}

}  // namespace

std::string ServedInfoJson(const std::string& version, const ServedInfo& model,
                           const std::optional<ServedInfo>& other) {
  Json json = {{"version", version}};
  json.update(JsonOf(model));
  json["compare"] = nullptr;
  if (other) {
    json["compare"] = {{"a", model.name}, {"b", other->name}};
    json["other"] = JsonOf(*other);
  }
  // Names come from the command line: bytes that are no UTF-8 must not throw here.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void AddWebPages(const std::string& version, const ServedInfo& model,
                 const std::optional<ServedInfo>& other, Router* router) {
  router->Quick("GET", "/",
                [](HttpRequest, ResponderPtr responder) { responder->Send(PageResponse()); });
  router->Quick(
      "GET", "/ingot/info",
      [body = ServedInfoJson(version, model, other)](HttpRequest, ResponderPtr responder) {
        responder->Send({.body = body, .headers = {{"Cache-Control", "no-store"}}});
      });
}

}  // namespace ingot::server
