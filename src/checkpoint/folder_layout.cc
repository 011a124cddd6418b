// SPDX-License-Identifier: Apache-2.0
// Tensors, labels and files of each target. config.json and side files: folder_config.cc.
#include "checkpoint/folder_layout.h"

#include <algorithm>
#include <array>
#include <bit>
#include <map>

#include "base/error.h"
#include "checkpoint/json_value.h"

namespace ingot {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

struct TargetRow {
  Target target;
  std::string_view name;
  FolderFormat format;
};
constexpr std::array<TargetRow, 5> kTargets = {{
    {Target::kAscendV0, "ascend-v0", FolderFormat::kAscendV0},
    {Target::kAscend, "ascend", FolderFormat::kAscendV1},
    {Target::kGoldenStick310, "golden-stick-310", FolderFormat::kGoldenStick310},
    {Target::kGoldenStick910, "golden-stick-910", FolderFormat::kGoldenStick910},
    {Target::kCompressedTensors, "compressed-tensors", FolderFormat::kCompressedTensors},
}};

const TargetRow& RowOf(Target target) { return kTargets[static_cast<size_t>(target)]; }

bool IsCompressedTensors(const FolderLayout& layout) {
  return layout.target == Target::kCompressedTensors;
}

bool IsVisionKind(LinearKind kind) { return kind <= LinearKind::kDeepstackFc2; }

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return text;
}

// Collects the tensors of one linear; names get the module in front.
class LinearRows {
 public:
  LinearRows(const LinearSpec& linear, std::string_view label) : linear_(linear), label_(label) {}
  void Add(const char* suffix, DType dtype, Shape shape, std::string_view label = {}) {
    rows_.push_back({linear_.module + "." + suffix, dtype, std::move(shape),
                     std::string(label.empty() ? label_ : label)});
  }
  std::vector<LayoutTensor> Take() { return std::move(rows_); }

 private:
  const LinearSpec& linear_;
  std::string_view label_;
  std::vector<LayoutTensor> rows_;
};

std::vector<LayoutTensor> FloatLinear(const LinearSpec& linear, DType dtype) {
  LinearRows rows(linear, "FLOAT");
  rows.Add("weight", dtype, {linear.out, linear.in});
  if (linear.bias) rows.Add("bias", dtype, {linear.out});
  return rows.Take();
}

// Order of msmodelslim/pytorch/llm_ptq/llm_ptq_tools/save/saver/ascend_v1.py. Golden-stick folders
// are converted from these and keep the order; there one module has one label.
std::vector<LayoutTensor> V0Linear(const FolderLayout& layout, const LinearSpec& linear,
                                   LinearType type, DType float_dtype) {
  LinearRows rows(linear, LinearTypeLabel(type));
  const bool is_static = type == LinearType::kStatic;
  const int64_t n = linear.out;
  const int64_t activation = IsGoldenStick(layout.target) ? linear.in : 1;
  rows.Add("weight", DType::kI8, {n, linear.in});
  if (linear.bias) {
    rows.Add("bias", float_dtype, {n}, IsGoldenStick(layout.target) ? "" : "FLOAT");
  }
  if (!is_static || layout.options.keep_weight_scale) {
    rows.Add("weight_scale", WeightScaleDType(layout), {n, 1});
    rows.Add("weight_offset", WeightScaleDType(layout), {n, 1});
  }
  if (is_static) {
    rows.Add("input_scale", InputScaleDType(layout), {activation});
    rows.Add("input_offset", InputOffsetDType(layout), {activation});
    rows.Add("quant_bias", DType::kI32, {n});
    rows.Add("deq_scale", DeqScaleDType(layout), {n});
  }
  return rows.Take();
}

