// SPDX-License-Identifier: Apache-2.0
#include "bench/synthetic.h"

#include <cmath>

#include "base/error.h"
#include "base/thread_pool.h"

namespace ingot::bench {
namespace {

size_t Size(int64_t value) { return static_cast<size_t>(value); }

// Sebastiano Vigna's splitmix64: a hash of a counter, so that any part can be made alone.
uint64_t Hash(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// BF16 bits of magnitude 2^-8 to 2^-4, any sign: linears of thousands of inputs keep values near 1.
uint16_t WeightBits(uint64_t hash) {
  const uint64_t exponent = 119 + (hash >> 8) % 4;
  return static_cast<uint16_t>(((hash & 1u) << 15) | (exponent << 7) | ((hash >> 16) & 0x7fu));
}

Weight RandomWeight(int64_t out, int64_t in, WeightKind kind) {
  Tensor tensor(kind == WeightKind::kBf16 ? DType::kBF16 : DType::kI8, {out, in});
  const std::span<uint64_t> words(reinterpret_cast<uint64_t*>(tensor.bytes().data()),
                                  tensor.bytes().size() / sizeof(uint64_t));
  ParallelFor(words.size(), 4096, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      words[i] = Hash(i);
      if (kind != WeightKind::kBf16) continue;
      uint64_t word = 0;
      for (int lane = 0; lane < 4; ++lane)
        word |= uint64_t{WeightBits(words[i] >> (16 * lane))} << (16 * lane);
      words[i] = word;
    }
  });
  return Weight::Own(std::move(tensor));
}

std::vector<float> Constant(int64_t count, float value) {
  return std::vector<float>(Size(count), value);
}

// The row of the linear table for layer or block 0.
const LinearSpec& SpecOf(const std::vector<LinearSpec>& table, LinearKind kind) {
  for (const LinearSpec& spec : table) {
    if (spec.kind == kind && spec.layer <= 0) return spec;
  }
  throw InternalError("no linear of kind {}", LinearKindName(kind));
}

}  // namespace

const char* WeightKindName(WeightKind kind) {
  switch (kind) {
    case WeightKind::kBf16:
      return "bf16";
    case WeightKind::kStatic:
      return "w8a8-static";
    case WeightKind::kDynamic:
      return "w8a8-dynamic";
  }
  return "?";
}

WeightKind ParseWeightKind(std::string_view name) {
  for (const WeightKind kind : {WeightKind::kBf16, WeightKind::kStatic, WeightKind::kDynamic}) {
    if (name == WeightKindName(kind)) return kind;
  }
  throw UserError("weights '{}': unknown; expected bf16, w8a8-static or w8a8-dynamic.", name);
}

std::vector<float> RandomFloats(int64_t count, uint64_t seed) {
  std::vector<float> values(Size(count));
  ParallelFor(values.size(), 4096, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      const uint64_t hash = Hash(seed * 0x100000001u + i);
      values[i] = static_cast<float>(static_cast<int64_t>(hash) >> 40) * 0x1p-23f;
    }
  });
  return values;
}

namespace {

// As a model that is loaded to answer.
template <typename L>
L Packed(L linear) {
  if constexpr (requires { PackWeight(linear); }) PackWeight(linear);
  return linear;
}

}  // namespace

Linear RandomLinear(const LinearSpec& spec, WeightKind kind) {
  Weight weight = RandomWeight(spec.out, spec.in, kind);
  std::vector<float> bias = spec.bias ? Constant(spec.out, 0.01f) : std::vector<float>();
  // Codes are uniform in [-128, 127] (deviation 74), inputs about 1 / 0.03 = 33 steps: the scale
  // brings sums of `in` products back to about 1.
  const float deq = 0.0004f / std::sqrt(static_cast<float>(spec.in));
  switch (kind) {
    case WeightKind::kBf16:
      return Packed(MakeFloatLinear(spec, std::move(weight), std::move(bias)));
    case WeightKind::kStatic:
      return Packed(MakeStaticLinear(spec, std::move(weight), {0.03f}, {3.0f},
                                     std::vector<int32_t>(Size(spec.out), 100),
                                     Constant(spec.out, deq), std::move(bias)));
    case WeightKind::kDynamic:
      return Packed(MakeDynamicLinear(spec, std::move(weight), Constant(spec.out, deq / 0.03f),
                                      std::move(bias)));
  }
  throw InternalError("weight kind {}", static_cast<int>(kind));
}

DecoderLayer RandomDecoderLayer(const ModelConfig& config, WeightKind kind) {
  const std::vector<LinearSpec> table = LinearTable(config);
  const auto linear = [&](LinearKind which) { return RandomLinear(SpecOf(table, which), kind); };
  DecoderLayer layer;
  layer.input_norm = layer.post_attention_norm = Constant(config.text.hidden, 1.0f);
  layer.q_norm = layer.k_norm = Constant(config.text.head_dim, 1.0f);
  layer.q = linear(LinearKind::kQ);
  layer.k = linear(LinearKind::kK);
  layer.v = linear(LinearKind::kV);
  layer.o = linear(LinearKind::kO);
  layer.gate = linear(LinearKind::kGate);
  layer.up = linear(LinearKind::kUp);
  layer.down = linear(LinearKind::kDown);
  return layer;
}

