// SPDX-License-Identifier: Apache-2.0
// Names: vllm-project/vllm: vllm/v1/metrics/loggers.py, 0.11. What vLLM has no name for begins with
// "ingot:".
#include "server/metrics_text.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

namespace ingot::server {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

class Families {
 public:
  // What follows is about this model.
  void Of(size_t index, const std::string& model) {
    common_ = {{"engine", std::to_string(index)}, {"model_name", model}};
  }

  void Gauge(const char* name, const char* help, double value) {
    ClientMetric metric = Metric({});
    metric.gauge.value = value;
    Family(name, help, MetricType::Gauge).metric.push_back(std::move(metric));
  }

  // Counters end in _total on the wire.
  void Counter(const std::string& name, const char* help, double value, Labels more = {}) {
    ClientMetric metric = Metric(std::move(more));
    metric.counter.value = value;
    Family(name + "_total", help, MetricType::Counter).metric.push_back(std::move(metric));
  }

  void Histogram(const char* name, const char* help, const ingot::Histogram& histogram) {
    ClientMetric metric = Metric({});
    uint64_t total = 0;
    for (size_t i = 0; i < histogram.counts.size(); ++i) {
      total += histogram.counts[i];
      const bool last = i == histogram.edges.size();
      const double edge = last ? std::numeric_limits<double>::infinity() : histogram.edges[i];
      metric.histogram.bucket.push_back({total, edge});
    }
    metric.histogram.sample_count = total;
    metric.histogram.sample_sum = histogram.sum;
    Family(name, help, MetricType::Histogram).metric.push_back(std::move(metric));
  }

  // Without the model's name, as vLLM has it; `engine` tells models apart.
  void Info(const char* name, const char* help, Labels labels) {
    ClientMetric metric;
    metric.label = {common_.front()};
    metric.label.insert(metric.label.end(), labels.begin(), labels.end());
    metric.gauge.value = 1;
    Family(name, help, MetricType::Gauge).metric.push_back(std::move(metric));
  }

  // Of the process: without the model's labels.
  void Process(const char* name, const char* help, double value) {
    ClientMetric metric;
    metric.gauge.value = value;
    Family(name, help, MetricType::Gauge).metric.push_back(std::move(metric));
  }

  std::string Text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  ClientMetric Metric(Labels more) const {
    ClientMetric metric;
    metric.label = common_;
    metric.label.insert(metric.label.end(), more.begin(), more.end());
    return metric;
  }

  MetricFamily& Family(const std::string& name, const char* help, MetricType type) {
    const auto found = std::ranges::find(families_, name, &MetricFamily::name);
    if (found != families_.end()) return *found;
    MetricFamily family;
    family.name = name;
    family.help = help;
    family.type = type;
    families_.push_back(std::move(family));
    return families_.back();
  }

