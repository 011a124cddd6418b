// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "cli/serve_instance.h"

#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "cli/serve_model.h"
#include "engine/memory_plan.h"

namespace ingot::cli {
namespace {

void SayFormat(const ServeInstance& model, bool asked) {
  if (model.options.codes_as_float) {
    LogWarning(
        "--unsafe-load-as-float: the int8 codes of {} are taken for weights and their scales are "
        "dropped. THE ANSWERS WILL BE GARBAGE. This shows what an engine prints that is not told "
        "of the format ({}).",
        model.api.model_dir.string(), FolderFormatName(model.format));
  } else if (!asked && model.format != FolderFormat::kFloat) {
    LogNote("{} holds {} weights; they are read as such.", model.api.model_dir.string(),
            FolderFormatName(model.format));
  }
}

}  // namespace

std::vector<ServeInstance> FindModels(const ServeSetup& setup) {
  std::vector<ServeInstance> models(1);
  models[0].api = setup.api;
  models[0].options = setup.model;
  models[0].format = RequireServable(setup.api.model_dir, setup.quantization, setup.load_as_float);
  SayFormat(models[0], setup.quantization != "auto");
  if (models[0].format == FolderFormat::kFloat && setup.model.emulate != Emulate::kNone) {
    LogWarning("--emulate {}: {} is a float folder; there is nothing to round.",
               EmulateName(setup.model.emulate), setup.api.model_dir.string());
    models[0].options.emulate = Emulate::kNone;
  }
  std::vector<std::filesystem::path> dirs = {setup.api.model_dir};
  if (setup.other) {
    ServeInstance other;
    other.api = setup.other->api;
    other.options = setup.other->model;
    other.format = RequireServable(other.api.model_dir, "auto", /*load_as_float=*/false);
    SayFormat(other, /*asked=*/false);
    dirs.push_back(other.api.model_dir);
    models.push_back(std::move(other));
  }
  RequireMemory(dirs, setup.engine.memory_utilization);
  return models;
}

void LoadModels(const ServeOptions& options, std::vector<ServeInstance>* models) {
  std::vector<MemoryFacts> facts;
  for (ServeInstance& one : *models) {
    one.model = std::make_unique<Engine>(one.api.model_dir, one.options);
    facts.push_back(MemoryFactsOf(*one.model));
  }
  const std::vector<MemoryPlan> plans = PlanMemory(std::move(facts), options);
  for (size_t i = 0; i < plans.size(); ++i) {
    ServeInstance& one = (*models)[i];
    one.engine = std::make_unique<AsyncEngine>(*one.model, options, plans[i]);
  }
}

std::vector<server::ApiModel> ApiModelsOf(const std::vector<ServeInstance>& models) {
  std::vector<server::ApiModel> served;
  for (const ServeInstance& one : models) {
    served.push_back({one.api, server::ServedModelOf(*one.model, INGOT_VERSION),
                      server::PortOf(*one.engine)});
  }
  return served;
}

server::ServedInfo InfoOf(const ServeInstance& model) {
  const MemoryPlan& memory = model.engine->memory();
  server::ServedInfo info{.name = model.name(),
                          .format = std::string(FolderFormatName(model.format)),
                          .quantization = model.format == FolderFormat::kFloat ? "none" : "w8a8",
                          .emulate = "",
                          .warning = "",
                          .weight_bytes = memory.weights,
                          .kv_bytes = memory.kv,
                          .picture_cache_bytes = memory.pictures};
  if (model.options.emulate != Emulate::kNone) info.emulate = EmulateName(model.options.emulate);
  if (model.options.codes_as_float) {
    info.warning =
        "int8 codes are taken for weights on purpose (--unsafe-load-as-float): the answers are "
        "garbage";
  }
  return info;
}

std::string DescribeInstance(const ServeInstance& model) {
  const AsyncEngine& engine = *model.engine;
  const Emulate emulate = model.options.emulate;
  return fmt::format(
      "ingot {} serves {} as \"{}\"\n"
      "model:  {} ({}), {} arithmetic{}{}\n"
      "{}\n"
      "length: {} tokens of prompt and answer; {:.1f} such requests fit at once\n"
      "steps:  at most {} tokens and {} answers; a prompt holds up running answers for {} ms at a "
      "time\n",
      INGOT_VERSION, model.api.model_dir.string(), model.name(), FolderFormatName(model.format),
      HumanBytes(model.model->reader().data_bytes()), PrecisionName(model.options.precision),
      emulate == Emulate::kNone ? "" : ", emulates ",
      emulate == Emulate::kNone ? "" : EmulateName(emulate), engine.memory().Describe(),
      engine.max_model_len(), engine.memory().SequencesOf(engine.max_model_len()),
      engine.options().max_num_batched_tokens, engine.options().max_num_seqs,
      engine.options().max_stall_ms);
}

}  // namespace ingot::cli
