// SPDX-License-Identifier: Apache-2.0
// One model that is being served: its folder, what was asked of it, the loaded weights and the
// engine; and what people are told about it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoint/quant_format.h"
#include "cli/serve_options.h"
#include "engine/async_engine.h"
#include "server/api.h"
#include "server/web_pages.h"

namespace ingot::cli {

struct ServeInstance {
  server::ApiOptions api;
  EngineOptions options;
  FolderFormat format = FolderFormat::kFloat;
  std::unique_ptr<Engine> model;
  std::unique_ptr<AsyncEngine> engine;  // uses the model
  const std::string& name() const { return api.served_names.front(); }
};

// MODEL and, with --compare, OTHER: judged, not yet loaded, so that everything that is wrong with
// either shows at once. Errors: those of RequireServable and RequireMemory.
std::vector<ServeInstance> FindModels(const ServeSetup& setup);
// Loads them and shares the memory out. Errors: those of Engine and AsyncEngine.
void LoadModels(const ServeOptions& options, std::vector<ServeInstance>* models);

// What the endpoints need.
std::vector<server::ApiModel> ApiModelsOf(const std::vector<ServeInstance>& models);
// What the chat page tells people.
server::ServedInfo InfoOf(const ServeInstance& model);
// What is served and what the memory is spent on: lines for the start, ended.
std::string DescribeInstance(const ServeInstance& model);

}  // namespace ingot::cli