// Order of msmodelslim/core/quant_service/modelslim_v1/save/ascendv1.py; the weight parameters,
// which that writer leaves out of static linears, come before the bias.
std::vector<LayoutTensor> V1Linear(const FolderLayout& layout, const LinearSpec& linear,
                                   LinearType type) {
  LinearRows rows(linear, LinearTypeLabel(type));
  const bool is_static = type == LinearType::kStatic;
  const int64_t n = linear.out;
  rows.Add("weight", DType::kI8, {n, linear.in});
  if (is_static) {
    rows.Add("quant_bias", DType::kI32, {n});
    rows.Add("input_scale", InputScaleDType(layout), {1});
    rows.Add("input_offset", InputOffsetDType(layout), {1});
    rows.Add("deq_scale", DeqScaleDType(layout), {n});
  }
  if (!is_static || layout.options.keep_weight_scale) {
    rows.Add("weight_scale", WeightScaleDType(layout), {n, 1});
    rows.Add("weight_offset", WeightScaleDType(layout), {n, 1});
  }
  if (linear.bias) rows.Add("bias", DType::kF32, {n}, "FLOAT");
  return rows.Take();
}

// compressed_tensors/quantization/lifecycle/initialize.py.
std::vector<LayoutTensor> CtLinear(const FolderLayout& layout, const LinearSpec& linear,
                                   LinearType type, DType float_dtype) {
  LinearRows rows(linear, LinearTypeLabel(type));
  rows.Add("weight", DType::kI8, {linear.out, linear.in});
  rows.Add("weight_scale", WeightScaleDType(layout), {linear.out, 1});
  if (type == LinearType::kStatic) {
    rows.Add("input_scale", InputScaleDType(layout), {1});
    if (!layout.options.ct_symmetric) rows.Add("input_zero_point", InputOffsetDType(layout), {1});
  }
  if (linear.bias) rows.Add("bias", float_dtype, {linear.out}, "FLOAT");
  return rows.Take();
}

// V1 visits the embedding after the decoder layers.
void MoveEmbeddingBehindLayers(std::vector<TensorSpec>* table) {
  const auto is_embedding = [](const TensorSpec& s) { return s.role == TensorRole::kEmbedding; };
  const auto from = std::find_if(table->begin(), table->end(), is_embedding);
  const auto to = std::find_if(from, table->end(), [](const TensorSpec& spec) {
    return spec.part == TensorPart::kText && spec.layer < 0 && spec.role == TensorRole::kNorm;
  });
  if (from != table->end() && to != table->end()) std::rotate(from, from + 1, to);
}

std::string WeightStem(const FolderLayout& layout, const std::string& model_quant_type) {
  switch (layout.target) {
    case Target::kAscend:
      return "quant_model_weights";
    case Target::kCompressedTensors:
      return "model";
    default:
      return "quant_model_weight_" + Lower(model_quant_type);
  }
}

}  // namespace

std::string_view TargetName(Target target) { return RowOf(target).name; }
FolderFormat FormatOf(Target target) { return RowOf(target).format; }

std::vector<Target> AllTargets() {
  std::vector<Target> targets;
  for (const TargetRow& row : kTargets) targets.push_back(row.target);
  return targets;
}

Target ParseTarget(std::string_view name) {
  std::string names;
  for (const TargetRow& row : kTargets) {
    if (row.name == name) return row.target;
    names += (names.empty() ? "" : ", ") + std::string(row.name);
  }
  throw UserError("target \"{}\" is unknown; choose one of {}.", Printable(name, 60), names);
}

std::optional<Target> TargetOf(FolderFormat format) {
  for (const TargetRow& row : kTargets) {
    if (row.format == format) return row.target;
  }
  return std::nullopt;
}

std::string_view LinearTypeName(LinearType type) {
  constexpr std::string_view kNames[] = {"float", "static", "dynamic"};
  return kNames[static_cast<size_t>(type)];
}

LinearType ParseLinearType(std::string_view name) {
  for (const LinearType type : {LinearType::kFloat, LinearType::kStatic, LinearType::kDynamic}) {
    if (LinearTypeName(type) == name) return type;
  }
  throw UserError("linear type \"{}\" is unknown; choose one of float, static, dynamic.",
                  Printable(name, 60));
}

