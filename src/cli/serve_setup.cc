// SPDX-License-Identifier: Apache-2.0
// From the parsed table and the environment to the structs of engine, endpoints and transport.
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/thread_pool.h"
#include "cli/parser.h"
#include "cli/serve_options.h"

namespace ingot::cli {
namespace {

using Json = nlohmann::json;

int64_t Between(const Options& options, const char* name, int64_t low, int64_t high) {
  const int64_t value = options.Integer(name);
  if (value < low || value > high) {
    throw UserError("{} is {}; expected a number from {} to {}.", name, value, low, high);
  }
  return value;
}

double NumberBetween(const Options& options, const char* name, double low, double high) {
  const double value = options.Number(name);
  if (!(value >= low && value <= high)) {
    throw UserError("{} is {}; expected a number from {} to {}.", name, value, low, high);
  }
  return value;
}

// "8192", "8k" (8000), "8K" (8192), "1m", "auto" and -1 (0).
int64_t TokenCount(std::string text, const char* name) {
  if (text == "auto" || text == "-1") return 0;
  int64_t factor = 1;
  static constexpr std::pair<char, int64_t> kUnits[] = {
      {'k', 1000}, {'K', 1024}, {'m', 1'000'000}, {'M', 1 << 20}};
  for (const auto& [unit, value] : kUnits) {
    if (!text.ends_with(unit)) continue;
    factor = value;
    text.pop_back();
    break;
  }
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const double tokens = value * static_cast<double>(factor);
  if (error != std::errc() || end != text.data() + text.size() || !(tokens >= 1 && tokens < 1e9)) {
    throw UserError("{} is '{}'; expected a number of tokens such as 8192 or 8k.", name, text);
  }
  return static_cast<int64_t>(tokens);
}

// An option that is a JSON object; an empty one when it was not given.
Json ObjectOf(const Options& options, const char* name, const char* example) {
  const std::string text = options.Text(name);
  if (text.empty()) return Json::object();
  const Json value = Json::parse(text, nullptr, false);
  if (!value.is_object()) {
    throw UserError("{} is '{}'; expected a JSON object such as '{}'.", name, text, example);
  }
  return value;
}

// One entry of such an object. `read`: keys that the server knows.
std::optional<double> Entry(const Json& object, const char* option, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return std::nullopt;
  if (!it->is_number() || !(it->get<double>() >= 0 && it->get<double>() <= 1e12)) {
    throw UserError("{}: \"{}\" is {}; expected a number, zero or above.", option, key, it->dump());
  }
  return it->get<double>();
}

void RefuseOthers(const Json& object, const char* option, const std::vector<std::string>& known) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw UserError("{}: unknown key \"{}\"; known: {}.", option, key, fmt::join(known, ", "));
    }
  }
}

// Values of a repeated option; one that is a JSON list counts as its items.
std::vector<std::string> ListOf(const Options& options, const char* name) {
  std::vector<std::string> list;
  for (const std::string& text : options.List(name)) {
    const Json value = text.starts_with('[') ? Json::parse(text, nullptr, false) : Json(text);
    if (value.is_string()) {
      list.push_back(value.get<std::string>());
      continue;
    }
    if (!value.is_array() || !std::all_of(value.begin(), value.end(),
                                          [](const Json& item) { return item.is_string(); })) {
      throw UserError("{} is '{}'; expected a text, or a JSON list of texts.", name, text);
    }
    for (const Json& item : value) list.push_back(item.get<std::string>());
  }
  return list;
}

// --limit-mm-per-prompt: vLLM's JSON, and its old form image=2,video=0.
Json MediaLimits(const Options& options) {
  const std::string text = options.Text("--limit-mm-per-prompt");
  if (text.empty() || text.starts_with('{')) {
    return ObjectOf(options, "--limit-mm-per-prompt", "{\"image\": 4}");
  }
  Json limits = Json::object();
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string pair = text.substr(at, end - at);
    const size_t equals = pair.find('=');
    if (equals == std::string::npos) {
      throw UserError("--limit-mm-per-prompt is '{}'; expected '{{\"image\": 4}}' or image=4.",
                      text);
    }
    limits[pair.substr(0, equals)] = ParseInteger(pair.substr(equals + 1), "--limit-mm-per-prompt");
    at = end + 1;
  }
  return limits;
}

