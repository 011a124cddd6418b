// SPDX-License-Identifier: Apache-2.0
// One quantized folder from the layout's table: each planned tensor knows by its suffix what it
// holds.
#include "quant/folder_writer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/numeric.h"

namespace ingot {
namespace {

constexpr size_t kCopyBytes = size_t{32} << 20;
constexpr int64_t kCastElements = int64_t{1}
                                  << 22;  // one piece of a cast: bounded memory for embeddings
constexpr uint64_t kMaxConfigBytes = 64u << 20;
const std::string kConfigName = "config.json";
const std::string kHeadName = "lm_head.weight";

// The tensor of the original that a planned float tensor comes from: a tied head is a copy of the
// embedding.
std::string SourceName(const ModelReader& source, const std::string& name) {
  if (name != kHeadName || source.Has(name)) return name;
  for (const TensorSpec& spec : TensorTable(source.config(), true)) {
    if (spec.role == TensorRole::kEmbedding) return spec.name;
  }
  throw InternalError("{}: no embedding in the tensor table", name);
}

std::vector<LayoutTensor> PlanTensors(const ModelReader& source, const FolderLayout& layout,
                                      const std::map<std::string, LinearType>& types) {
  const auto type_of = [&](const LinearSpec& spec) {
    const auto it = types.find(spec.module);
    return it == types.end() ? LinearType::kFloat : it->second;
  };
  const auto dtype_of = [&](const std::string& name) { return source.View(name).dtype; };
  return FolderTensors(layout, source.config(), source.tied(), type_of, dtype_of);
}

void RequireKnownModules(const ModelReader& source,
                         const std::map<std::string, LinearType>& types) {
  std::set<std::string> known;
  for (const LinearSpec& spec : LinearTable(source.config())) known.insert(spec.module);
  for (const auto& [module, type] : types) {
    if (known.count(module) == 0) {
      throw UserError("{}: linear {} is in the plan but not in the model. Take it out of the plan.",
                      source.dir().string(), module);
    }
  }
}

// Index of the first value that is finite as float32 and infinite as F16; -1 when there is none.
int64_t FirstOverflow(std::span<const float> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::abs(values[i]) >= 65520.0f && std::isfinite(values[i])) return static_cast<int64_t>(i);
  }
  return -1;
}

Tensor Filled(const LayoutTensor& planned, float value) {
  if (planned.dtype == DType::kI8) {
    Tensor tensor(DType::kI8, planned.shape);
    std::fill(tensor.As<int8_t>().begin(), tensor.As<int8_t>().end(), static_cast<int8_t>(value));
    return tensor;
  }
  const std::vector<float> values(static_cast<size_t>(NumElements(planned.shape)), value);
  return FromFloats(values, planned.dtype, planned.shape);
}

template <typename T>
TensorView ViewOf(const std::vector<T>& values, const LayoutTensor& planned) {
  return {planned.dtype, planned.shape, std::as_bytes(std::span<const T>(values))};
}

// A scale of a tiny row must not become 0 in F16.
Tensor WeightScales(const QuantizedLinear& linear, const LayoutTensor& planned) {
  std::vector<float> scales = linear.weight_scale;
  if (planned.dtype == DType::kF16) {
    for (float& scale : scales) scale = std::clamp(scale, 0x1p-24f, 65504.0f);
  }
  return FromFloats(scales, planned.dtype, planned.shape);
}

}  // namespace

FolderWriter::FolderWriter(const ModelReader& source, const std::filesystem::path& out_dir,
                           const FolderLayout& layout, std::map<std::string, LinearType> types,
                           Options options)
    : source_(source),
      dir_(out_dir),
      layout_(layout),
      types_(std::move(types)),
      options_(std::move(options)) {
  ValidateLayout(layout_);
  RequireKnownModules(source_, types_);
  tensors_ = PlanTensors(source_, layout_, types_);
  std::set<std::string> quantized;
  for (const auto& [module, type] : types_) {
    if (type != LinearType::kFloat) quantized.insert(module);
  }
  for (size_t i = 0; i < tensors_.size(); ++i) {
    LayoutTensor& tensor = tensors_[i];
    const std::string suffix = SuffixOf(tensor.name);
    if (layout_.target == Target::kAscendV0 &&
        (suffix == "input_scale" || suffix == "input_offset")) {
      tensor.dtype = options_.v0_input_dtype;
    }
    by_name_[tensor.name] = i;
    if (tensor.stored && quantized.count(ModuleOf(tensor.name)) == 0)
      float_names_.push_back(tensor.name);
  }
  model_quant_type_ = ModelQuantType(Labels(tensors_));
  ShardPlan plan = PlanShards(StoredTensors(tensors_), ShardPolicyFor(layout_, model_quant_type_));
  ConfigText();  // a config that cannot be written shows now, not after the work
  std::error_code error;
  std::filesystem::create_directories(dir_, error);
  if (error) {
    throw ResourceError("{}: cannot create the folder: {}. Choose another output folder.",
                        dir_.string(), error.message());
  }
  SafetensorsWriter::Options writer_options = WriterOptions(layout_);
  writer_options.mode = options_.mode;
  writer_ = std::make_unique<SafetensorsWriter>(dir_, std::move(plan), writer_options);
}