std::string_view LinearTypeLabel(LinearType type) {
  constexpr std::string_view kLabels[] = {"FLOAT", "W8A8", "W8A8_DYNAMIC"};
  return kLabels[static_cast<size_t>(type)];
}

FolderLayout DefaultLayout(Target target, const ModelConfig& config) {
  FolderLayout layout{.target = target};
  const bool f16 = target == Target::kGoldenStick310 || config.torch_dtype == "float16";
  layout.options.run_dtype = f16 ? DType::kF16 : DType::kBF16;
  // vLLM-Ascend builds lm_head before it ties it; others take the embedding.
  layout.options.write_tied_head = target == Target::kAscend || target == Target::kAscendV0;
  return layout;
}

void ValidateLayout(const FolderLayout& layout) {
  const LayoutOptions& options = layout.options;
  if (options.run_dtype != DType::kF16 && options.run_dtype != DType::kBF16) {
    throw UserError("run type {} is not possible; choose float16 or bfloat16.",
                    DTypeName(options.run_dtype));
  }
  if (layout.target == Target::kGoldenStick310 && options.run_dtype != DType::kF16) {
    throw UserError(
        "golden-stick-310 runs in float16 only; bfloat16 was asked for. Choose float16 or "
        "the target golden-stick-910.");
  }
  if (options.vector_scales && !IsGoldenStick(layout.target)) {
    throw UserError(
        "vector scales exist in golden-stick folders only; the target is {}. Leave the "
        "option out.",
        TargetName(layout.target));
  }
  if (options.shard_bytes != 0 && options.shard_bytes < 1'000'000) {
    throw UserError("a shard size of {} bytes is too small; at least 1 MB was expected.",
                    options.shard_bytes);
  }
}

std::string RefusalReason(const FolderLayout& layout, LinearKind kind, LinearType type) {
  if (type == LinearType::kFloat) return "";
  if (kind == LinearKind::kLmHead) return "no engine loads a quantized lm_head";
  if (IsGoldenStick(layout.target)) {
    if (type == LinearType::kDynamic) return "golden-stick has no dynamic activation scales";
    if (IsVisionKind(kind))
      return "golden-stick engines are known to run only a float vision tower";
  }
  if (IsCompressedTensors(layout)) {
    if (IsVisionKind(kind)) return "the vision tower stays float in compressed-tensors folders";
    const bool dynamic = type == LinearType::kDynamic;
    if (dynamic != layout.options.ct_dynamic) {
      return fmt::format("this compressed-tensors folder has {} activation scales in all linears",
                         layout.options.ct_dynamic ? "dynamic" : "static");
    }
  }
  return "";
}

LinearType DefaultLinearType(const FolderLayout& layout, LinearKind kind) {
  if (IsVisionKind(kind) || kind == LinearKind::kDown || kind == LinearKind::kLmHead) {
    return LinearType::kFloat;
  }
  const bool dynamic = IsCompressedTensors(layout) && layout.options.ct_dynamic;
  return dynamic ? LinearType::kDynamic : LinearType::kStatic;
}

DType FloatDType(const FolderLayout& layout, DType source) {
  return IsCompressedTensors(layout) ? source : layout.options.run_dtype;
}

DType WeightScaleDType(const FolderLayout& layout) {
  const bool f32 = IsCompressedTensors(layout) || layout.target == Target::kAscend;
  return f32 ? DType::kF32 : layout.options.run_dtype;
}

DType InputScaleDType(const FolderLayout& layout) {
  return IsGoldenStick(layout.target) ? DType::kF16 : DType::kF32;
}

DType InputOffsetDType(const FolderLayout& layout) {
  switch (layout.target) {
    case Target::kGoldenStick310:
      return DType::kF16;
    case Target::kGoldenStick910:
      return DType::kBF16;
    case Target::kCompressedTensors:
      return DType::kI8;
    default:
      return DType::kF32;
  }
}

