// SPDX-License-Identifier: Apache-2.0
// Source of the rules: vllm-project/vllm: vllm/config/model.py (get_diff_sampling_param), 0.11. As
// there, do_sample is not looked at: clients that want the likeliest token ask for temperature 0.
#include "server/generation_defaults.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"

namespace ingot::server {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxFileBytes = 1u << 20;

json ParseConfig(const std::string& text, const std::string& where) {
  json config = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) throw UserError("{}: expected a JSON object", where);
  return config;
}

template <typename T>
void Take(const json& config, const char* name, const std::string& where, T* value) {
  const auto found = config.find(name);
  if (found == config.end() || found->is_null()) return;
  if (!found->is_number()) throw UserError("{}: {} is no number", where, name);
  *value = found->get<T>();
}

void Apply(const json& config, const std::string& where, GenerationDefaults* defaults) {
  Take(config, "temperature", where, &defaults->temperature);
  Take(config, "top_p", where, &defaults->top_p);
  Take(config, "top_k", where, &defaults->top_k);
  Take(config, "min_p", where, &defaults->min_p);
  Take(config, "repetition_penalty", where, &defaults->repetition_penalty);
  if (config.contains("max_new_tokens") && !config["max_new_tokens"].is_null()) {
    int64_t value = 0;
    Take(config, "max_new_tokens", where, &value);
    if (value < 1) throw UserError("{}: max_new_tokens is {}, expected 1 or more", where, value);
    defaults->max_new_tokens = value;
  }
}

}  // namespace

GenerationDefaults LoadGenerationDefaults(const ApiOptions& options) {
  GenerationDefaults defaults;
  const std::string& source = options.generation_config;
  if (source != "vllm") {
    const bool automatic = source.empty() || source == "auto";
    const std::filesystem::path file =
        (automatic ? options.model_dir : std::filesystem::path(source)) / "generation_config.json";
    std::error_code ignored;
    if (std::filesystem::exists(file, ignored)) {
      Apply(ParseConfig(ReadFile(file, kMaxFileBytes), file.string()), file.string(), &defaults);
    } else if (!automatic) {
      throw UserError("--generation-config {}: the folder has no generation_config.json", source);
    }
  }
  if (!options.override_generation_config.empty()) {
    constexpr char kOption[] = "--override-generation-config";
    Apply(ParseConfig(options.override_generation_config, kOption), kOption, &defaults);
  }
  return defaults;
}

}  // namespace ingot::server
