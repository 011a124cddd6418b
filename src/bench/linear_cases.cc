// SPDX-License-Identifier: Apache-2.0
// Matrix products as the layers call them: linears of one input together, input rounding or
// quantization, dequantization and bias included.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "bench/cases.h"
#include "checkpoint/synth.h"
#include "kernels/packed.h"

namespace ingot::bench {
namespace {

constexpr double kMostCopies = 127;  // no model has more layers of one kind

using Group = std::vector<LinearSpec>;  // linears that read one input

// "q+k+v 2048x4096"
std::string GroupName(const Group& group) {
  std::string name;
  int64_t out = 0;
  for (const LinearSpec& spec : group) {
    std::string part(LinearKindName(spec.kind));
    if (part.ends_with("_proj")) part.resize(part.size() - 5);
    name += (name.empty() ? "" : "+") + part;
    out += spec.out;
  }
  return fmt::format("{} {}x{}", name, group.front().in, out);
}

// The groups of layer 0, block 0 and the merger; `head`: also the output matrix.
std::vector<Group> Groups(const ModelConfig& config, bool head) {
  std::vector<Group> groups;
  for (const LinearSpec& spec : LinearTable(config)) {
    const bool deepstack =
        spec.kind == LinearKind::kDeepstackFc1 || spec.kind == LinearKind::kDeepstackFc2;
    if (spec.layer > 0 || deepstack || (spec.kind == LinearKind::kLmHead && !head)) continue;
    if (groups.empty() || groups.back().back().site != spec.site) groups.emplace_back();
    groups.back().push_back(spec);
  }
  return groups;
}

// Copies of one group that are used in turn, so that weights come from where they come from in a
// model of many layers.
struct Rotation {
  std::vector<std::vector<Linear>> copies;
  std::vector<float> x;
  std::vector<AlignedBytes> y;  // floats, one per linear of the group; as the layers have them
  int64_t rows = 0;
  size_t next = 0;

  void Run() {
    std::vector<LinearOutput> outputs;
    for (size_t i = 0; i < y.size(); ++i) outputs.push_back({&copies[next][i], reinterpret_cast<float*>(y[i].data())});
    RunLinears(outputs, x.data(), rows, Precision::kBF16);
    next = (next + 1) % copies.size();
  }
};

Work GroupWork(const Group& group, WeightKind kind) {
  std::vector<Work> parts;
  for (const LinearSpec& spec : group) parts.push_back(LinearWork(spec, kind));
  return Sum(parts);
}

std::shared_ptr<Rotation> MakeRotation(const Group& group, WeightKind kind, int64_t rows,
                                       double bytes) {
  auto rotation = std::make_shared<Rotation>();
  rotation->rows = rows;
  rotation->x = RandomFloats(rows * group.front().in, 1);
  for (const LinearSpec& spec : group)
    rotation->y.emplace_back(static_cast<size_t>(rows * spec.out) * sizeof(float));
  const int copies =
      1 + static_cast<int>(std::min(bytes / GroupWork(group, kind).bytes, kMostCopies));
  for (int copy = 0; copy < copies; ++copy) {
    rotation->copies.emplace_back();
    for (const LinearSpec& spec : group)
      rotation->copies.back().push_back(RandomLinear(spec, kind));
  }
  return rotation;
}

Case LinearCase(const std::string& bench, const std::string& shape, const Group& group,
                WeightKind kind, int64_t rows) {
  const bool few = rows <= 32;
  const Work work = Rows(GroupWork(group, kind), rows);
  // Few rows: the walk is longer than any cache. Many: it need only leave the nearer ones.
  const double walk = static_cast<double>(StreamBytes()) / (few ? 1 : 4);
  return {.name = fmt::format("{} {} {} {} M={}", bench, shape, GroupName(group),
                              WeightKindName(kind), rows),
          .unit = few                         ? "GB/s"
                  : kind == WeightKind::kBf16 ? "TFLOP/s"
                                              : "TOP/s",
          .amount = few ? work.bytes / 1e9 : (work.int8_ops + work.bf16_ops) / 1e12,
          .steps = {work},
          .prepare = [=]() -> Job {
            return [rotation = MakeRotation(group, kind, rows, walk)] { rotation->Run(); };
          }};
}

std::vector<Case> LinearCases(const std::string& bench, const CaseOptions& options, bool head,
                              std::vector<int64_t> rows) {
  if (!options.rows.empty()) rows = options.rows;
  std::vector<Case> cases;
  for (const Group& group : Groups(SynthConfig({.shape = options.shape}), head)) {
    for (const WeightKind kind : options.weights) {
      for (const int64_t m : rows)
        cases.push_back(LinearCase(bench, options.shape, group, kind, m));
    }
  }
  return cases;
}

}  // namespace

std::vector<Case> GemmCases(const CaseOptions& options) {
  return LinearCases("gemm", options, /*head=*/false, {128, 512});
}

std::vector<Case> GemvCases(const CaseOptions& options) {
  return LinearCases("gemv", options, /*head=*/true, {1, 8, 16});
}

}  // namespace ingot::bench