DType DeqScaleDType(const FolderLayout& layout) {
  const bool i64 = !IsGoldenStick(layout.target) && layout.options.run_dtype == DType::kF16;
  return i64 ? DType::kI64 : DType::kF32;
}

bool QuantBiasHoldsBias(const FolderLayout& layout) { return !IsGoldenStick(layout.target); }

std::vector<LayoutTensor> LinearTensors(const FolderLayout& layout, const LinearSpec& linear,
                                        LinearType type, DType source_float) {
  const DType float_dtype = FloatDType(layout, source_float);
  if (type == LinearType::kFloat) return FloatLinear(linear, float_dtype);
  if (const auto reason = RefusalReason(layout, linear.kind, type); !reason.empty()) {
    throw UserError("{}: cannot be {} in a folder for {}: {}. Keep it float.", linear.module,
                    LinearTypeName(type), TargetName(layout.target), reason);
  }
  switch (layout.target) {
    case Target::kAscend:
      return V1Linear(layout, linear, type);
    case Target::kCompressedTensors:
      return CtLinear(layout, linear, type, float_dtype);
    default:
      return V0Linear(layout, linear, type, float_dtype);
  }
}

std::vector<LayoutTensor> FolderTensors(
    const FolderLayout& layout, const ModelConfig& config, bool tied,
    const std::function<LinearType(const LinearSpec&)>& type_of,
    const std::function<DType(const std::string&)>& source_dtype) {
  auto table = TensorTable(config, tied);
  if (layout.target == Target::kAscend) MoveEmbeddingBehindLayers(&table);
  std::map<std::string, LinearSpec> linears;
  for (auto& linear : LinearTable(config)) {
    std::string module = linear.module;
    linears.emplace(std::move(module), std::move(linear));
  }
  std::vector<LayoutTensor> tensors;
  std::string embedding;
  for (const TensorSpec& spec : table) {
    if (spec.role == TensorRole::kEmbedding) embedding = spec.name;
    const auto linear = linears.find(ModuleOf(spec.name));
    if (linear == linears.end()) {
      tensors.push_back(
          {spec.name, FloatDType(layout, source_dtype(spec.name)), spec.shape, "FLOAT"});
    } else if (SuffixOf(spec.name) == "weight") {  // its bias row comes along
      auto rows =
          LinearTensors(layout, linear->second, type_of(linear->second), source_dtype(spec.name));
      std::move(rows.begin(), rows.end(), std::back_inserter(tensors));
    }
  }
  const bool stored = layout.options.write_tied_head;
  if (tied && (stored || !IsCompressedTensors(layout))) {
    tensors.push_back({"lm_head.weight",
                       FloatDType(layout, source_dtype(embedding)),
                       {config.text.vocab, config.text.hidden},
                       "FLOAT",
                       stored});
  }
  return tensors;
}

std::vector<PlannedTensor> StoredTensors(const std::vector<LayoutTensor>& tensors) {
  std::vector<PlannedTensor> planned;
  for (const auto& tensor : tensors) {
    if (tensor.stored) planned.push_back({tensor.name, tensor.dtype, tensor.shape});
  }
  return planned;
}

std::vector<std::pair<std::string, std::string>> Labels(const std::vector<LayoutTensor>& tensors) {
  std::vector<std::pair<std::string, std::string>> labels;
  for (const auto& tensor : tensors) labels.emplace_back(tensor.name, tensor.label);
  return labels;
}

std::string ModelQuantType(const std::vector<std::pair<std::string, std::string>>& labels) {
  std::string type = "FLOAT";
  for (const auto& [name, label] : labels) {
    if (label == "W8A8") return label;
    if (label == "W8A8_DYNAMIC") type = label;
  }
  return type;
}

