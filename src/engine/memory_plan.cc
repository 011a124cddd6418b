// SPDX-License-Identifier: Apache-2.0
#include "engine/memory_plan.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "engine/engine.h"
#include "model/kv_pool.h"

namespace ingot {
namespace {

constexpr int64_t kProgram = 96 << 20;  // tokenizer, grammar tables, connections
constexpr int64_t kShortest = 256;      // tokens that must fit when no length is asked for
constexpr int64_t kMostPatches = 4096;  // of a large picture, 1024 x 1024

// Activations of the largest step, logits of all choices, the tower's buffers for one large
// picture; float32. Measured on the released shapes, see docs/server-internals.md.
int64_t WorkspaceBytes(const ModelConfig& config, const ServeOptions& options) {
  const TextConfig& text = config.text;
  const int64_t rows = options.max_num_batched_tokens;
  const int64_t row = 4 * text.hidden + 2 * text.intermediate +
                      (2 * text.n_heads + 2 * text.n_kv_heads) * text.head_dim;
  const int64_t logits = options.max_num_seqs * text.vocab;
  const VisionConfig& vision = config.vision;
  const int64_t patch = 6 * vision.hidden + vision.intermediate;
  return (rows * row + logits + kMostPatches * patch) * static_cast<int64_t>(sizeof(float));
}

int64_t BudgetOf(const MemoryFacts& facts, const ServeOptions& options) {
  const double share = options.memory_utilization;
  if (!(share > 0 && share <= 1))
    throw UserError("the memory share must be above 0 and at most 1, got {}", share);
  return static_cast<int64_t>(share * static_cast<double>(facts.machine.limit));
}

// Everything but keys and values.
int64_t FixedBytes(const MemoryFacts& facts, const ServeOptions& options) {
  return facts.weights + WorkspaceBytes(facts.config, options) + kProgram +
         options.picture_cache_bytes;
}

[[noreturn]] void ThrowTooLittle(const MemoryPlan& plan, int64_t n_tokens, int64_t needed) {
  const auto human = [](int64_t bytes) {
    return HumanBytes(static_cast<uint64_t>(std::max<int64_t>(bytes, 0)));
  };
  throw ResourceError(
      "not enough memory: {} of {} may be used; weights {}, workspace {}, picture cache {}{} leave "
      "{} for keys and values, and one request of {} tokens needs {}. Raise "
      "--gpu-memory-utilization, --kv-cache-memory-bytes or the limit of the container, lower "
      "--max-model-len, --mm-processor-cache-gb or --max-num-batched-tokens, or use a smaller "
      "model.",
      human(plan.budget), human(plan.machine), human(plan.weights), human(plan.workspace),
      human(plan.pictures),
      plan.others > 0 ? fmt::format(", the other model {}", human(plan.others)) : "",
      human(plan.kv), n_tokens, human(needed));
}

}  // namespace

MemoryPlan PlanMemory(const MemoryFacts& facts, const ServeOptions& options) {
  MemoryPlan plan{.machine = facts.machine.limit,
                  .budget = BudgetOf(facts, options),
                  .weights = facts.weights,
                  .workspace = WorkspaceBytes(facts.config, options) + kProgram,
                  .pictures = options.picture_cache_bytes,
                  .others = facts.others,
                  .kv_token = facts.page_bytes / kKvPageTokens,
                  .page_tokens = kKvPageTokens};
  plan.kv = options.kv_bytes.value_or(plan.budget - FixedBytes(facts, options) - plan.others);
  int64_t pages = std::max<int64_t>(plan.kv, 0) / facts.page_bytes;
  if (options.max_model_len > 0) {
    // Every choice at full length, and as much again for prefixes, is all that can be used.
    const int64_t most = 2 * options.max_num_seqs * (KvPagesOf(options.max_model_len) + 1);
    pages = std::min(pages, most);
  }
  plan.kv_pages = pages;
  const int64_t longest = options.max_model_len > 0 ? options.max_model_len : kShortest;
  const int64_t needed = KvPagesOf(longest) + 1;
  if (pages < needed) {
    ThrowTooLittle(plan, longest, needed * facts.page_bytes);
  }
  plan.kv = pages * facts.page_bytes;
  return plan;
}

std::vector<MemoryPlan> PlanMemory(std::vector<MemoryFacts> models, const ServeOptions& options) {
  int64_t fixed = 0, page_bytes = 0;
  for (const MemoryFacts& model : models) {
    fixed += FixedBytes(model, options);
    page_bytes += model.page_bytes;
  }
  const int64_t budget = BudgetOf(models.front(), options);
  const int64_t kv = std::max<int64_t>(options.kv_bytes.value_or(budget - fixed), 0);
  std::vector<MemoryPlan> plans;
  for (MemoryFacts& model : models) {
    const double share = static_cast<double>(model.page_bytes) / static_cast<double>(page_bytes);
    const int64_t own_kv = static_cast<int64_t>(static_cast<double>(kv) * share);
    ServeOptions own = options;
    if (own.kv_bytes) own.kv_bytes = own_kv;
    model.others = fixed - FixedBytes(model, options) + kv - own_kv;
    plans.push_back(PlanMemory(model, own));
  }
  return plans;
}

MemoryFacts MemoryFactsOf(const Engine& engine) {
  const KvPool pool(engine.model().text.config, engine.options().KvTypeInUse(), 1);
  return {.machine = ReadMachineMemory(),
          .weights = static_cast<int64_t>(engine.reader().data_bytes()),
          .page_bytes = pool.page_bytes(),
          .config = engine.model().config};
}

}  // namespace ingot
