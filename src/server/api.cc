// SPDX-License-Identifier: Apache-2.0
#include "server/api.h"

#include <utility>

#include "base/log.h"
#include "engine/engine.h"
#include "server/generation_api.h"
#include "server/model_lane.h"
#include "server/status_api.h"
#include "server/token_api.h"

namespace ingot::server {

class Api::Impl {
 public:
  explicit Impl(std::vector<ApiModel> models) : lanes_(std::move(models)) {}

  void Register(Router* router) {
    generation_.Register(router);
    RegisterTokenApi(lanes_, router);
    RegisterStatusApi(lanes_, [this] { return generation_.load(); }, router);
  }

 private:
  ModelLanes lanes_;
  GenerationApi generation_{lanes_};
};

namespace {

std::vector<ApiModel> OneModel(ApiOptions options, ServedModel model, EnginePort engine) {
  std::vector<ApiModel> models;
  models.push_back({std::move(options), std::move(model), std::move(engine)});
  return models;
}

}  // namespace

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
    : Api(OneModel(std::move(options), std::move(model), std::move(engine))) {}
Api::Api(std::vector<ApiModel> models) : impl_(std::make_unique<Impl>(std::move(models))) {}
Api::~Api() = default;
void Api::Register(Router* router) { impl_->Register(router); }

}  // namespace ingot::server