ShardPolicy ShardPolicyFor(const FolderLayout& layout, const std::string& model_quant_type) {
  const uint64_t asked = layout.options.shard_bytes;
  const std::string stem = WeightStem(layout, model_quant_type);
  ShardPolicy policy;
  policy.single_name = stem + ".safetensors";
  policy.numbered_pattern = stem + "-{:05}-of-{:05}.safetensors";
  switch (layout.target) {
    case Target::kAscendV0:
    case Target::kAscend: {
      // The original closes a shard as soon as it would reach the limit, not only beyond it.
      const uint64_t limit = asked == 0 && layout.target == Target::kAscend ? 4 * kGiB : asked;
      policy.max_bytes = limit == 0 ? 0 : limit - 1;
      policy.always_numbered = limit != 0;
      break;
    }
    case Target::kGoldenStick310:
    case Target::kGoldenStick910:
      policy.max_bytes = asked;
      break;
    case Target::kCompressedTensors:
      policy.max_bytes = asked == 0 ? 5'000'000'000 : asked;  // as transformers cuts its files
      break;
  }
  return policy;
}

std::optional<std::string> IndexName(const FolderLayout& layout, const ShardPlan& plan,
                                     const std::string& model_quant_type) {
  const std::string stem = WeightStem(layout, model_quant_type);
  if (IsGoldenStick(layout.target)) return "model.safetensors.index.json";
  if (plan.shards.size() == 1 && plan.shards[0].file_name == stem + ".safetensors") {
    return std::nullopt;
  }
  return stem + ".safetensors.index.json";
}

std::string IndexText(const FolderLayout& layout, const ShardPlan& plan) {
  std::vector<std::pair<std::string, std::string>> map;
  for (const auto& shard : plan.shards) {
    for (const auto& tensor : shard.tensors) map.emplace_back(tensor.name, shard.file_name);
  }
  if (IsCompressedTensors(layout)) std::sort(map.begin(), map.end());
  return IndexJson(plan.data_bytes, map);
}

std::optional<DescriptionStyle> DescriptionStyleOf(Target target) {
  if (target == Target::kCompressedTensors) return std::nullopt;
  return target == Target::kAscend ? DescriptionStyle::kV1 : DescriptionStyle::kV0;
}

SafetensorsWriter::Options WriterOptions(const FolderLayout& layout) {
  SafetensorsWriter::Options options;
  if (IsGoldenStick(layout.target)) options.metadata = {"format", "ms"};
  if (IsCompressedTensors(layout)) options.metadata = {"format", "pt"};
  return options;
}

int64_t EncodeDeqScaleI64(float deq) {
  return static_cast<int64_t>(uint64_t{std::bit_cast<uint32_t>(deq)});
}

std::optional<float> DecodeDeqScaleI64(int64_t code) {
  if (static_cast<uint64_t>(code) >> 32 != 0) return std::nullopt;
  return std::bit_cast<float>(static_cast<uint32_t>(code));
}

std::vector<float> DecodeDeqScale(const TensorView& stored, const std::string& what) {
  if (IsFloat16Or32(stored.dtype)) return ToFloats(stored);
  if (stored.dtype != DType::kI64) {
    throw FormatError("{}: deq_scale is {}; I64 or F32 was expected. Write the folder again.", what,
                      DTypeName(stored.dtype));
  }
  std::vector<float> values;
  for (const int64_t code : stored.As<int64_t>()) {
    const auto value = DecodeDeqScaleI64(code);
    if (!value) {
      throw FormatError(
          "{}: deq_scale value {} at {} is no float pattern in 32 bits. Write the folder "
          "again.",
          what, code, values.size());
    }
    values.push_back(*value);
  }
  return values;
}

Tensor EncodeDeqScale(std::span<const float> deq, DType dtype) {
  Tensor tensor(dtype, {static_cast<int64_t>(deq.size())});
  if (dtype == DType::kF32) {
    std::copy(deq.begin(), deq.end(), tensor.As<float>().begin());
  } else if (dtype == DType::kI64) {
    std::transform(deq.begin(), deq.end(), tensor.As<int64_t>().begin(), EncodeDeqScaleI64);
  } else {
    throw InternalError("deq_scale cannot be encoded as {}", DTypeName(dtype));
  }
  return tensor;
}

}  // namespace ingot