void FillMedia(const Options& options, server::MediaOptions* media) {
  const Json limits = MediaLimits(options);
  RefuseOthers(limits, "--limit-mm-per-prompt", {"image", "video", "audio"});
  const auto count = [&](const char* key, int64_t* value) {
    if (const auto n = Entry(limits, "--limit-mm-per-prompt", key))
      *value = static_cast<int64_t>(*n);
  };
  count("image", &media->max_images);
  count("video", &media->max_videos);

  const Json kwargs = ObjectOf(options, "--mm-processor-kwargs", "{\"max_pixels\": 1003520}");
  RefuseOthers(kwargs, "--mm-processor-kwargs",
               {"min_pixels", "max_pixels", "size", "fps", "num_frames", "use_fast"});
  const auto pixels = [&](const Json& object, const char* key, std::optional<int64_t>* value) {
    if (const auto n = Entry(object, "--mm-processor-kwargs", key)) {
      *value = static_cast<int64_t>(*n);
    }
  };
  pixels(kwargs, "min_pixels", &media->min_pixels);
  pixels(kwargs, "max_pixels", &media->max_pixels);
  if (kwargs.contains("size") && kwargs["size"].is_object()) {  // how newer processors say it
    pixels(kwargs["size"], "shortest_edge", &media->min_pixels);
    pixels(kwargs["size"], "longest_edge", &media->max_pixels);
  }
  if (media->min_pixels && media->max_pixels && *media->min_pixels > *media->max_pixels) {
    throw UserError("--mm-processor-kwargs: min_pixels {} is above max_pixels {}.",
                    *media->min_pixels, *media->max_pixels);
  }

  const Json io = ObjectOf(options, "--media-io-kwargs", "{\"video\": {\"num_frames\": 16}}");
  RefuseOthers(io, "--media-io-kwargs", {"video", "image"});
  if (io.contains("video") && io["video"].is_object()) {
    const Json& video = io["video"];
    RefuseOthers(video, "--media-io-kwargs video", {"num_frames", "fps"});
    if (const auto n = Entry(video, "--media-io-kwargs", "num_frames"); n && *n >= 1) {
      media->video_frames = static_cast<int64_t>(*n);
    }
    media->video_fps = Entry(video, "--media-io-kwargs", "fps");
    if (media->video_fps && !(*media->video_fps > 0 && *media->video_fps <= 1000)) {
      throw UserError("--media-io-kwargs: fps is {}; expected a number above 0 and up to 1000.",
                      *media->video_fps);
    }
  }
  media->allowed_local_path = options.Path("--allowed-local-media-path");
  media->allowed_domains = ListOf(options, "--allowed-media-domains");
  media->allow_private_addresses = options.Flag("--allow-private-media-addresses");
}

void FillApi(const Options& options, server::ApiOptions* api) {
  if (options.Has("MODEL") && options.Has("--model")) {
    throw UserError("serve: the model is given twice, as MODEL and with --model.");
  }
  api->model_dir = options.Has("--model") ? options.Path("--model") : options.Path("MODEL");
  if (api->model_dir.empty()) {
    throw UserError("serve: MODEL is missing (a model folder). See `ingot help serve`.");
  }
  api->served_names = options.List("--served-model-name");
  if (api->served_names.empty()) api->served_names = {api->model_dir.string()};
  if (options.Has("--tokenizer")) {
    std::error_code ignored;
    if (!std::filesystem::equivalent(options.Path("--tokenizer"), api->model_dir, ignored)) {
      throw UserError(
          "--tokenizer {}: the tokenizer is the one in the model's folder {}. Leave "
          "the option out.",
          options.Text("--tokenizer"), api->model_dir.string());
    }
  }
  api->chat_template = options.Text("--chat-template");
  api->chat_template_content_format = options.Text("--chat-template-content-format");
  api->trust_request_chat_template = options.Flag("--trust-request-chat-template");
  api->response_role = options.Text("--response-role");
  api->auto_tool_choice = options.Flag("--enable-auto-tool-choice");
  api->tool_call_parser = options.Text("--tool-call-parser");
  api->reasoning_parser = options.Text("--reasoning-parser");
  if (api->auto_tool_choice && api->tool_call_parser.empty()) {
    throw UserError("--enable-auto-tool-choice needs --tool-call-parser (hermes).");
  }
  api->generation_config = options.Text("--generation-config");
  ObjectOf(options, "--override-generation-config", "{\"temperature\": 0.2}");
  api->override_generation_config = options.Text("--override-generation-config");
  api->max_logprobs = Between(options, "--max-logprobs", -1, 1 << 20);
  api->seed = static_cast<uint64_t>(Between(options, "--seed", 0, INT64_MAX));
  api->log_requests = options.Flag("--enable-log-requests") &&
                      !options.Flag("--disable-log-requests") &&
                      !options.Flag("--no-enable-log-requests");
  api->log_stats = !options.Flag("--disable-log-stats");
  api->prompt_tokens_details = options.Flag("--enable-prompt-tokens-details");
  api->force_include_usage = options.Flag("--enable-force-include-usage");
  api->return_tokens_as_token_ids = options.Flag("--return-tokens-as-token-ids");
  api->tokenizer_info = options.Flag("--enable-tokenizer-info-endpoint");
  api->disable_docs = options.Flag("--disable-fastapi-docs");
  FillMedia(options, &api->media);
}