LinearType FolderWriter::TypeOf(const LinearSpec& spec) const {
  const auto it = types_.find(spec.module);
  return it == types_.end() ? LinearType::kFloat : it->second;
}

const LayoutTensor& FolderWriter::Planned(const std::string& name) const {
  const auto it = by_name_.find(name);
  if (it == by_name_.end())
    throw InternalError("{}: tensor {} is not planned", dir_.string(), name);
  return tensors_[it->second];
}

std::vector<std::string> FolderWriter::LinearTensorNames(const LinearSpec& spec) const {
  std::vector<std::string> names;
  const DType source = source_.View(spec.module + ".weight").dtype;
  for (const LayoutTensor& tensor : LinearTensors(layout_, spec, TypeOf(spec), source))
    names.push_back(tensor.name);
  return names;
}

void FolderWriter::WriteLinear(const LinearSpec& spec, const QuantizedLinear& linear) {
  if (linear.type != TypeOf(spec) || linear.type == LinearType::kFloat || linear.out != spec.out ||
      linear.in != spec.in || linear.bias.empty() == spec.bias) {
    throw InternalError("{}: a {} linear [{}, {}] came where the plan has {} [{}, {}]", spec.module,
                        LinearTypeName(linear.type), linear.out, linear.in,
                        LinearTypeName(TypeOf(spec)), spec.out, spec.in);
  }
  for (const std::string& name : LinearTensorNames(spec)) WriteParameter(Planned(name), linear);
}

void FolderWriter::WriteParameter(const LayoutTensor& planned, const QuantizedLinear& linear) {
  const std::string suffix = SuffixOf(planned.name);
  const auto write = [&](const TensorView& tensor) { writer_->Write(planned.name, tensor); };
  if (suffix == "weight") return write(ViewOf(linear.codes, planned));
  if (suffix == "quant_bias") return write(ViewOf(linear.quant_bias, planned));
  if (suffix == "weight_scale") return write(WeightScales(linear, planned));
  if (suffix == "weight_offset") return write(Tensor(planned.dtype, planned.shape));
  if (suffix == "deq_scale") return write(EncodeDeqScale(linear.deq, planned.dtype));
  if (suffix == "input_scale" && !linear.input_vector.empty()) {
    return write(FromFloats(linear.input_vector, planned.dtype, planned.shape));
  }
  if (suffix == "input_scale") return write(Filled(planned, linear.input.scale));
  if (suffix == "input_offset" || suffix == "input_zero_point")
    return write(Filled(planned, linear.input.offset));
  if (suffix == "bias") return WriteFloat(planned.name);
  throw InternalError("{}: what to write is not known", planned.name);
}

// In pieces, each given back to the system: an embedding of a gigabyte does not count as memory.
void FolderWriter::CopyTensor(const std::string& name, const std::string& source_name,
                              std::span<const std::byte> bytes) {
  for (size_t first = 0; first < bytes.size(); first += kCopyBytes) {
    const auto part = bytes.subspan(first, std::min(kCopyBytes, bytes.size() - first));
    writer_->WritePart(name, first, part);
    source_.DropPages(source_name, first, part.size());
  }
  writer_->MarkWritten(name);
}

