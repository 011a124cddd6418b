// SPDX-License-Identifier: Apache-2.0
// What a forward pass may be asked to do beside computing: report its intermediates under stable
// names, and let a caller see or rewrite the inputs of linears. Both are off when their function is
// empty, and then cost one test each.
//
// Names (N = block or layer number, K = deepstack number):
//   vision.patch_embed   vision.block_in   vision.block.N.q_rot   vision.block.N.k_rot
//   vision.block.N vision.out.image|video   vision.deepstack_out.image|video.K text.embeds
//   text.layer.N.q_rot   text.layer.N.k_rot   text.layer.N.attn   text.layer.N.mlp text.layer.N.out
//   (only where a deepstack addition changes it)   text.layer.N.next   text.norm   logits.all
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

namespace ingot {

// `data` is dense float32 of `shape`, valid during the call only.
using ObserveFn =
    std::function<void(std::string_view name, std::span<const int64_t> shape, const float* data)>;

// Called with the input of a linear before it is used; x [rows, cols] may be rewritten in place
// (fake quantization). `site` is LinearSpec::site: q, k, v are one site, gate and up another, so it
// is called once for them.
using SiteHook = std::function<void(std::string_view site, float* x, int64_t rows, int64_t cols)>;

// kF32: float32 throughout (parity). kBF16: float32 residual stream, norms, softmax and
// accumulation; inputs of float linears and the KV cache are rounded to bfloat16.
enum class Precision { kF32, kBF16 };

struct RunContext {
  Precision precision = Precision::kF32;
  ObserveFn observe;
  SiteHook hook;
  // Who only wants the inputs of linears names the last site here: a decoder layer, vision block or
  // merger returns behind the hook of that site and leaves its output without meaning.
  std::string_view last_site = {};
};

}  // namespace ingot
