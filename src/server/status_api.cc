// SPDX-License-Identifier: Apache-2.0
#include "server/status_api.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"
#include "server/api_error.h"
#include "server/endpoint.h"
#include "server/metrics_text.h"
#include "server/openapi.h"
#include "server/response_json.h"

namespace ingot::server {
namespace {

int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

Json CardOf(const ModelLane& lane, const std::string& name, int64_t created) {
  const Json permission = {{"id", "modelperm-" + RandomHex32()},
                           {"object", "model_permission"},
                           {"created", created},
                           {"allow_create_engine", false},
                           {"allow_sampling", true},
                           {"allow_logprobs", true},
                           {"allow_search_indices", false},
                           {"allow_view", true},
                           {"allow_fine_tuning", false},
                           {"organization", "*"},
                           {"group", nullptr},
                           {"is_blocking", false}};
  return {{"id", name},
          {"object", "model"},
          {"created", created},
          {"owned_by", "vllm"},
          {"root", lane.name()},
          {"parent", nullptr},
          {"max_model_len", lane.engine().max_model_len},
          {"permission", Json::array({permission})}};
}

HttpResponse Models(const ModelLanes& lanes, int64_t created) {
  Json cards = Json::array();
  for (const auto& lane : lanes.all()) {
    for (const std::string& name : lane->options().served_names) {
      cards.push_back(CardOf(*lane, name, created));
    }
  }
  return JsonResponse({{"object", "list"}, {"data", std::move(cards)}});
}

HttpResponse Health(const ModelLanes& lanes) {
  const bool healthy =
      std::ranges::all_of(lanes.all(), [](const auto& lane) { return lane->engine().healthy(); });
  return {.status = healthy ? 200 : 503, .content_type = ""};
}

HttpResponse Metrics(const ModelLanes& lanes, int64_t started) {
  std::vector<ModelFigures> models;
  for (const auto& lane : lanes.all()) {
    models.push_back({.stats = lane->engine().stats(),
                      .options = lane->engine().options,
                      .memory = lane->engine().memory,
                      .model_name = lane->name(),
                      .requests = lane->requests()});
  }
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = MetricsText(models, {.resident_bytes = ResidentBytes(), .start_time = started});
  return response;
}

std::string ConfigOf(const ModelLane& lane) {
  const ServeOptions& options = lane.engine().options;
  return fmt::format(
      "model='{}', max_model_len={}, max_num_seqs={}, max_num_batched_tokens={}, "
      "enable_prefix_caching={}, gpu_memory_utilization={}, device='cpu', {}",
      lane.name(), lane.engine().max_model_len, options.max_num_seqs,
      options.max_num_batched_tokens, options.prefix_caching ? "True" : "False",
      options.memory_utilization, lane.model().description);
}

HttpResponse ServerInfo(const ModelLanes& lanes) {
  Json info = {{"vllm_config", ConfigOf(lanes.first())}};
  if (lanes.all().size() > 1) info["compare_config"] = ConfigOf(*lanes.all()[1]);
  return JsonResponse(info);
}

HttpResponse ResetPrefixCaches(const ModelLanes& lanes) {
  for (const auto& lane : lanes.all()) {
    if (lane->engine().reset_prefix_cache()) continue;
    throw ApiError(503, "The prefix cache can be reset only while no request is running.");
  }
  return {.status = 200, .content_type = ""};
}

HttpResponse ResetPictureCaches(const ModelLanes& lanes) {
  for (const auto& lane : lanes.all()) lane->engine().reset_picture_cache();
  return {.status = 200, .content_type = ""};
}

HttpResponse OutOfScope() {
  return ErrorResponse(501,
                       "This server does not have this endpoint. It serves generating models: use "
                       "/v1/chat/completions or /v1/completions.");
}

// Adds routes whose answer needs nothing of the request.
class Routes {
 public:
  explicit Routes(Router* router) : router_(router) {}
  using Answer = std::function<HttpResponse()>;
  void Quick(const char* method, const char* path, const Answer& answer) {
    router_->Quick(method, path, Sending(answer));
  }
  void Work(const char* method, const char* path, const Answer& answer) {
    router_->Work(method, path, Sending(answer));
  }

 private:
  static Handler Sending(const Answer& answer) {
    return Guarded([answer](HttpRequest&, const ResponderPtr& to) { to->Send(answer()); });
  }
  Router* router_;
};

void RegisterDeveloperRoutes(const ModelLanes& lanes, Routes* routes) {
  routes->Work("GET", "/server_info", [&lanes] { return ServerInfo(lanes); });
  routes->Work("POST", "/reset_prefix_cache", [&lanes] { return ResetPrefixCaches(lanes); });
  routes->Work("POST", "/reset_mm_cache", [&lanes] { return ResetPictureCaches(lanes); });
  routes->Quick("GET", "/is_sleeping", [] { return JsonResponse({{"is_sleeping", false}}); });
  routes->Quick("POST", "/sleep", OutOfScope);
  routes->Quick("POST", "/wake_up", OutOfScope);
}

void RegisterDescriptions(const ModelLane& lane, Routes* routes) {
  const OpenApiFacts facts{.version = lane.model().version,
                           .tokenizer_info = lane.options().tokenizer_info,
                           .vocab = lane.limits().vocab};
  routes->Quick("GET", "/openapi.json", [=]() -> HttpResponse {
    return {.content_type = "application/json", .body = OpenApiJson(facts)};
  });
  routes->Quick("GET", "/docs", [=]() -> HttpResponse {
    return {.content_type = "text/html; charset=utf-8", .body = DocsPage(facts)};
  });
}

}  // namespace

void RegisterStatusApi(const ModelLanes& lanes, std::function<int64_t()> load, Router* router) {
  Routes routes(router);
  const int64_t started = std::chrono::duration_cast<std::chrono::seconds>(
                              std::chrono::system_clock::now().time_since_epoch())
                              .count();
  routes.Quick("GET", "/v1/models", [&lanes, started] { return Models(lanes, started); });
  for (const auto& [method, path] :
       {std::pair("GET", "/health"), std::pair("GET", "/ping"), std::pair("POST", "/ping")}) {
    routes.Quick(method, path, [&lanes] { return Health(lanes); });
  }
  routes.Quick("GET", "/version", [version = lanes.first().model().version] {
    return JsonResponse({{"version", version}});
  });
  routes.Quick("GET", "/load",
               [load = std::move(load)] { return JsonResponse({{"server_load", load()}}); });
  routes.Work("GET", "/metrics", [&lanes, started] { return Metrics(lanes, started); });
  if (lanes.first().options().server_info) RegisterDeveloperRoutes(lanes, &routes);
  if (!lanes.first().options().disable_docs) RegisterDescriptions(lanes.first(), &routes);
  for (const char* path :
       {"/v1/responses", "/v1/embeddings", "/pooling", "/classify", "/score", "/v1/score",
        "/rerank", "/v1/rerank", "/v2/rerank", "/v1/audio/transcriptions",
        "/v1/audio/translations"}) {
    routes.Quick("POST", path, OutOfScope);
  }
}

}  // namespace ingot::server
