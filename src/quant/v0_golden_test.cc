// SPDX-License-Identifier: Apache-2.0
// Recorded runs of the original tool, reproduced bit for bit: weights from the checkpoint, derived
// tensors from the stored scales, observers from the recorded activations. INGOT_QUANT_GOLDENS may
// name a larger set with the same layout.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <set>

#include "checkpoint/safetensors.h"
#include "quant/v0_observer.h"
#include "quant/v0_rounding.h"

namespace ingot {
namespace {

std::filesystem::path Root() {
  const char* full = std::getenv("INGOT_QUANT_GOLDENS");
  return full != nullptr ? std::filesystem::path(full)
                         : std::filesystem::path(INGOT_TEST_DATA) / "goldens" / "quant";
}

struct Recording {
  const char* name;        // folder; its dump is NAME_dump
  const char* checkpoint;  // inputs/...
  const char* file;
  DType dtype;
  V0ActMethod method;
  const char* acts;  // the dump whose activations its observers saw
};
const Recording kRuns[] = {
    {"v0", "s_untied", "quant_model_weight_w8a8.safetensors", DType::kF16, V0ActMethod::kHistogram,
     "v0"},
    {"v0_fp32ckpt", "s_untied32", "quant_model_weight_w8a8.safetensors", DType::kF16,
     V0ActMethod::kHistogram, ""},
    {"v0_act1", "s_untied", "quant_model_weight_w8a8.safetensors", DType::kF16,
     V0ActMethod::kMinMax, ""},
    {"v0_dynamic", "s_untied", "quant_model_weight_w8a8_dynamic.safetensors", DType::kF16,
     V0ActMethod::kHistogram, ""},
    {"qwen2_5_vl", "qwen2_5_vl", "quant_model_weight_w8a8.safetensors", DType::kBF16,
     V0ActMethod::kHistogram, "qwen2_5_vl"},
};

std::unique_ptr<SafetensorsFile> OpenIfThere(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return nullptr;
  return std::make_unique<SafetensorsFile>(path);
}

// Checkpoint of a run; tensors that the original's outlier step changed come from the dump.
class Source {
 public:
  explicit Source(const Recording& run)
      : checkpoint_(OpenIfThere(Root() / "inputs" / run.checkpoint / "model.safetensors")),
        changed_(OpenIfThere(Root() / (std::string(run.name) + "_dump") / "anti.safetensors")) {}
  bool ok() const { return checkpoint_ != nullptr; }
  const TensorInfo* Find(const std::string& name) const { return checkpoint_->Find(name); }
  TensorView View(const std::string& name) const {
    if (changed_ != nullptr && changed_->Find(name) != nullptr) return changed_->View(name);
    return checkpoint_->View(name);
  }