VisionBlock RandomVisionBlock(const ModelConfig& config, WeightKind kind) {
  const std::vector<LinearSpec> table = LinearTable(config);
  const auto linear = [&](LinearKind which) { return RandomLinear(SpecOf(table, which), kind); };
  VisionBlock block;
  block.norm1_weight = block.norm2_weight = Constant(config.vision.hidden, 1.0f);
  block.norm1_bias = block.norm2_bias = Constant(config.vision.hidden, 0.0f);
  block.qkv = linear(LinearKind::kVisionQkv);
  block.proj = linear(LinearKind::kVisionProj);
  block.fc1 = linear(LinearKind::kVisionFc1);
  block.fc2 = linear(LinearKind::kVisionFc2);
  return block;
}

namespace {

Work OneRow(int64_t out, int64_t in, bool int8, double bytes_per_weight) {
  const double products = static_cast<double>(out) * static_cast<double>(in);
  Work work{.bytes = products * bytes_per_weight};
  (int8 ? work.int8_ops : work.bf16_ops) = 2 * products;
  return work;
}

}  // namespace

Work LinearWork(const Linear& linear) {
  return OneRow(linear.out, linear.in, linear.exec != LinearExec::kFloat,
                static_cast<double>(DTypeSize(linear.weight.dtype())));
}

Work LinearWork(const LinearSpec& spec, WeightKind kind) {
  const bool int8 = kind != WeightKind::kBf16;
  return OneRow(spec.out, spec.in, int8, int8 ? 1 : 2);
}

Work Sum(std::span<const Work> parts) {
  Work sum;
  for (const Work& part : parts) {
    sum.int8_ops += part.int8_ops;
    sum.bf16_ops += part.bf16_ops;
    sum.f32_ops += part.f32_ops;
    sum.bytes += part.bytes;
  }
  return sum;
}

Work Rows(const Work& one_row, int64_t rows) {
  const double n = static_cast<double>(rows);
  return {one_row.int8_ops * n, one_row.bf16_ops * n, one_row.f32_ops * n, one_row.bytes};
}

Work AttentionWork(int64_t n_queries, int64_t n_keys, int64_t n_heads, int64_t n_kv_heads,
                   int64_t head_dim, bool causal, KvType type) {
  const double q = static_cast<double>(n_queries), k = static_cast<double>(n_keys);
  const double pairs = causal ? q * (k - q) + q * (q + 1) / 2 : q * k;
  const double width = static_cast<double>(n_heads * head_dim);
  const int64_t head = type == KvType::kInt8   ? head_dim + static_cast<int64_t>(sizeof(float))
                       : type == KvType::kBF16 ? head_dim * 2
                                               : head_dim * 4;
  return {.bf16_ops = 4 * pairs * width, .bytes = 2 * k * static_cast<double>(n_kv_heads * head)};
}

DecoderLinears LinearsOf(const DecoderLayer& layer) {
  const Work qkv[] = {LinearWork(layer.q), LinearWork(layer.k), LinearWork(layer.v)};
  const Work gate_up[] = {LinearWork(layer.gate), LinearWork(layer.up)};
  return {Sum(qkv), LinearWork(layer.o), Sum(gate_up), LinearWork(layer.down)};
}

DecoderLinears DecoderLinearsOf(const ModelConfig& config, WeightKind kind) {
  const std::vector<LinearSpec> table = LinearTable(config);
  const auto work = [&](LinearKind which) { return LinearWork(SpecOf(table, which), kind); };
  const Work qkv[] = {work(LinearKind::kQ), work(LinearKind::kK), work(LinearKind::kV)};
  const Work gate_up[] = {work(LinearKind::kGate), work(LinearKind::kUp)};
  return {Sum(qkv), work(LinearKind::kO), Sum(gate_up), work(LinearKind::kDown)};
}

VisionLinears LinearsOf(const VisionBlock& block) {
  return {LinearWork(block.qkv), LinearWork(block.proj), LinearWork(block.fc1),
          LinearWork(block.fc2)};
}

VisionLinears VisionLinearsOf(const ModelConfig& config, WeightKind kind) {
  const std::vector<LinearSpec> table = LinearTable(config);
  const auto work = [&](LinearKind which) { return LinearWork(SpecOf(table, which), kind); };
  return {work(LinearKind::kVisionQkv), work(LinearKind::kVisionProj), work(LinearKind::kVisionFc1),
          work(LinearKind::kVisionFc2)};
}

std::vector<Work> DecoderLayerWork(const TextConfig& config, const DecoderLinears& linears,
                                   int64_t n, int64_t past, KvType kv) {
  return {Rows(linears.qkv, n),
          AttentionWork(n, past + n, config.n_heads, config.n_kv_heads, config.head_dim, true, kv),
          Rows(linears.o, n), Rows(linears.gate_up, n), Rows(linears.down, n)};
}

std::vector<Work> VisionBlockWork(const VisionConfig& config, const VisionLinears& linears,
                                  const VisionLayout& layout) {
  const int64_t n = layout.n_patches;
  std::vector<Work> steps = {Rows(linears.qkv, n), Rows(linears.proj, n), Rows(linears.fc1, n),
                             Rows(linears.fc2, n)};
  for (size_t i = 0; i + 1 < layout.segments.size(); ++i) {
    const int64_t count = layout.segments[i + 1] - layout.segments[i];
    steps.push_back(
        AttentionWork(count, count, config.n_heads, config.n_heads, config.head_dim(), false));
  }
  return steps;
}

}  // namespace ingot::bench