  Labels common_;
  std::vector<MetricFamily> families_;
};

void AddNow(const EngineStats& stats, Families* out) {
  out->Gauge("vllm:num_requests_running", "Number of requests in model execution batches.",
             static_cast<double>(stats.running));
  out->Gauge("vllm:num_requests_waiting", "Number of requests waiting to be processed.",
             static_cast<double>(stats.waiting));
  out->Gauge("vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.",
             stats.KvUsage());
}

void AddCounters(const EngineStats& stats, Families* out) {
  const auto count = [&](const char* name, const char* help, uint64_t value) {
    out->Counter(name, help, static_cast<double>(value));
  };
  count("vllm:prefix_cache_queries", "Prompt tokens looked up in the prefix cache.",
        stats.prefix_queries);
  count("vllm:prefix_cache_hits", "Prompt tokens found in the prefix cache.", stats.prefix_hits);
  count("vllm:mm_cache_queries", "Pictures looked up in the picture cache.", stats.picture_queries);
  count("vllm:mm_cache_hits", "Pictures found in the picture cache.", stats.picture_hits);
  count("vllm:num_preemptions", "Sequences that gave back their pages to be computed again.",
        stats.preemptions);
  count("vllm:prompt_tokens", "Number of prefill tokens processed.", stats.prompt_tokens);
  count("vllm:generation_tokens", "Number of generation tokens processed.",
        stats.generation_tokens);
  const std::pair<const char*, uint64_t> ended[] = {{"stop", stats.ended_stop},
                                                    {"length", stats.ended_length},
                                                    {"abort", stats.ended_abort}};
  for (const auto& [reason, value] : ended) {
    out->Counter("vllm:request_success", "Count of successfully processed requests.",
                 static_cast<double>(value), {{"finished_reason", reason}});
  }
}

void AddHistograms(const EngineHistograms& all, Families* out) {
  out->Histogram("vllm:time_to_first_token_seconds", "Time to first token in seconds.",
                 all.time_to_first_token);
  out->Histogram("vllm:inter_token_latency_seconds", "Inter-token latency in seconds.",
                 all.inter_token);
  out->Histogram("vllm:time_per_output_token_seconds",
                 "Inter-token latency in seconds (deprecated name).", all.inter_token);
  out->Histogram("vllm:request_time_per_output_token_seconds",
                 "Mean time per output token of a request in seconds.", all.time_per_output_token);
  out->Histogram("vllm:e2e_request_latency_seconds", "End to end request latency in seconds.",
                 all.e2e);
  out->Histogram("vllm:request_queue_time_seconds", "Time spent in the queue.", all.queue);
  out->Histogram("vllm:request_inference_time_seconds", "Time spent running.", all.inference);
  out->Histogram("vllm:request_prefill_time_seconds", "Time spent on the prompt.", all.prefill);
  out->Histogram("vllm:request_decode_time_seconds", "Time spent on the answer.", all.decode);
  out->Histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", all.prompt_tokens);
  out->Histogram("vllm:request_generation_tokens", "Generation tokens of a request.",
                 all.generation_tokens);
  out->Histogram("vllm:request_max_num_generation_tokens",
                 "Most generation tokens of one choice of a request.", all.max_generation_tokens);
  out->Histogram("vllm:request_params_max_tokens", "max_tokens of a request.",
                 all.params_max_tokens);
  out->Histogram("vllm:request_params_n", "n of a request.", all.params_n);
  out->Histogram("vllm:iteration_tokens_total", "Tokens of one step.", all.iteration_tokens);
}

void AddOwn(const ModelFigures& input, Families* out) {
  const EngineStats& stats = input.stats;
  const auto count = [&](const char* name, const char* help, uint64_t value) {
    out->Counter(name, help, static_cast<double>(value));
  };
  count("ingot:requests", "Requests to the generation endpoints.", input.requests);
  count("ingot:request_errors", "Choices that ended with an error.", stats.ended_error);
  count("ingot:steps", "Steps of the engine.", stats.steps);
  count("ingot:prompt_tokens_cached", "Prompt tokens taken from the prefix cache.",
        stats.cached_prompt_tokens);
  out->Counter("ingot:busy_seconds", "Time spent in steps and on pictures.", stats.busy_seconds);
  out->Counter("ingot:model_seconds", "Time spent in the model itself, of ingot:busy_seconds.",
               stats.model_seconds);
  out->Gauge("ingot:longest_slice_seconds",
             "Longest piece of work between two looks at running streams.",
             stats.longest_slice_seconds);
  out->Gauge("ingot:kv_pages", "KV pages in all.", static_cast<double>(stats.kv_pages));
  out->Gauge("ingot:kv_pages_used", "KV pages held by requests.",
             static_cast<double>(stats.kv_pages_used));
  out->Gauge("ingot:kv_pages_cached", "Free KV pages with reusable content.",
             static_cast<double>(stats.kv_pages_cached));
  out->Gauge("ingot:picture_cache_bytes", "Bytes in the picture cache.",
             static_cast<double>(stats.picture_cache_bytes));
  const GarbageCounts& garbage = stats.garbage;
  const std::pair<const char*, uint64_t> kinds[] = {{"bad_logits", garbage.bad_logits},
                                                    {"repetition", garbage.repetition},
                                                    {"entropy", garbage.entropy},
                                                    {"broken_utf8", garbage.broken_utf8},
                                                    {"control_tokens", garbage.control_tokens},
                                                    {"scripts", garbage.scripts}};
  for (const auto& [kind, value] : kinds) {
    out->Counter("ingot:garbage_answers", "Answers that look like garbage, by symptom.",
                 static_cast<double>(value), {{"kind", kind}});
  }
  count("ingot:garbage_requests", "Answers with at least one symptom of garbage.",
        garbage.requests);
  count("ingot:garbage_ended", "Answers that were ended for it.", garbage.requests_ended);
}

}  // namespace

std::string MetricsText(std::span<const ModelFigures> models, const ProcessFigures& process) {
  Families families;
  for (size_t i = 0; i < models.size(); ++i) {
    const ModelFigures& model = models[i];
    families.Of(i, model.model_name);
    AddNow(model.stats, &families);
    AddCounters(model.stats, &families);
    AddHistograms(model.stats.histograms, &families);
    AddOwn(model, &families);
    families.Info("vllm:cache_config_info", "Information of the LLMEngine CacheConfig.",
                  {{"block_size", std::to_string(model.memory.page_tokens)},
                   {"num_gpu_blocks", std::to_string(model.memory.kv_pages)},
                   {"cache_dtype", "auto"},
                   {"enable_prefix_caching", model.options.prefix_caching ? "True" : "False"},
                   {"gpu_memory_utilization", std::to_string(model.options.memory_utilization)},
                   {"prefix_caching_hash_algo", "sha256"}});
  }
  families.Process("process_resident_memory_bytes", "Resident memory size in bytes.",
                   static_cast<double>(process.resident_bytes));
  families.Process("process_start_time_seconds", "Start time since the Unix epoch in seconds.",
                   static_cast<double>(process.start_time));
  return families.Text();
}

}  // namespace ingot::server
