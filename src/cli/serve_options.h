// SPDX-License-Identifier: Apache-2.0
// The command line of `ingot serve`, which is vLLM's, as a table and as the structs that engine,
// endpoints and transport take. Names and meanings: vllm-project/vllm: vllm/engine/arg_utils.py,
// vllm/entrypoints/openai/cli_args.py, vllm/envs.py (0.11).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "engine/engine.h"
#include "engine/serve_options.h"
#include "server/http_server.h"
#include "server/serve_config.h"

namespace ingot::cli {

// The second model of --compare. Format, arithmetic and sampling defaults are those of its folder;
// --quantization, --emulate and --unsafe-load-as-float are about MODEL alone.
struct ServeOther {
  server::ApiOptions api;
  EngineOptions model;
};

struct ServeSetup {
  server::ApiOptions api;
  server::HttpServerOptions http;
  ingot::ServeOptions engine;
  EngineOptions model;
  std::optional<ServeOther> other;
  std::string quantization = "auto";
  bool load_as_float = false;  // --unsafe-load-as-float
  bool access_log = true;
  bool json_log = false;
  std::string log_level = "info";  // of the access log and the server's notes
  std::chrono::milliseconds drain_timeout{30'000};
  std::vector<std::string> notes;  // accepted, without effect or with another one; said once each
};

std::vector<Option> ServeOptionRows();
// Errors: UserError naming option or variable, value and what was expected.
ServeSetup ServeSetupOf(const Options& options);

// What the environment says (VLLM_*, and the variables of the original workflow). Called by
// ServeSetupOf; the command line wins.
void ApplyServeEnvironment(const Options& options, ServeSetup* setup);

// The command line with --config FILE replaced by what the file says, which stands in front, so
// that the rest of the line wins; and with the lists of vLLM ("--served-model-name a b") spelled
// one by one. `args` is without the command's name. Errors: UserError, FormatError naming file and
// line.
std::vector<std::string> ExpandServeArguments(const std::vector<std::string>& args);

}  // namespace ingot::cli
