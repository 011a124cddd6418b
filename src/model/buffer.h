// SPDX-License-Identifier: Apache-2.0
// Helpers of the forward passes: scratch memory, and intermediates reported by name only
// when somebody listens.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <initializer_list>
#include <span>

#include "kernels/packed.h"
#include "model/observe.h"

namespace ingot {

// `count` floats of a scratch buffer, not cleared.
inline float* Floats(Scratch* scratch, int64_t count) {
  return reinterpret_cast<float*>(scratch->Get(static_cast<size_t>(count) * sizeof(float)));
}

template <typename... Args>
void Report(const RunContext& context, std::initializer_list<int64_t> shape, const float* data,
            fmt::format_string<Args...> name, Args&&... args) {
  if (!context.observe) return;
  context.observe(fmt::format(name, std::forward<Args>(args)...),
                  std::span<const int64_t>(shape.begin(), shape.size()), data);
}

// The input of a site: shown to the hook, which may rewrite it. False: nobody wants what follows.
[[nodiscard]] inline bool AtSite(const RunContext& context, std::string_view site, float* x,
                                 int64_t rows, int64_t cols) {
  if (context.hook && !site.empty()) context.hook(site, x, rows, cols);
  return site.empty() || context.last_site != site;
}

}  // namespace ingot
