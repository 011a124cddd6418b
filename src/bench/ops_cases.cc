// SPDX-License-Identifier: Apache-2.0
// The kernels between the products, in the sizes that a model gives them: 512 tokens, and one.
// Figures are values a second, or tokens for sampling; there is no limit to compare with, because the
// data is in a cache.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "bench/cases.h"
#include "checkpoint/synth.h"
#include "kernels/kernels.h"
#include "kernels/ops.h"
#include "model/sampler.h"

namespace ingot::bench {
namespace {

// Input, output and per-column values of one case.
struct Values {
  std::vector<float> x, y, weight, more;
  std::vector<int8_t> codes;
  size_t rows = 0, width = 0;
};
using Op = void (*)(Values& values);

Case OpCase(const std::string& name, int64_t rows, int64_t width, Op op) {
  const double values = static_cast<double>(rows) * static_cast<double>(width);
  return {.name = fmt::format("ops {} {}x{}", name, rows, width),
          .unit = "Gval/s",
          .amount = values / 1e9,
          .prepare = [=]() -> Job {
            auto state = std::make_shared<Values>();
            state->rows = static_cast<size_t>(rows), state->width = static_cast<size_t>(width);
            state->x = RandomFloats(rows * width, 1);
            state->y = RandomFloats(rows * width, 2);
            state->weight = RandomFloats(width, 3), state->more = RandomFloats(width, 4);
            state->codes.resize(state->x.size());
            return [state, op] { op(*state); };
          }};
}

void RmsNormOp(Values& v) {
  RmsNormRows(v.x.data(), v.weight.data(), 1e-6f, v.rows, v.width, v.y.data());
}
void LayerNormOp(Values& v) {
  LayerNormRows(v.x.data(), v.weight.data(), v.more.data(), 1e-6f, v.rows, v.width, v.y.data());
}
void SiluMulOp(Values& v) { SiluMulInto(v.x.data(), v.y.data(), v.x.size(), v.y.data()); }
void GeluTanhOp(Values& v) { GeluTanhInPlace(v.y.data(), v.y.size()); }
void GeluErfOp(Values& v) { GeluErfInPlace(v.y.data(), v.y.size()); }
void AddOp(Values& v) { AddInto(v.y.data(), v.x.data(), v.x.size()); }
void RopeOp(Values& v) {
  constexpr size_t kHalf = 64;  // cos and sin of one head for each row: any values do
  RopeRows(v.y.data(), v.width, v.rows, v.width / (2 * kHalf), v.x.data(), v.x.data(), kHalf);
}
void SoftmaxOp(Values& v) {
  for (size_t row = 0; row < v.rows; ++row) {
    std::copy_n(v.x.data() + row * v.width, v.width, v.y.data() + row * v.width);
    Kernels().softmax(v.y.data() + row * v.width, v.width);
  }
}
void QuantizeOp(Values& v) {
  const float scale = 0.008f, offset = 3;
  for (size_t row = 0; row < v.rows; ++row) {
    Kernels().quantize_i8(v.x.data() + row * v.width, v.width, {&scale, &offset, false, false},
                          v.codes.data() + row * v.width);
  }
}
void AbsMaxOp(Values& v) {
  for (size_t row = 0; row < v.rows; ++row)
    v.y[row] = Kernels().abs_max(v.x.data() + row * v.width, v.width);
}

// Logits with a few likely tokens, and a sampler whose answer has 200 tokens.
struct SamplerState {
  std::vector<float> logits;
  std::unique_ptr<Sampler> sampler;
};

// One thread chooses one token.
Case SamplerCase(const std::string& name, int64_t vocab, const SamplingParams& params) {
  return {.name = fmt::format("ops sample {} T=1 1x{}", name, vocab),
          .unit = "tok/s",
          .amount = 1,
          .prepare = [=]() -> Job {
            auto state = std::make_shared<SamplerState>();
            state->logits = RandomFloats(vocab, 1);
            for (float& x : state->logits) x *= 14 * x * x;
            std::vector<int32_t> prompt(500);
            for (size_t i = 0; i < prompt.size(); ++i) prompt[i] = static_cast<int32_t>(7 * i);
            state->sampler = std::make_unique<Sampler>(params, prompt, vocab);
            for (int32_t i = 0; i < 200; ++i) state->sampler->Accept(11 * i);
            return [state] { state->sampler->Next(state->logits); };
          }};
}

std::vector<Case> SamplerCases(int64_t vocab) {
  const SamplingParams drawn{.do_sample = true, .temperature = 0.7f};
  SamplingParams top_k = drawn, top_p = drawn, all = drawn;
  top_k.top_k = 20;
  top_p.top_p = 0.9f;
  all.top_k = 50, all.top_p = 0.9f, all.min_p = 0.02f;
  all.repetition_penalty = 1.05f, all.presence_penalty = 0.5f, all.frequency_penalty = 0.1f;
  return {SamplerCase("greedy", vocab, {}), SamplerCase("temperature", vocab, drawn),
          SamplerCase("top_k", vocab, top_k), SamplerCase("top_p", vocab, top_p),
          SamplerCase("all filters", vocab, all)};
}

}  // namespace

std::vector<Case> OpsCases(const CaseOptions& options) {
  const ModelConfig config = SynthConfig({.shape = options.shape});
  std::vector<int64_t> rows = options.rows;
  if (rows.empty()) rows = {1, 512};
  const int64_t hidden = config.text.hidden, wide = config.text.intermediate,
                vision = config.vision.hidden, vision_wide = config.vision.intermediate;
  std::vector<Case> cases;
  for (const int64_t m : rows) {
    cases.push_back(OpCase("rms_norm", m, hidden, RmsNormOp));
    cases.push_back(OpCase("layer_norm", m, vision, LayerNormOp));
    cases.push_back(OpCase("silu_mul", m, wide, SiluMulOp));
    cases.push_back(OpCase("gelu_tanh", m, vision_wide, GeluTanhOp));
    cases.push_back(OpCase("gelu_erf", m, 4 * vision, GeluErfOp));
    cases.push_back(OpCase("add", m, hidden, AddOp));
    cases.push_back(OpCase("rope", m, std::max<int64_t>(128, hidden / 128 * 128), RopeOp));
    cases.push_back(OpCase("quantize T=1", m, hidden, QuantizeOp));
    cases.push_back(OpCase("abs_max T=1", m, hidden, AbsMaxOp));
  }
  cases.push_back(OpCase("softmax T=1", 1, config.text.vocab, SoftmaxOp));
  for (Case& sampling : SamplerCases(config.text.vocab)) cases.push_back(std::move(sampling));
  return cases;
}

}  // namespace ingot::bench