 private:
  std::unique_ptr<SafetensorsFile> checkpoint_, changed_;
};

template <typename T>
int64_t Differences(std::span<const T> a, std::span<const T> b) {
  if (a.size() != b.size()) return static_cast<int64_t>(std::max(a.size(), b.size()));
  int64_t count = 0;
  for (size_t i = 0; i < a.size(); ++i) count += std::memcmp(&a[i], &b[i], sizeof(T)) != 0;
  return count;
}

// Bytes of a tensor of `dtype` with these values.
int64_t Differences(std::span<const float> values, const TensorView& stored) {
  const Tensor mine = FromFloats(values, stored.dtype, stored.shape);
  return Differences(std::span<const std::byte>(mine.bytes()), stored.bytes);
}

std::set<std::string> QuantizedModules(const SafetensorsFile& folder) {
  std::set<std::string> modules;
  const std::string suffix = ".weight_scale";
  for (const TensorInfo& info : folder.tensors()) {
    if (info.name.ends_with(suffix))
      modules.insert(info.name.substr(0, info.name.size() - suffix.size()));
  }
  return modules;
}

// The stored deq_scale as float32 bits: I64 carrier or F32.
std::vector<float> StoredDeq(const TensorView& view) {
  if (view.dtype == DType::kF32) return ToFloats(view);
  std::vector<float> deq;
  for (const int64_t code : view.As<int64_t>()) {
    deq.push_back(std::bit_cast<float>(static_cast<uint32_t>(code)));
    EXPECT_EQ(code >> 32, 0);
  }
  return deq;
}

struct Counts {
  int64_t linears = 0, codes = 0, scales = 0, deq = 0, bias = 0, rows_underflow = 0;
};

void CheckLinear(const Recording& run, const Source& source, const SafetensorsFile& folder,
                 const std::string& module, Counts& counts) {
  SCOPED_TRACE(module);
  const TensorView weight = source.View(module + ".weight");
  const bool has_bias = source.Find(module + ".bias") != nullptr;
  TensorView bias;
  if (has_bias) bias = source.View(module + ".bias");
  const bool is_static = folder.Find(module + ".input_scale") != nullptr;
  QuantizedLinear q = V0QuantizeDynamic(weight, has_bias ? &bias : nullptr, run.dtype);
  ++counts.linears;
  EXPECT_EQ(Differences(q.weight_scale, folder.View(module + ".weight_scale")), 0);
  counts.scales += q.out;
  if (folder.Find(module + ".weight") != nullptr) {  // a reduced set leaves codes out
    const TensorView codes = folder.View(module + ".weight");
    EXPECT_EQ(Differences(std::as_bytes(std::span<const int8_t>(q.codes)), codes.bytes), 0);
    counts.codes += static_cast<int64_t>(q.codes.size());
  }
  const TensorView offset = folder.View(module + ".weight_offset");
  EXPECT_EQ(Differences(std::vector<float>(q.weight_scale.size(), 0.0f), offset), 0);
  if (!is_static) return;
  const TensorView input_scale = folder.View(module + ".input_scale");
  ActivationParams params;
  params.scale = ToFloats(input_scale)[0];
  params.offset = ToFloats(folder.View(module + ".input_offset"))[0];
  params.dtype = input_scale.dtype;
  q = V0QuantizeStatic(weight, has_bias ? &bias : nullptr, params, run.dtype);
  EXPECT_EQ(Differences(std::span<const float>(q.deq),
                        std::span<const float>(StoredDeq(folder.View(module + ".deq_scale")))),
            0);
  counts.deq += q.out;
  const TensorView quant_bias = folder.View(module + ".quant_bias");
  EXPECT_EQ(Differences(std::as_bytes(std::span<const int32_t>(q.quant_bias)), quant_bias.bytes),
            0);
  counts.bias += q.out;
  for (const float deq : q.deq) counts.rows_underflow += deq == 0;
}

TEST(V0Golden, FoldersFromTheCheckpointAndTheStoredScales) {
  int64_t total = 0;
  for (const Recording& run : kRuns) {
    SCOPED_TRACE(run.name);
    const Source source(run);
    const auto folder = OpenIfThere(Root() / run.name / run.file);
    if (!source.ok() || folder == nullptr) continue;
    Counts counts;
    for (const std::string& module : QuantizedModules(*folder)) {
      CheckLinear(run, source, *folder, module, counts);
    }
    // FLOAT tensors (when they were not taken out of the set): the checkpoint cast to the type of
    // the model.
    int64_t floats = 0;
    for (const TensorInfo& info : folder->tensors()) {
      if (source.Find(info.name) == nullptr || info.dtype == DType::kI8) continue;
      EXPECT_EQ(Differences(ToFloats(source.View(info.name)), folder->View(info)), 0) << info.name;
      ++floats;
    }
    EXPECT_GT(counts.linears, 0);
    total += counts.linears;
    std::cout << run.name << ": " << counts.linears << " linears; compared bit for bit: codes "
              << counts.codes << ", scales " << counts.scales << ", deq_scale " << counts.deq
              << ", quant_bias " << counts.bias
              << " (rows with deq_scale 0: " << counts.rows_underflow << "), float tensors "
              << floats << "\n";
  }
  EXPECT_GE(total, 18);
}

struct Trace {
  std::vector<ActivationParams> params;
  V0Histogram histogram;
};

Trace Replay(const Recording& run, const SafetensorsFile& acts, const std::string& key) {
  Trace trace;
  V0Observer observer(run.method, run.dtype, key);
  for (int sample = 0;; ++sample) {
    const std::string name = key + "/" + std::to_string(sample);
    if (acts.Find(name) == nullptr) break;
    observer.Observe(ToFloats(acts.View(name)));
    trace.params.push_back(observer.Params());
  }
  trace.histogram = observer.histogram();
  return trace;
}

void CheckTrace(const Recording& run, const Trace& trace, const SafetensorsFile& observers,
                const std::string& key) {
  std::vector<float> lo, hi, scale, offset;
  for (const ActivationParams& p : trace.params) {
    lo.push_back(p.lo);
    hi.push_back(p.hi);
    scale.push_back(p.scale);
    offset.push_back(p.offset);
  }
  EXPECT_EQ(Differences(lo, observers.View(key + "/lo")), 0);
  EXPECT_EQ(Differences(hi, observers.View(key + "/hi")), 0);
  EXPECT_EQ(Differences(scale, observers.View(key + "/scale")), 0);
  EXPECT_EQ(Differences(offset, observers.View(key + "/offset")), 0);
  if (run.method != V0ActMethod::kHistogram) return;
  EXPECT_EQ(Differences(trace.histogram.bins(), observers.View(key + "/hist")), 0);
  EXPECT_EQ(trace.histogram.min(), ToFloats(observers.View(key + "/min"))[0]);
  EXPECT_EQ(trace.histogram.max(), ToFloats(observers.View(key + "/max"))[0]);
}

TEST(V0Golden, ObserversOnTheRecordedActivations) {
  int64_t total = 0;
  for (const Recording& run : kRuns) {
    if (*run.acts == '\0') continue;
    SCOPED_TRACE(run.name);
    const auto acts = OpenIfThere(Root() / (std::string(run.acts) + "_dump") / "acts.safetensors");
    const auto observers =
        OpenIfThere(Root() / (std::string(run.name) + "_dump") / "observers.safetensors");
    if (acts == nullptr || observers == nullptr) continue;
    // k and v read q's input, up reads gate's: the recorded activations may hold one of them only.
    const std::map<std::string, std::string> shared = {
        {"k_proj", "q_proj"}, {"v_proj", "q_proj"}, {"up_proj", "gate_proj"}};
    int64_t keys = 0, ranges = 0;
    for (const TensorInfo& info : observers->tensors()) {
      if (!info.name.ends_with("/lo")) continue;
      const std::string key = info.name.substr(0, info.name.size() - 3);
      std::string input = key;
      if (acts->Find(key + "/0") == nullptr) {
        for (const auto& [from, to] : shared) {
          if (const size_t at = input.find(from); at != std::string::npos)
            input.replace(at, from.size(), to);
        }
      }
      SCOPED_TRACE(key);
      const Trace trace = Replay(run, *acts, input);
      if (trace.params.empty()) continue;
      CheckTrace(run, trace, *observers, key);
      ++keys;
      ranges += static_cast<int64_t>(trace.params.size());
    }
    std::cout << run.name << ": " << keys << " observers, " << ranges << " ranges after a sample\n";
    total += keys;
  }
  EXPECT_GE(total, 4);
}

// The input of the very first linear does not depend on the quantizer, so this run shares v0's
// activations there.
TEST(V0Golden, MeanOfExtremesOnTheFirstLinear) {
  const Recording run = kRuns[2];
  const auto acts = OpenIfThere(Root() / "v0_dump" / "acts.safetensors");
  const auto observers = OpenIfThere(Root() / "v0_act1_dump" / "observers.safetensors");
  ASSERT_TRUE(acts != nullptr && observers != nullptr);
  const std::string key = "model.language_model.layers.0.self_attn.q_proj.quant_input";
  const Trace trace = Replay(run, *acts, key);
  ASSERT_EQ(trace.params.size(), 12u);
  CheckTrace(run, trace, *observers, key);
}

// What the calibration forward computes with: activations and weights of the first linear on three
// samples.
TEST(V0Golden, FakeQuantizedTensors) {
  for (const Recording& run : {kRuns[0], kRuns[4]}) {
    SCOPED_TRACE(run.name);
    const Source source(run);
    const auto dump = std::string(run.name) + "_dump";
    const auto acts = OpenIfThere(Root() / dump / "acts.safetensors");
    const auto fake = OpenIfThere(Root() / dump / "fakequant.safetensors");
    ASSERT_TRUE(source.ok() && acts != nullptr && fake != nullptr);
    int compared = 0;
    for (const TensorInfo& info : fake->tensors()) {
      const size_t slash = info.name.find('/');
      const std::string key = info.name.substr(0, slash);
      const std::string module = key.substr(0, key.rfind('.'));
      const TensorView expected = fake->View(info);
      std::vector<float> mine(static_cast<size_t>(expected.elements()));
      if (key.ends_with("quant_weight")) {
        V0FakeQuantizeWeight(source.View(module + ".weight"), run.dtype, mine);
      } else {
        const int sample = std::stoi(info.name.substr(slash + 1));
        const Trace trace = Replay(run, *acts, key);
        V0FakeQuantizeActivations(ToFloats(acts->View(info.name)),
                                  trace.params[static_cast<size_t>(sample)], run.dtype, mine);
      }
      EXPECT_EQ(Differences(mine, expected), 0) << info.name;
      ++compared;
    }
    EXPECT_EQ(compared, 6);
  }
}

}  // namespace
}  // namespace ingot
