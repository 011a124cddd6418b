// SPDX-License-Identifier: Apache-2.0
#include "engine/serve_options.h"

#include <fmt/format.h>

#include "base/files.h"

namespace ingot {

double MemoryPlan::SequencesOf(int64_t n_tokens) const {
  if (n_tokens <= 0 || page_tokens <= 0) return 0;
  const int64_t pages = (n_tokens + page_tokens - 1) / page_tokens;
  return static_cast<double>(kv_pages) / static_cast<double>(pages);
}

std::string MemoryPlan::Describe() const {
  const auto human = [](int64_t bytes) { return HumanBytes(static_cast<uint64_t>(bytes)); };
  const std::string other =
      others > 0 ? fmt::format("  other model    {}\n", human(others)) : "";
  return fmt::format(
      "memory: {} of {} may be used\n"
      "  weights        {}\n"
      "  workspace      {}\n"
      "  picture cache  {}\n"
      "{}"
      "  keys, values   {} = {} pages of {} tokens, {} a token",
      human(budget), human(machine), human(weights), human(workspace), human(pictures), other,
      human(kv), kv_pages, page_tokens, human(kv_token));
}

}  // namespace ingot
