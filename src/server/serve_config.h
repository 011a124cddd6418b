// SPDX-License-Identifier: Apache-2.0
// What `ingot serve` was asked for, as structs: made from the command line, the config file and the
// environment by cli/serve*.cc. The engine's part is engine/serve_options.h, the transport's is in
// http_server.h; this is the part of the endpoints. Names: vllm-project/vllm:
// vllm/engine/arg_utils.py and vllm/entrypoints/openai/cli_args.py (0.11).
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace ingot::server {

// Pictures and videos of requests.
struct MediaOptions {
  int64_t max_images = 999, max_videos = 999;       // of one prompt (--limit-mm-per-prompt)
  std::optional<int64_t> min_pixels, max_pixels;    // --mm-processor-kwargs
  std::optional<int64_t> video_frames;              // --media-io-kwargs num_frames
  std::optional<double> video_fps;                  // --media-io-kwargs fps
  std::filesystem::path allowed_local_path;         // empty: file: is refused
  std::vector<std::string> allowed_domains;         // empty: any public one
  bool allow_redirects = true;                      // VLLM_MEDIA_URL_ALLOW_REDIRECTS
  bool allow_private_addresses = false;             // --allow-private-media-addresses
  std::chrono::milliseconds image_timeout{5'000};   // VLLM_IMAGE_FETCH_TIMEOUT
  std::chrono::milliseconds video_timeout{30'000};  // VLLM_VIDEO_FETCH_TIMEOUT
  int64_t max_image_pixels = 178'956'970;           // VLLM_MAX_IMAGE_PIXELS
};

struct ApiOptions {
  std::filesystem::path model_dir;
  // What requests may call the model; the first is what answers call it. Default: MODEL as typed.
  std::vector<std::string> served_names;
  MediaOptions media;

  std::string chat_template;  // a file, or the template itself (holds "{"); empty: the model's
  std::string chat_template_content_format = "auto";  // auto, string, openai
  bool trust_request_chat_template = false;
  std::string response_role = "assistant";
  bool auto_tool_choice = false;  // --enable-auto-tool-choice
  std::string tool_call_parser;   // "hermes"; empty: none
  std::string reasoning_parser;   // "qwen3"; empty: none

  std::string generation_config = "auto";  // auto, vllm, or a folder
  std::string override_generation_config;  // JSON object; empty: none
  int64_t max_logprobs = 20;               // -1: any
  int64_t max_choices = 16'384;            // n; VLLM_MAX_N_SEQUENCES
  int64_t max_prompts = 1'024;             // VLLM_MAX_COMPLETION_PROMPTS
  int64_t max_stop_strings = 64;           // VLLM_MAX_STOP_STRINGS
  int64_t max_bad_words = 128;             // VLLM_MAX_NUM_BAD_WORDS
  uint64_t seed = 0;                       // of requests that give none

  bool log_requests = false;           // --enable-log-requests
  bool log_stats = true;               // --disable-log-stats
  bool prompt_tokens_details = false;  // --enable-prompt-tokens-details
  bool force_include_usage = false;    // --enable-force-include-usage
  bool return_tokens_as_token_ids = false;
  bool tokenizer_info = false;  // --enable-tokenizer-info-endpoint
  bool server_info = false;     // VLLM_SERVER_DEV_MODE: /server_info, /reset_prefix_cache, ...
  bool disable_docs = false;    // --disable-fastapi-docs
};

}  // namespace ingot::server
