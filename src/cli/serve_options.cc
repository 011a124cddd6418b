// SPDX-License-Identifier: Apache-2.0
// The table of options; their meaning is in serve_setup.cc.
#include "cli/serve_options.h"

namespace ingot::cli {
namespace {

constexpr char kModel[] = "Model";
constexpr char kEngine[] = "Memory and scheduling";
constexpr char kApi[] = "Requests and answers";
constexpr char kMedia[] = "Pictures and videos";
constexpr char kNetwork[] = "Network";
constexpr char kSafety[] = "Access and limits";
constexpr char kLog[] = "Logs";

constexpr char kCpu[] = "this server runs on one CPU machine.";
constexpr char kNoCode[] = "code that lies in a model folder is never run.";
constexpr char kNoGraph[] = "there are no graphs to capture or compile on a CPU.";
constexpr char kPages[] = "the size of pages is fixed.";

Option Row(const char* group, const char* name, Kind kind, const char* help,
           const char* fallback = "", const char* value_name = "") {
  return {.name = name,
          .kind = kind,
          .value_name = value_name,
          .default_text = fallback,
          .help = help,
          .group = group};
}

// Accepted because command lines have it.
Option Ignored(const char* name, Kind kind, const char* reason,
               std::vector<std::string> aliases = {}) {
  return {
      .name = name, .kind = kind, .aliases = std::move(aliases), .hidden = true, .ignored = reason};
}

Option Aliased(Option row, std::vector<std::string> aliases) {
  row.aliases = std::move(aliases);
  return row;
}
Option Choices(Option row, std::vector<std::string> choices) {
  row.kind = Kind::kChoice;
  row.choices = std::move(choices);
  return row;
}
Option Repeated(Option row) {
  row.repeated = true;
  return row;
}
Option Hidden(Option row) {
  row.hidden = true;
  return row;
}

std::vector<Option> ModelRows() {
  return {
      {.name = "MODEL", .kind = Kind::kPath, .help = "A model folder, float or quantized."},
      Hidden(Row(kModel, "--model", Kind::kPath, "MODEL as an option.")),
      Row(kModel, "--config", Kind::kPath,
          "A YAML file of options; what the command line says wins.", "", "FILE"),
      Repeated(Row(kModel, "--served-model-name", Kind::kText,
                   "What requests may call the model; the first name is what answers call it.", "",
                   "NAME")),
      Row(kModel, "--compare", Kind::kPath,
          "Serve this folder beside MODEL, such as the float one beside the quantized one: a request "
          "names the model that it means, the chat page shows the answers of both.",
          "", "OTHER"),
      Row(kModel, "--compare-name", Kind::kText,
          "What requests call OTHER; default: the folder as it was typed.", "", "NAME"),
      Choices(Row(kModel, "--quantization", Kind::kChoice,
                  "How the weights are stored; auto looks. Another value than what the folder is "
                  "is refused, with the remedy.",
                  "auto"),
              {"auto", "none", "golden-stick", "ascend", "compressed-tensors"}),
      Row(kModel, "--unsafe-load-as-float", Kind::kFlag,
          "Take the int8 codes of a quantized folder for weights and drop every scale, as an "
          "engine does that is not told of the format: to see what garbage looks like."),
      Choices(Row(kModel, "--dtype", Kind::kChoice,
                  "Arithmetic of the float parts: bf16 as engines do it, float32 as exact as "
                  "possible.",
                  "auto"),
              {"auto", "bfloat16", "half", "float16", "float", "float32"}),
      Choices(Row(kModel, "--emulate", Kind::kChoice,
                  "Round the scales of W8A8 linears as this NPU's engine does.", "none"),
              {"none", "310p", "310", "910b", "910"}),
      Row(kModel, "--generation-config", Kind::kText,
          "Where default sampling comes from: auto (the model's generation_config.json), vllm "
          "(none), or a folder.",
          "auto", "auto|vllm|DIR"),
      Row(kModel, "--override-generation-config", Kind::kText,
          "Sampling defaults on top of it, such as '{\"temperature\": 0.2}'.", "", "JSON"),
      Row(kModel, "--chat-template", Kind::kText,
          "A Jinja file, or the template itself, in place of the model's.", "", "FILE"),
      Choices(Row(kModel, "--chat-template-content-format", Kind::kChoice,
                  "How message content is shown to the template.", "auto"),
              {"auto", "string", "openai"}),
      Row(kModel, "--tokenizer", Kind::kPath, "Must be the model's own folder."),
      Ignored("--trust-remote-code", Kind::kFlag, kNoCode),
      Ignored("--tokenizer-mode", Kind::kText, "the model's tokenizer.json is used."),
      Ignored("--load-format", Kind::kText, "weights are safetensors files."),
      Ignored("--config-format", Kind::kText, "config.json is read."),
      Ignored("--revision", Kind::kText, "nothing is downloaded."),
      Ignored("--tokenizer-revision", Kind::kText, "nothing is downloaded."),
      Ignored("--code-revision", Kind::kText, kNoCode),
      Ignored("--download-dir", Kind::kPath, "nothing is downloaded."),
      Ignored("--hf-token", Kind::kText, "nothing is downloaded."),
      Ignored("--task", Kind::kText, "the task is to generate."),
      Ignored("--runner", Kind::kText, "the task is to generate."),
      Ignored("--model-impl", Kind::kText, "there is one implementation."),
      Ignored("--skip-tokenizer-init", Kind::kFlag, "the endpoints need the tokenizer."),
  };
}

std::vector<Option> EngineRows() {
  return {
      Row(kEngine, "--gpu-memory-utilization", Kind::kNumber,
          "Share of this machine's memory (or of the cgroup's limit) for weights, keys and values, "
          "pictures.",
          "0.9", "SHARE"),
      Row(kEngine, "--max-model-len", Kind::kText,
          "Longest prompt and answer together, in tokens (8192, 8k); default: what model and "
          "memory allow.",
          "", "N"),
      Row(kEngine, "--max-num-seqs", Kind::kInteger, "Answers that are written at the same time.",
          "64"),
      Row(kEngine, "--max-num-batched-tokens", Kind::kInteger, "Tokens of one step at most.",
          "2048"),
      Aliased(Row(kEngine, "--prefill-chunk", Kind::kInteger,
                  "Prompt tokens of one step while answers are being written; default: measured, "
                  "so that streams keep moving."),
              {"--long-prefill-token-threshold"}),
      Row(kEngine, "--max-stall-ms", Kind::kInteger,
          "How long a prompt or a picture may hold up running streams at a time.", "500", "MS"),
      Row(kEngine, "--max-waiting", Kind::kInteger, "Requests that may wait; further ones get 429.",
          "1024"),
      Row(kEngine, "--enable-prefix-caching", Kind::kFlag,
          "Keep keys and values of earlier prompts, pictures included. On by default."),
      Row(kEngine, "--no-enable-prefix-caching", Kind::kFlag, "Do not."),
      Row(kEngine, "--kv-cache-memory-bytes", Kind::kBytes,
          "Memory for keys and values, in place of the arithmetic."),
      Row(kEngine, "--mm-processor-cache-gb", Kind::kNumber,
          "GiB for pictures that the vision tower has seen; 0 is off.", "0.25", "GIB"),
      Choices(Row(kEngine, "--scheduling-policy", Kind::kChoice,
                  "First come first served, or by the requests' priority.", "fcfs"),
              {"fcfs", "priority"}),
      Row(kEngine, "--deterministic", Kind::kFlag,
          "The same bits whatever the batch, the chunks and the threads. Results here never depend "
          "on these; the option says so at the start."),
      Row(kEngine, "--seed", Kind::kInteger, "Seed of requests that give none.", "0"),
      Ignored("--block-size", Kind::kInteger, kPages),
      Ignored("--num-gpu-blocks-override", Kind::kInteger,
              "--kv-cache-memory-bytes sets the memory for keys and values."),
      Choices(Row(kEngine, "--kv-cache-dtype", Kind::kChoice,
                  "Keys and values: as --dtype says (auto), bfloat16, or int8 with a scale for each "
                  "token and head: half the memory, so twice as many tokens fit.",
                  "auto"),
              {"auto", "bfloat16", "int8"}),
      Ignored("--calculate-kv-scales", Kind::kFlag, "scales are always those of the tokens."),
      Ignored("--prefix-caching-hash-algo", Kind::kText, "the hash is always SHA-256."),
      Ignored("--enable-chunked-prefill", Kind::kFlag, "prompts are always read in chunks."),
      Ignored("--no-enable-chunked-prefill", Kind::kFlag, "prompts are always read in chunks."),
      Ignored("--max-num-partial-prefills", Kind::kInteger, "the scheduler decides."),
      Ignored("--max-long-partial-prefills", Kind::kInteger, "the scheduler decides."),
      Ignored("--num-lookahead-slots", Kind::kInteger, "there is no speculative decoding."),
      Ignored("--speculative-config", Kind::kText, "there is no speculative decoding."),
      Ignored("--enforce-eager", Kind::kFlag, kNoGraph),
      Ignored("--no-enforce-eager", Kind::kFlag, kNoGraph),
      Ignored("--compilation-config", Kind::kText, kNoGraph, {"-O"}),
      Ignored("--cuda-graph-sizes", Kind::kText, kNoGraph),
      Ignored("--max-seq-len-to-capture", Kind::kInteger, kNoGraph),
      Ignored("--tensor-parallel-size", Kind::kInteger, kCpu, {"-tp"}),
      Ignored("--pipeline-parallel-size", Kind::kInteger, kCpu, {"-pp"}),
      Ignored("--data-parallel-size", Kind::kInteger, kCpu, {"-dp"}),
      Ignored("--enable-expert-parallel", Kind::kFlag, kCpu),
      Ignored("--distributed-executor-backend", Kind::kText, kCpu),
      Ignored("--api-server-count", Kind::kInteger, "one process serves."),
      Ignored("--disable-custom-all-reduce", Kind::kFlag, kCpu),
      Ignored("--device", Kind::kText, kCpu),
      Ignored("--swap-space", Kind::kNumber, "sequences that must make room are computed again."),
      Ignored("--cpu-offload-gb", Kind::kNumber, kCpu),
      Ignored("--async-scheduling", Kind::kFlag, "the scheduler decides."),
      Ignored("--disable-cascade-attn", Kind::kFlag, kNoGraph),
      Ignored("--mm-encoder-tp-mode", Kind::kText, kCpu),
      Ignored("--additional-config", Kind::kText, "it is meant for other hardware."),
      Ignored("--disable-sliding-window", Kind::kFlag, "these models have none."),
      Ignored("--guided-decoding-backend", Kind::kText, "there is one implementation."),
      Ignored("--structured-outputs-config", Kind::kText, "there is one implementation."),
  };
}

std::vector<Option> ApiRows() {
  return {
      Row(kApi, "--max-logprobs", Kind::kInteger, "Most log-probabilities per token; -1: any.",
          "20"),
      Row(kApi, "--enable-auto-tool-choice", Kind::kFlag,
          "Let the model decide when to call tools; needs --tool-call-parser."),
      Row(kApi, "--tool-call-parser", Kind::kText, "How tool calls are written: hermes.", "",
          "NAME"),
      Row(kApi, "--reasoning-parser", Kind::kText,
          "How reasoning is told from the answer: qwen3.", "", "NAME"),
      Row(kApi, "--response-role", Kind::kText, "Role of answers.", "assistant"),
      Row(kApi, "--trust-request-chat-template", Kind::kFlag,
          "Requests may bring their own template."),
      Row(kApi, "--return-tokens-as-token-ids", Kind::kFlag,
          "Log-probabilities name tokens as token_id:N."),
      Row(kApi, "--enable-prompt-tokens-details", Kind::kFlag,
          "Usage says how many prompt tokens came from the cache."),
      Row(kApi, "--enable-force-include-usage", Kind::kFlag, "Every stream ends with its usage."),
      Row(kApi, "--enable-tokenizer-info-endpoint", Kind::kFlag, "Serve /tokenizer_info."),
      Row(kApi, "--disable-fastapi-docs", Kind::kFlag, "Do not serve /docs and /openapi.json."),
      Row(kApi, "--no-garbage-watch", Kind::kFlag,
          "Do not look for NaN, loops and broken text in answers."),
      Row(kApi, "--end-garbage", Kind::kFlag, "End answers that are garbage with an error."),
  };
}

std::vector<Option> MediaRows() {
  return {
      Row(kMedia, "--limit-mm-per-prompt", Kind::kText,
          "Most pictures and videos of a prompt, such as '{\"image\": 4, \"video\": 0}'.", "",
          "JSON"),
      Row(kMedia, "--mm-processor-kwargs", Kind::kText,
          "Bounds of the resized picture, such as '{\"min_pixels\": 3136, \"max_pixels\": "
          "1003520}'.",
          "", "JSON"),
      Row(kMedia, "--media-io-kwargs", Kind::kText,
          "Frames of videos, such as '{\"video\": {\"num_frames\": 16}}' or fps.", "", "JSON"),
      Row(kMedia, "--allowed-local-media-path", Kind::kPath,
          "Folder below which file: URLs may point; without it they are refused.", "", "DIR"),
      Repeated(Row(kMedia, "--allowed-media-domains", Kind::kText,
                   "Only these hosts are asked for pictures.", "", "HOST")),
      Row(kMedia, "--allow-private-media-addresses", Kind::kFlag,
          "Pictures may also be fetched from private and local addresses."),
      Ignored("--interleave-mm-strings", Kind::kFlag, "content keeps its order."),
      Ignored("--skip-mm-profiling", Kind::kFlag, "nothing is profiled at the start."),
      Ignored("--mm-processor-cache-type", Kind::kText, "one process serves."),
      Ignored("--disable-mm-preprocessor-cache", Kind::kFlag,
              "--mm-processor-cache-gb 0 turns the picture cache off."),
  };
}

std::vector<Option> NetworkRows() {
  return {
      Row(kNetwork, "--host", Kind::kText, "Address to listen at; default: every IPv4 address."),
      Row(kNetwork, "--port", Kind::kInteger, "Port; 0 takes any free one.", "8000"),
      Row(kNetwork, "--uds", Kind::kPath, "Listen at this Unix socket in place of TCP.", "",
          "PATH"),
      Row(kNetwork, "--root-path", Kind::kText, "Prefix that a proxy leaves in front of paths."),
      Row(kNetwork, "--ssl-certfile", Kind::kPath, "Certificate (with its chain): serve HTTPS.", "",
          "FILE"),
      Row(kNetwork, "--ssl-keyfile", Kind::kPath, "Its private key.", "", "FILE"),
      Row(kNetwork, "--ssl-ca-certs", Kind::kPath, "Authorities of clients' certificates.", "",
          "FILE"),
      Row(kNetwork, "--ssl-cert-reqs", Kind::kInteger,
          "Clients' certificates: 0 not asked for, 1 checked when there, 2 required.", "0"),
      Ignored("--enable-ssl-refresh", Kind::kFlag, "restart the server for a new certificate."),
      Row(kNetwork, "--http-threads", Kind::kInteger,
          "Threads that read requests: JSON, pictures, tokens; default 4 at least."),
      Row(kNetwork, "--drain-timeout", Kind::kNumber,
          "Seconds that running requests get to finish after SIGTERM or Ctrl-C.", "30", "S"),
      Row(kNetwork, "--enable-request-id-headers", Kind::kFlag, "Answer with X-Request-Id."),
      Ignored("--middleware", Kind::kText, "there is no Python to run."),
      Ignored("--disable-frontend-multiprocessing", Kind::kFlag, "one process serves."),
  };
}

std::vector<Option> SafetyRows() {
  return {
      Repeated(Row(kSafety, "--api-key", Kind::kText,
                   "Requests to /v1 need one of these keys; VLLM_API_KEY in the environment keeps "
                   "it out of the list of processes.",
                   "", "KEY")),
      Repeated(Row(kSafety, "--allowed-origins", Kind::kText,
                   "Web pages of these origins may ask; a JSON list or one at a time. Default: "
                   "[\"*\"].",
                   "", "ORIGIN")),
      Repeated(Row(kSafety, "--allowed-methods", Kind::kText, "Methods for them. Default: [\"*\"].",
                   "", "METHOD")),
      Repeated(Row(kSafety, "--allowed-headers", Kind::kText, "Headers for them. Default: [\"*\"].",
                   "", "HEADER")),
      Row(kSafety, "--allow-credentials", Kind::kFlag, "With cookies and keys of the browser."),
      Row(kSafety, "--h11-max-incomplete-event-size", Kind::kBytes,
          "Longest head of a request; 64 KiB unless set, at most 4 MiB."),
      Row(kSafety, "--h11-max-header-count", Kind::kInteger, "Most header lines.", "256"),
      Row(kSafety, "--max-body-size", Kind::kBytes, "Longest body of a request.", "64MiB"),
      Row(kSafety, "--max-connections", Kind::kInteger, "Connections at the same time.", "1024"),
  };
}

std::vector<Option> LogRows() {
  return {
      Row(kLog, "--disable-uvicorn-access-log", Kind::kFlag, "No line per request."),
      Choices(Row(kLog, "--uvicorn-log-level", Kind::kChoice,
                  "What the server writes: the access log needs info.", "info"),
              {"trace", "debug", "info", "warning", "error", "critical"}),
      Choices(
          Row(kLog, "--log-format", Kind::kChoice, "Log lines as text or as JSON objects.", "text"),
          {"text", "json"}),
      Row(kLog, "--enable-log-requests", Kind::kFlag,
          "A line for every request with its parameters; no prompt text."),
      Hidden(Row(kLog, "--no-enable-log-requests", Kind::kFlag, "The default.")),
      Hidden(Row(kLog, "--disable-log-requests", Kind::kFlag, "The default.")),
      Row(kLog, "--disable-log-stats", Kind::kFlag, "No line of figures every ten seconds."),
      Ignored("--enable-log-outputs", Kind::kFlag, "answers are never logged."),
      Ignored("--max-log-len", Kind::kInteger, "prompts are never logged."),
      Ignored("--log-config-file", Kind::kPath, "there is no Python logging to configure."),
      Ignored("--otlp-traces-endpoint", Kind::kText, "there is no tracing."),
      Ignored("--collect-detailed-traces", Kind::kText, "there is no tracing."),
      Ignored("--show-hidden-metrics-for-version", Kind::kText, "no metric is hidden."),
      Ignored("--disable-hybrid-kv-cache-manager", Kind::kFlag, "there is one kind of cache."),
  };
}

}  // namespace

std::vector<Option> ServeOptionRows() {
  std::vector<Option> rows;
  for (const auto& group : {ModelRows(), EngineRows(), ApiRows(), MediaRows(), NetworkRows(),
                            SafetyRows(), LogRows()}) {
    rows.insert(rows.end(), group.begin(), group.end());
  }
  return rows;
}

}  // namespace ingot::cli