void FillEngine(const Options& options, ServeSetup* setup) {
  ingot::ServeOptions& engine = setup->engine;
  engine.memory_utilization = NumberBetween(options, "--gpu-memory-utilization", 0.01, 1.0);
  if (options.Has("--max-model-len")) {
    engine.max_model_len = TokenCount(options.Text("--max-model-len"), "--max-model-len");
  }
  engine.max_num_seqs = Between(options, "--max-num-seqs", 1, 4096);
  engine.max_num_batched_tokens = Between(options, "--max-num-batched-tokens", 1, 1 << 20);
  if (options.Has("--prefill-chunk")) {
    engine.prefill_chunk = Between(options, "--prefill-chunk", 0, 1 << 20);
  }
  engine.max_stall_ms = Between(options, "--max-stall-ms", 1, 600'000);
  engine.max_waiting = Between(options, "--max-waiting", 1, 1 << 20);
  engine.policy = options.Text("--scheduling-policy") == "priority" ? SchedulingPolicy::kPriority
                                                                    : SchedulingPolicy::kFcfs;
  engine.prefix_caching =
      !options.Flag("--no-enable-prefix-caching") &&
      (!options.Has("--enable-prefix-caching") || options.Flag("--enable-prefix-caching"));
  if (options.Has("--kv-cache-memory-bytes")) {
    engine.kv_bytes = static_cast<int64_t>(options.Bytes("--kv-cache-memory-bytes"));
  }
  engine.picture_cache_bytes = static_cast<int64_t>(
      NumberBetween(options, "--mm-processor-cache-gb", 0, 1024) * static_cast<double>(1 << 30));
  engine.deterministic = options.Flag("--deterministic");
  engine.watch_garbage = !options.Flag("--no-garbage-watch");
  engine.end_garbage = options.Flag("--end-garbage");

  setup->quantization = options.Text("--quantization");
  setup->load_as_float = options.Flag("--unsafe-load-as-float");
  setup->model.codes_as_float = setup->load_as_float;
  setup->model.pack = true;
  setup->model.emulate = ParseEmulate(options.Text("--emulate"));
  const std::string dtype = options.Text("--dtype");
  setup->model.precision =
      dtype.starts_with("float32") || dtype == "float" ? Precision::kF32 : Precision::kBF16;
  setup->model.kv = ParseKvType(options.Text("--kv-cache-dtype"));
  if (dtype == "half" || dtype == "float16") {
    setup->notes.push_back(
        "--dtype float16: float parts are computed in bfloat16 here, with float32 sums.");
  }
  PromptLimits& limits = setup->model.prompt.limits;
  limits.max_tokens = std::max<int64_t>(engine.max_model_len, 1 << 18);  // the engine's limit rules
  limits.min_pixels = setup->api.media.min_pixels.value_or(limits.min_pixels);
  limits.max_pixels = setup->api.media.max_pixels.value_or(limits.max_pixels);
  if (setup->api.media.video_fps) setup->model.prompt.video_fps = *setup->api.media.video_fps;
}

void FillHttp(const Options& options, server::HttpServerOptions* http) {
  http->host = options.Text("--host");
  http->port = static_cast<int>(Between(options, "--port", 0, 65535));
  http->unix_path = options.Text("--uds");
  http->root_path = options.Text("--root-path");
  http->tls = {.key_file = options.Text("--ssl-keyfile"),
               .cert_file = options.Text("--ssl-certfile"),
               .ca_file = options.Text("--ssl-ca-certs"),
               .client_cert_mode = static_cast<int>(Between(options, "--ssl-cert-reqs", 0, 2))};
  if (!http->tls.key_file.empty() && http->tls.cert_file.empty()) {
    throw UserError("--ssl-keyfile needs --ssl-certfile.");
  }
  if (http->tls.client_cert_mode > 0 && http->tls.ca_file.empty()) {
    throw UserError("--ssl-cert-reqs {} needs --ssl-ca-certs.", http->tls.client_cert_mode);
  }
  http->echo_request_id = options.Flag("--enable-request-id-headers");
  http->worker_threads = options.Has("--http-threads")
                             ? static_cast<int>(Between(options, "--http-threads", 1, 256))
                             : std::max(4, NumThreads());
  const auto replace = [&](const char* name, std::vector<std::string>* list) {
    if (options.Has(name)) *list = ListOf(options, name);
  };
  replace("--allowed-origins", &http->cors.origins);
  replace("--allowed-methods", &http->cors.methods);
  replace("--allowed-headers", &http->cors.headers);
  http->cors.credentials = options.Flag("--allow-credentials");
  for (const std::string& key : options.List("--api-key")) {
    if (!key.empty()) http->api_keys.push_back(key);
  }
  server::HttpLimits& limits = http->limits;
  if (options.Has("--h11-max-incomplete-event-size")) {
    limits.header_bytes = options.Bytes("--h11-max-incomplete-event-size");
    if (limits.header_bytes < 1024 || limits.header_bytes > (4u << 20)) {
      throw UserError("--h11-max-incomplete-event-size is {}; expected 1024 to 4 MiB.",
                      limits.header_bytes);
    }
  }
  limits.header_count = static_cast<size_t>(Between(options, "--h11-max-header-count", 8, 10'000));
  limits.body_bytes = options.Bytes("--max-body-size");
  if (limits.body_bytes < 1024 || limits.body_bytes > (4ull << 30)) {
    throw UserError("--max-body-size is {}; expected 1 KiB to 4 GiB.", limits.body_bytes);
  }
  limits.total_body_bytes = std::max<size_t>(limits.total_body_bytes, 2 * limits.body_bytes);
  limits.connections = static_cast<size_t>(Between(options, "--max-connections", 1, 1 << 20));
}

// ---- environment ----

std::optional<std::string> Variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

bool IsOn(const std::string& value) {
  return value != "0" && value != "false" && value != "False" && value != "FALSE";
}

template <typename T>
void TakeInteger(const char* name, int64_t low, int64_t high, T* value) {
  const auto text = Variable(name);
  if (!text) return;
  const int64_t number = ParseInteger(*text, name);
  if (number < low || number > high) {
    throw UserError("{} is {}; expected a number from {} to {}.", name, number, low, high);
  }
  *value = static_cast<T>(number);
}

void TakeSeconds(const char* name, std::chrono::milliseconds* value) {
  int64_t seconds = -1;
  TakeInteger(name, 1, 3600, &seconds);
  if (seconds > 0) *value = std::chrono::seconds(seconds);
}

}  // namespace

void ApplyServeEnvironment(const Options& options, ServeSetup* setup) {
  server::MediaOptions& media = setup->api.media;
  if (const auto key = Variable("VLLM_API_KEY"); key && setup->http.api_keys.empty()) {
    setup->http.api_keys = {*key};
  }
  TakeSeconds("VLLM_IMAGE_FETCH_TIMEOUT", &media.image_timeout);
  TakeSeconds("VLLM_VIDEO_FETCH_TIMEOUT", &media.video_timeout);
  if (const auto value = Variable("VLLM_MEDIA_URL_ALLOW_REDIRECTS")) {
    media.allow_redirects = IsOn(*value);
  }
  TakeInteger("VLLM_MAX_IMAGE_PIXELS", 1, 178'956'970, &media.max_image_pixels);
  TakeInteger("VLLM_MAX_N_SEQUENCES", 1, 1 << 20, &setup->api.max_choices);
  TakeInteger("VLLM_MAX_COMPLETION_PROMPTS", 1, 1 << 20, &setup->api.max_prompts);
  TakeInteger("VLLM_MAX_STOP_STRINGS", 1, 1 << 20, &setup->api.max_stop_strings);
  TakeInteger("VLLM_MAX_NUM_BAD_WORDS", 1, 1 << 20, &setup->api.max_bad_words);
  TakeSeconds("VLLM_HTTP_TIMEOUT_KEEP_ALIVE", &setup->http.limits.keep_alive_timeout);
  if (const auto value = Variable("VLLM_SERVER_DEV_MODE")) setup->api.server_info = IsOn(*value);
  if (!options.Has("--kv-cache-memory-bytes")) {
    if (const auto value = Variable("VLLM_CPU_KVCACHE_SPACE")) {
      const double gib = ParseNumber(*value, "VLLM_CPU_KVCACHE_SPACE");
      if (!(gib >= 0 && gib < 1e6)) {
        throw UserError("VLLM_CPU_KVCACHE_SPACE is {}; expected GiB for keys and values.", gib);
      }
      if (gib > 0) setup->engine.kv_bytes = static_cast<int64_t>(gib * 0x1p30);
    }
  }
  // The original workflow's switches for the same bits every time; values that ask for it.
  static constexpr std::pair<const char*, bool> kDeterminism[] = {
      {"LCCL_DETERMINISTIC", true},
      {"HCCL_DETERMINISTIC", true},
      {"ATB_MATMUL_SHUFFLE_K_ENABLE", false},
      {"ATB_LLM_LCOC_ENABLE", false},
      {"VLLM_BATCH_INVARIANT", true}};
  for (const auto& [name, wanted] : kDeterminism) {
    const auto value = Variable(name);
    if (value && IsOn(*value) == wanted) setup->engine.deterministic = true;
  }
  for (const char* name :
       {"ASCEND_RT_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "VLLM_MS_MODEL_BACKEND",
        "vLLM_MODEL_BACKEND", "VLLM_CPU_OMP_THREADS_BIND"}) {
    if (Variable(name)) {
      setup->notes.push_back(fmt::format("{} in the environment has no effect here.", name));
    }
  }
}

namespace {

// After everything else: it takes over what both models have in common.
std::optional<ServeOther> OtherOf(const Options& options, const ServeSetup& setup) {
  if (!options.Has("--compare")) {
    if (options.Has("--compare-name")) throw UserError("--compare-name needs --compare OTHER.");
    return std::nullopt;
  }
  ServeOther other{.api = setup.api, .model = setup.model};
  other.api.model_dir = options.Path("--compare");
  const std::string name = options.Has("--compare-name") ? options.Text("--compare-name")
                                                         : other.api.model_dir.string();
  const std::vector<std::string>& taken = setup.api.served_names;
  if (name.empty() || std::find(taken.begin(), taken.end(), name) != taken.end()) {
    throw UserError(
        "--compare {}: it would be called \"{}\", as MODEL is. Give it another name with "
        "--compare-name NAME.",
        other.api.model_dir.string(), name);
  }
  other.api.served_names = {name};
  other.model.emulate = Emulate::kNone;
  other.model.codes_as_float = false;
  return other;
}

}  // namespace

ServeSetup ServeSetupOf(const Options& options) {
  ServeSetup setup;
  FillApi(options, &setup.api);
  FillEngine(options, &setup);
  FillHttp(options, &setup.http);
  setup.log_level = options.Text("--uvicorn-log-level");
  setup.json_log = options.Text("--log-format") == "json";
  const bool quiet =
      setup.log_level == "warning" || setup.log_level == "error" || setup.log_level == "critical";
  setup.access_log = !options.Flag("--disable-uvicorn-access-log") && !quiet;
  setup.drain_timeout = std::chrono::milliseconds(
      static_cast<int64_t>(NumberBetween(options, "--drain-timeout", 0, 86'400) * 1000));
  ApplyServeEnvironment(options, &setup);
  setup.other = OtherOf(options, setup);
  return setup;
}

}  // namespace ingot::cli