void FolderWriter::WriteFloat(const std::string& name) {
  const LayoutTensor& planned = Planned(name);
  const std::string source_name = SourceName(source_, name);
  const TensorView view = source_.View(source_name);
  if (view.shape != planned.shape) {
    throw FormatError(
        "{}: tensor {}: shape {} was found, {} was expected from the config. Download the model "
        "again.",
        source_.dir().string(), source_name, ShapeText(view.shape), ShapeText(planned.shape));
  }
  if (view.dtype == planned.dtype) return CopyTensor(name, source_name, view.bytes);
  const int64_t total = view.elements();
  const size_t size = DTypeSize(planned.dtype);
  bool warned = false;
  for (int64_t first = 0; first < total; first += kCastElements) {
    std::vector<float> values(static_cast<size_t>(std::min(kCastElements, total - first)));
    ToFloats(view, first, values);
    const int64_t overflow = planned.dtype == DType::kF16 && !warned ? FirstOverflow(values) : -1;
    if (overflow >= 0) {
      const float value = values[static_cast<size_t>(overflow)];
      if (!options_.allow_overflow) {
        throw FormatError(
            "{}: tensor {}: element {} is {}, which float16 cannot hold (largest 65504). Choose a "
            "target that runs in "
            "bfloat16.",
            source_.dir().string(), source_name, first + overflow, value);
      }
      LogWarning("{}: element {} is {} and becomes infinite in float16, as in the original tool",
                 source_name, first + overflow, value);
      warned = true;
    }
    const Tensor cast = FromFloats(values, planned.dtype, {static_cast<int64_t>(values.size())});
    writer_->WritePart(name, static_cast<uint64_t>(first) * size, cast.bytes());
    const auto source_size = static_cast<uint64_t>(DTypeSize(view.dtype));
    source_.DropPages(source_name, static_cast<uint64_t>(first) * source_size, values.size() * source_size);
  }
  writer_->MarkWritten(name);
}

void FolderWriter::MarkWritten(const std::string& tensor) { writer_->MarkWritten(tensor); }
bool FolderWriter::IsWritten(const std::string& tensor) const { return writer_->IsWritten(tensor); }
void FolderWriter::Sync() { writer_->Sync(); }

std::string FolderWriter::ConfigText() const {
  FolderLayout layout = layout_;
  const std::string& dtype = options_.v0_torch_dtype;
  if (layout.target == Target::kAscendV0 && !dtype.empty()) {
    if (dtype != "float16" && dtype != "bfloat16") {
      throw UserError("torch_dtype \"{}\" is not possible; choose float16 or bfloat16.", dtype);
    }
    layout.options.run_dtype = dtype == "float16" ? DType::kF16 : DType::kBF16;
  }
  ConfigEdits edits = options_.config_edits;
  if (layout.target == Target::kCompressedTensors) {
    edits.ct_ignore = CompressedTensorsIgnore(source_.config(),
                                              [&](const LinearSpec& spec) { return TypeOf(spec); });
  }
  const std::filesystem::path path = source_.dir() / kConfigName;
  return RewriteConfig(layout, ReadFile(path, kMaxConfigBytes), edits, path.string());
}

void FolderWriter::Commit() {
  for (const LayoutTensor& tensor : tensors_) {
    if (tensor.stored && !writer_->IsWritten(tensor.name)) {
      throw InternalError("{}: tensor {} was never written", dir_.string(), tensor.name);
    }
  }
  CopySideFiles(source_.dir(), dir_, layout_.target);
  if (const auto style = DescriptionStyleOf(layout_.target)) {
    WriteFileAtomically(dir_ / std::string(kDescriptionName),
                        QuantDescriptionJson(model_quant_type_, Labels(tensors_), *style));
  }
  if (const auto index = IndexName(layout_, writer_->plan(), model_quant_type_)) {
    WriteFileAtomically(dir_ / *index, IndexText(layout_, writer_->plan()));
  }
  writer_->Commit();
  WriteFileAtomically(dir_ / kConfigName, ConfigText());
}

std::vector<LayoutTensor> PlannedTensors(const ModelReader& source, const FolderLayout& layout,
                                         const std::map<std::string, LinearType>& types) {
  return PlanTensors(source, layout, types);
}

uint64_t PlannedBytes(const ModelReader& source, const FolderLayout& layout,
                      const std::map<std::string, LinearType>& types) {
  uint64_t bytes = 0;
  for (const PlannedTensor& tensor : StoredTensors(PlanTensors(source, layout, types))) {
    bytes += static_cast<uint64_t>(NumElements(tensor.shape)) * DTypeSize(tensor.dtype);
  }
  return bytes;
}

bool LooksComplete(const std::filesystem::path& dir) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(dir / kConfigName, error)) return false;
  for (const auto& path : ListFiles(dir)) {
    if (path.extension() == ".partial") return false;
  }
  return true;
}

}  // namespace ingot
