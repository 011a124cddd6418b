// SPDX-License-Identifier: Apache-2.0
#include "convert/test_folders.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "base/numeric.h"
#include "checkpoint/model_reader.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/w8a8_arithmetic.h"

namespace ingot::testing {
namespace fs = std::filesystem;
namespace {

const fs::path kGoldens = fs::path(INGOT_TEST_DATA) / "goldens/quant";

// Weight rows rounded with one scale each; T is the type of the stored scale.
struct RoundedLinear {
  Tensor codes, scale, deq_f32, quant_bias;
  float s_x = 0, z = 0;
};

uint32_t HashOf(const std::string& text) {
  uint32_t hash = 2166136261u;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return hash;
}

RoundedLinear RoundLinear(const TensorView& weight, const std::vector<float>& bias,
                          const std::string& site, DType scale_dtype, bool bias_inside,
                          double factor) {
  const int64_t rows = weight.shape[0], cols = weight.shape[1];
  RoundedLinear linear{Tensor(DType::kI8, {rows, cols}), Tensor(scale_dtype, {rows, 1}),
                       Tensor(DType::kF32, {rows}), Tensor(DType::kI32, {rows})};
  const uint32_t hash = HashOf(site);
  linear.s_x = 0.015625f * (1.0f + static_cast<float>(hash % 64) / 64.0f);
  linear.z = static_cast<float>(static_cast<int>(hash / 64 % 41) - 20);
  std::vector<float> scales;
  const std::vector<float> values = ToFloats(weight);
  for (int64_t row = 0; row < rows; ++row) {
    const auto at = [&](int64_t col) {
      return static_cast<float>(values[row * cols + col] * factor);
    };
    float amax = 0;
    for (int64_t col = 0; col < cols; ++col) amax = std::max(amax, std::abs(at(col)));
    const float s_w = std::max(NearestIn(scale_dtype, amax / 127), 0x1p-23f);
    for (int64_t col = 0; col < cols; ++col) {
      linear.codes.As<int8_t>()[row * cols + col] =
          static_cast<int8_t>(std::clamp(Rne(at(col) / s_w), -127.0f, 127.0f));
    }
    scales.push_back(s_w);
  }
  linear.scale = FromFloats(scales, scale_dtype, {rows, 1});
  const float z[] = {linear.z};
  const std::vector<double> sums = WeightedSums(linear.codes.As<int8_t>(), rows, cols, z);
  for (int64_t row = 0; row < rows; ++row) {
    const float deq = linear.s_x * scales[row];
    linear.deq_f32.As<float>()[row] = deq;
    linear.quant_bias.As<int32_t>()[row] = QuantBiasOf(
        sums[row], deq, bias_inside && !bias.empty() ? std::optional(bias[row]) : std::nullopt);
  }
  return linear;
}

Tensor Repeat(float value, const LayoutTensor& out) {
  const std::vector<float> values(static_cast<size_t>(NumElements(out.shape)), value);
  if (out.dtype != DType::kI8) return FromFloats(values, out.dtype, out.shape);
  Tensor tensor(DType::kI8, out.shape);
  std::fill(tensor.As<int8_t>().begin(), tensor.As<int8_t>().end(), static_cast<int8_t>(value));
  return tensor;
}

Tensor Cast(const TensorView& view, DType dtype) {
  return FromFloats(ToFloats(view), dtype, view.shape);
}

Tensor TensorFor(const LayoutTensor& out, const RoundedLinear& linear, const TensorView* bias) {
  const std::string suffix = SuffixOf(out.name);
  if (suffix == "weight") return linear.codes;
  if (suffix == "bias") return Cast(*bias, out.dtype);
  if (suffix == "weight_scale") return Cast(linear.scale.view(), out.dtype);
  if (suffix == "weight_offset") return Tensor(out.dtype, out.shape);
  if (suffix == "input_scale") return Repeat(linear.s_x, out);
  if (suffix == "input_offset" || suffix == "input_zero_point") return Repeat(linear.z, out);
  if (suffix == "quant_bias") return linear.quant_bias;
  return EncodeDeqScale(linear.deq_f32.As<float>(), out.dtype);
}

void WriteFolder(const fs::path& dir, const FolderLayout& layout,
                 const std::vector<LayoutTensor>& tensors,
                 const std::function<Tensor(const LayoutTensor&)>& make) {
  const auto labels = Labels(tensors);
  const std::string type = ModelQuantType(labels);
  const ShardPlan shards = PlanShards(StoredTensors(tensors), ShardPolicyFor(layout, type));
  SafetensorsWriter writer(dir, shards, WriterOptions(layout));
  for (const LayoutTensor& tensor : tensors) {
    if (tensor.stored) writer.Write(tensor.name, make(tensor).view());
  }
  writer.Commit();
  if (const auto style = DescriptionStyleOf(layout.target)) {
    Spill(dir / kDescriptionName, QuantDescriptionJson(type, labels, *style));
  }
  if (const auto index = IndexName(layout, shards, type))
    Spill(dir / *index, IndexText(layout, shards));
}

}  // namespace

TempFolder::TempFolder() {
  std::string name = (fs::temp_directory_path() / "ingot_test_XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  fs::permissions(path_, fs::perms::owner_all, fs::perm_options::add, ignored);
  fs::remove_all(path_, ignored);
}

fs::path TestModel(const std::string& name) { return fs::path(INGOT_TEST_DATA) / "models" / name; }

void CopyFolder(const fs::path& from, const fs::path& to) {
  fs::create_directories(to);
  fs::copy(from, to, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
}

std::string Slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

void Spill(const fs::path& path, const std::string& content) {
  std::ofstream out(path, std::ios::binary);
  out << content;
  if (!out) throw std::runtime_error("cannot write " + path.string());
}

std::map<std::string, std::string> Contents(const fs::path& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.is_regular_file()) files[entry.path().filename().string()] = Slurp(entry.path());
  }
  return files;
}

fs::path GoldenOriginal() { return kGoldens / "inputs/s_untied"; }

// The recorded file without its float tensors, and those from the checkpoint: the original loads
// them in float16.
void WriteGoldenV0(const fs::path& dir) {
  fs::create_directories(dir);
  const std::string name = "quant_model_weight_w8a8.safetensors";
  for (const auto& entry : fs::directory_iterator(GoldenOriginal())) {
    const fs::path& path = entry.path();
    if (path.extension() == ".json" && path.filename() != "config.json")
      fs::copy(path, dir / path.filename());
  }
  fs::copy(kGoldens / "v0/config.json", dir / "config.json");
  fs::copy(kGoldens / "v0/quant_model_description.json", dir / "quant_model_description.json");
  const SafetensorsFile quantized(kGoldens / "v0" / name),
      original(GoldenOriginal() / "model.safetensors");
  Tensors tensors;
  for (const TensorInfo& info : quantized.tensors()) {
    Tensor tensor(info.dtype, info.shape);
    std::ranges::copy(quantized.View(info).bytes, tensor.bytes().begin());
    tensors.emplace(info.name, std::move(tensor));
  }
  for (const TensorInfo& info : original.tensors()) {
    if (tensors.count(info.name) == 0)
      tensors.emplace(info.name, Cast(original.View(info), DType::kF16));
  }
  WriteTensors(dir / name, tensors);
}

void QuantizeForTest(const fs::path& model, const fs::path& dir, FolderLayout layout,
                     const QuantizeOptions& options) {
  fs::create_directories(dir);
  const ModelReader reader(model);
  layout.options.ct_dynamic = options.dynamic;
  layout.options.ct_symmetric = false;
  const auto type_of = [&](const LinearSpec& linear) {
    const bool vision = linear.kind <= LinearKind::kVisionFc1;
    const bool text = linear.kind >= LinearKind::kQ && linear.kind <= LinearKind::kUp;
    if (!text && !(vision && options.vision)) return LinearType::kFloat;
    return options.dynamic ? LinearType::kDynamic : LinearType::kStatic;
  };
  const auto tensors =
      FolderTensors(layout, reader.config(), reader.tied(), type_of,
                    [&](const std::string& name) { return reader.View(name).dtype; });
  std::map<std::string, RoundedLinear> linears;
  for (const LinearSpec& linear : LinearTable(reader.config())) {
    if (type_of(linear) == LinearType::kFloat) continue;
    const std::vector<float> bias =
        linear.bias ? ToFloats(reader.View(linear.module + ".bias")) : std::vector<float>();
    // The stored scale is 16 bit wide in every layout that has one.
    linears.emplace(linear.module, RoundLinear(reader.View(linear.module + ".weight"), bias,
                                               linear.site, layout.options.run_dtype,
                                               QuantBiasHoldsBias(layout), options.weight_factor));
  }
  WriteFolder(dir, layout, tensors, [&](const LayoutTensor& out) {
    const auto it = linears.find(ModuleOf(out.name));
    if (it == linears.end()) {
      const bool head = out.name == "lm_head.weight" && !reader.Has(out.name);
      return Cast(reader.View(head ? "model.language_model.embed_tokens.weight" : out.name),
                  out.dtype);
    }
    const std::string bias_name = it->first + ".bias";
    if (!reader.Has(bias_name)) return TensorFor(out, it->second, nullptr);
    const TensorView bias = reader.View(bias_name);
    return TensorFor(out, it->second, &bias);
  });
  ConfigEdits edits;
  edits.ct_ignore = CompressedTensorsIgnore(reader.config(), type_of);
  Spill(dir / "config.json", RewriteConfig(layout, Slurp(model / "config.json"), edits));
  CopySideFiles(model, dir, layout.target);
}

namespace {

// Names and shapes of the old-style model; the numbers come from a small generator.
const std::vector<std::pair<std::string, Shape>>& OldStyleTable() {
  static const std::vector<std::pair<std::string, Shape>> table = {
      {"visual.patch_embed.proj.weight", {16, 3, 2, 4, 4}},
      {"visual.blocks.0.norm1.weight", {16}},
      {"visual.blocks.0.attn.qkv.weight", {48, 16}},
      {"visual.blocks.0.attn.qkv.bias", {48}},
      {"visual.blocks.0.attn.proj.weight", {16, 16}},
      {"visual.blocks.0.attn.proj.bias", {16}},
      {"visual.merger.ln_q.weight", {16}},
      {"visual.merger.mlp.0.weight", {64, 64}},
      {"visual.merger.mlp.0.bias", {64}},
      {"model.embed_tokens.weight", {64, 32}},
      {"model.layers.0.self_attn.q_proj.weight", {32, 32}},
      {"model.layers.0.self_attn.q_proj.bias", {32}},
      {"model.layers.0.self_attn.k_proj.weight", {16, 32}},
      {"model.layers.0.self_attn.k_proj.bias", {16}},
      {"model.layers.0.self_attn.v_proj.weight", {16, 32}},
      {"model.layers.0.self_attn.v_proj.bias", {16}},
      {"model.layers.0.self_attn.o_proj.weight", {32, 32}},
      {"model.layers.0.mlp.gate_proj.weight", {64, 32}},
      {"model.layers.0.mlp.up_proj.weight", {64, 32}},
      {"model.layers.0.mlp.down_proj.weight", {32, 64}},
      {"model.layers.0.input_layernorm.weight", {32}},
      {"model.layers.0.post_attention_layernorm.weight", {32}},
      {"model.norm.weight", {32}},
      {"lm_head.weight", {64, 32}},
  };
  return table;
}

bool OldStyleQuantized(const std::string& module) {
  for (const char* name :
       {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "attn.qkv"}) {
    if (module.ends_with(name)) return true;
  }
  return false;
}

}  // namespace

void WriteOldStyleModel(const fs::path& dir) {
  fs::create_directories(dir);
  Tensors tensors;
  uint32_t state = 7;
  for (const auto& [name, shape] : OldStyleTable()) {
    std::vector<float> values(static_cast<size_t>(NumElements(shape)));
    for (float& value : values) {
      state = 1664525u * state + 1013904223u;
      value = (static_cast<float>(state >> 8) / 16777216.0f - 0.5f) *
              (name.ends_with("bias") ? 2.0f : 0.2f);
    }
    tensors.emplace(name, FromFloats(values, DType::kBF16, shape));
  }
  WriteTensors(dir / "model.safetensors", tensors);
  CopyFolder(TestModel("mini-qwen2.5-vl"), dir);
  EditText(dir / "config.json", "\"hidden_size\": 96", "\"hidden_size\": 32");
  Spill(dir / "merges.txt", "#version: 0.2\n");
}

void QuantizeOldStyle(const fs::path& model, const fs::path& dir) {
  fs::create_directories(dir);
  FolderLayout layout{Target::kAscendV0, {}};
  const SafetensorsFile file(model / "model.safetensors");
  std::vector<LayoutTensor> tensors;
  std::map<std::string, RoundedLinear> linears;
  for (const auto& [name, shape] : OldStyleTable()) {
    const std::string module = ModuleOf(name);
    if (!OldStyleQuantized(module)) {
      tensors.push_back({name, DType::kBF16, shape, "FLOAT", true});
      continue;
    }
    if (SuffixOf(name) != "weight") continue;
    LinearSpec spec;
    spec.module = module;
    spec.out = shape[0];
    spec.in = shape[1];
    spec.bias = file.Find(module + ".bias") != nullptr;
    for (const LayoutTensor& row : LinearTensors(layout, spec, LinearType::kStatic, DType::kBF16))
      tensors.push_back(row);
    const std::vector<float> bias =
        spec.bias ? ToFloats(file.View(module + ".bias")) : std::vector<float>();
    const bool shared =
        module.find("self_attn") != std::string::npos && !module.ends_with("o_proj");
    linears.emplace(module, RoundLinear(file.View(name), bias, shared ? "qkv" : module,
                                        DType::kBF16, true, 1.0));
  }
  WriteFolder(dir, layout, tensors, [&](const LayoutTensor& out) {
    const auto it = linears.find(ModuleOf(out.name));
    if (it == linears.end()) return Cast(file.View(out.name), out.dtype);
    const TensorInfo* info = file.Find(it->first + ".bias");
    if (info == nullptr) return TensorFor(out, it->second, nullptr);
    const TensorView bias = file.View(*info);
    return TensorFor(out, it->second, &bias);
  });
  fs::copy(model / "config.json", dir / "config.json");
}

Tensors ReadTensors(const fs::path& path) {
  const SafetensorsFile file(path);
  Tensors tensors;
  for (const TensorInfo& info : file.tensors()) {
    Tensor tensor(info.dtype, info.shape);
    std::ranges::copy(file.View(info).bytes, tensor.bytes().begin());
    tensors.emplace(info.name, std::move(tensor));
  }
  return tensors;
}

void WriteTensors(const fs::path& path, const Tensors& tensors) {
  ShardPlan plan;
  plan.shards.push_back({path.filename().string(), {}, 0});
  for (const auto& [name, tensor] : tensors) {
    plan.shards[0].tensors.push_back({name, tensor.dtype(), tensor.shape()});
    plan.shards[0].data_bytes += tensor.bytes().size();
  }
  plan.data_bytes = plan.shards[0].data_bytes;
  SafetensorsWriter writer(path.parent_path(), plan, {});
  for (const auto& [name, tensor] : tensors) writer.Write(name, tensor.view());
  writer.Commit();
}

fs::path WeightFile(const fs::path& dir) {
  fs::path found;
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().extension() == ".safetensors") found = entry.path();
  }
  return found;
}

void EditTensors(const fs::path& dir, const std::function<void(Tensors&)>& edit) {
  const fs::path file = WeightFile(dir);
  Tensors tensors = ReadTensors(file);
  edit(tensors);
  WriteTensors(file, tensors);
}

void EditText(const fs::path& file, const std::string& from, const std::string& to) {
  std::string text = Slurp(file);
  const size_t at = text.find(from);
  if (at == std::string::npos) throw std::runtime_error(file.string() + " has no " + from);
  text.replace(at, from.size(), to);
  fs::remove(file);
  Spill(file, text);
}

}  // namespace ingot::testing
