// SPDX-License-Identifier: Apache-2.0
#include "engine/stats.h"

#include <algorithm>
#include <numeric>

namespace ingot {
namespace {

const std::vector<double> kFirstTokenEdges = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                              0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                              20,    40,    80,   160,  640,  2560};
const std::vector<double> kTokenEdges = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                                         0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80};
const std::vector<double> kRequestEdges = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                           30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};
const std::vector<double> kIterationEdges = {1,   8,    16,   32,   64,   128,  256,
                                             512, 1024, 2048, 4096, 8192, 16384};

// 1, 2, 5, 10, 20, 50 ... up to `last`.
std::vector<double> Series125(int64_t last) {
  std::vector<double> edges;
  for (int64_t decade = 1; decade <= last; decade *= 10) {
    for (const int64_t step : {1, 2, 5}) {
      if (step * decade <= last) edges.push_back(static_cast<double>(step * decade));
    }
  }
  return edges;
}

}  // namespace

void Histogram::Add(double value) {
  const auto bucket = std::lower_bound(edges.begin(), edges.end(), value) - edges.begin();
  ++counts[static_cast<size_t>(bucket)];
  sum += value;
}

uint64_t Histogram::total() const {
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

EngineHistograms::EngineHistograms(int64_t max_model_len)
    : time_to_first_token(kFirstTokenEdges),
      inter_token(kTokenEdges),
      time_per_output_token(kTokenEdges),
      e2e(kRequestEdges),
      queue(kRequestEdges),
      inference(kRequestEdges),
      prefill(kRequestEdges),
      decode(kRequestEdges),
      prompt_tokens(Series125(max_model_len)),
      generation_tokens(Series125(max_model_len)),
      max_generation_tokens(Series125(max_model_len)),
      params_max_tokens(Series125(max_model_len)),
      params_n(std::vector<double>{1, 2, 5, 10, 20}),
      iteration_tokens(kIterationEdges) {}

double EngineStats::KvUsage() const {
  return kv_pages > 0 ? static_cast<double>(kv_pages_used) / static_cast<double>(kv_pages) : 0;
}

}  // namespace ingot
