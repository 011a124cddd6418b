// SPDX-License-Identifier: Apache-2.0
// Linears out of folders of every format. What is stored decides (int8 weight, input_scale there or
// not), the labels of the description only refuse types that this program does not compute.
// Formats: docs/formats/. Emulated roundings: Ascend/msmodelslim, mindspore-ai/vllm-mindspore
// (model_executor/layers/quantization/golden_stick/a8w8.py), vllm-project/vllm-ascend
// (quantization/methods/w8a8_static.py).
#include <bit>
#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "base/numeric.h"
#include "base/thread_pool.h"
#include "checkpoint/folder_layout.h"
#include "checkpoint/model_reader.h"
#include "model/linear.h"
#include "model/tensor_lookup.h"

namespace ingot {
namespace {

bool IsGoldenStickFormat(FolderFormat format) {
  return format == FolderFormat::kGoldenStick310 || format == FolderFormat::kGoldenStick910;
}

// Reads the tensors of one quantized module.
class ModuleTensors {
 public:
  ModuleTensors(const ModelReader& reader, const LinearSpec& spec) : reader_(reader), spec_(spec) {}

  bool Has(const char* suffix) const { return reader_.Has(Name(suffix)); }
  std::string Name(const char* suffix) const { return spec_.module + "." + suffix; }
  std::string Where(const char* suffix) const {
    return fmt::format("{}: tensor {}", reader_.dir().string(), Name(suffix));
  }

  TensorView Get(const char* suffix, int64_t size) const {
    TensorView view = reader_.View(Name(suffix));
    if (view.elements() != size) {
      throw FormatError("{}: {} values found (shape {}), expected {}. Quantize the model again.",
                        Where(suffix), view.elements(), ShapeText(view.shape), size);
    }
    return view;
  }
  std::vector<float> Floats(const char* suffix, int64_t size) const {
    const TensorView view = Get(suffix, size);
    if (!IsFloat16Or32(view.dtype) && view.dtype != DType::kI8) {
      throw FormatError("{}: {} found, expected a float type.", Where(suffix),
                        DTypeName(view.dtype));
    }
    return ToFloats(view);
  }
  // One number, or one per input channel.
  std::vector<float> PerInput(const char* suffix) const {
    return Floats(suffix, reader_.View(Name(suffix)).elements() == 1 ? 1 : spec_.in);
  }
  Weight Codes() const {
    const TensorView view = reader_.View(Name("weight"));
    if (view.shape != Shape{spec_.out, spec_.in}) {
      throw FormatError(
          "{}: shape {} found, config.json asks for [{}, {}]. The weights belong to another model.",
          Where("weight"), ShapeText(view.shape), spec_.out, spec_.in);
    }
    return Weight::View(view);
  }
  std::vector<int32_t> QuantBias() const {
    const TensorView view = Get("quant_bias", spec_.out);
    if (view.dtype != DType::kI32)
      throw FormatError("{}: {} found, expected I32.", Where("quant_bias"), DTypeName(view.dtype));
    const auto values = view.As<int32_t>();
    return {values.begin(), values.end()};
  }
  std::vector<float> Bias() const {
    return Has("bias") ? Floats("bias", spec_.out) : std::vector<float>{};
  }

 private:
  const ModelReader& reader_;
  const LinearSpec& spec_;
};

void RequireUsable(const ModuleTensors& tensors, const char* suffix,
                   const std::vector<float>& scales) {
  for (const float scale : scales) {
    if (!(scale > 0) || !std::isfinite(scale)) {
      throw FormatError(
          "{}: scale {} found, expected a positive finite number. Run ingot check on the folder.",
          tensors.Where(suffix), scale);
    }
  }
}

void RequireOffsets(const ModuleTensors& tensors, const char* suffix,
                    const std::vector<float>& offsets) {
  for (const float offset : offsets) {
    if (!(offset >= -128 && offset <= 127) || offset != Rne(offset)) {
      throw FormatError(
          "{}: offset {} found, expected an integer from -128 to 127. Run ingot check on the "
          "folder.",
          tensors.Where(suffix), offset);
    }
  }
}

// The hardware reads the upper 19 bits of deq_scale.
float KeepTop19(float value) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) & 0xffffe000u);
}

std::vector<float> AscendDeq(const ModuleTensors& tensors, const LinearSpec& spec,
                             Emulate emulate) {
  const TensorView stored = tensors.Get("deq_scale", spec.out);
  std::vector<float> deq = DecodeDeqScale(stored, tensors.Where("deq_scale"));
  if (emulate == Emulate::k310) {
    if (stored.dtype != DType::kI64) {
      throw UserError(
          "{}: {} found; a 310P reads I64 codes, so this folder cannot run there. Quantize with "
          "--dtype float16, or "
          "leave --emulate 310 out.",
          tensors.Where("deq_scale"), DTypeName(stored.dtype));
    }
    for (float& value : deq) value = KeepTop19(value);
  }
  return deq;
}

std::vector<float> GoldenStickDeq(const ModuleTensors& tensors, const LinearSpec& spec,
                                  Emulate emulate) {
  const TensorView stored = tensors.Get("deq_scale", spec.out);
  if (emulate != Emulate::kNone && stored.dtype == DType::kI64) {
    LogOnceText(
        LogLevel::kWarning,
        fmt::format(
            "{}: I64 found; golden-stick converts such a deq_scale by value, so the answers are "
            "garbage. Convert the folder again with ingot convert.",
            tensors.Where("deq_scale")));
    return ToFloats(stored);
  }
  std::vector<float> deq = DecodeDeqScale(stored, tensors.Where("deq_scale"));
  if (emulate == Emulate::k310) {
    for (float& value : deq) value = RoundToF16(value);
  }
  return deq;
}

// What the engine makes of the stored activation scale.
void EmulateInputScale(FolderFormat format, Emulate emulate, Linear* linear) {
  if (emulate == Emulate::kNone) return;
  const auto nearest = emulate == Emulate::k910 ? RoundToBf16 : RoundToF16;
  linear->reciprocal = !IsGoldenStickFormat(format);
  for (float& scale : linear->input_scale) {
    scale = nearest(scale);
    if (linear->reciprocal) scale = nearest(1.0f / scale);
  }
}

Linear LoadStatic(const ModelReader& reader, const LinearSpec& spec, const ModuleTensors& tensors,
                  Emulate emulate) {
  std::vector<float> scale = tensors.PerInput("input_scale"),
                     offset = tensors.PerInput("input_offset");
  RequireUsable(tensors, "input_scale", scale);
  RequireOffsets(tensors, "input_offset", offset);
  if (offset.size() != scale.size())
    offset.resize(scale.size(), offset.empty() ? 0.0f : offset.front());
  const bool golden_stick = IsGoldenStickFormat(reader.format());
  std::vector<float> deq =
      golden_stick ? GoldenStickDeq(tensors, spec, emulate) : AscendDeq(tensors, spec, emulate);
  // Ascend folders hold the bias inside quant_bias.
  Linear linear = MakeStaticLinear(spec, tensors.Codes(), std::move(scale), std::move(offset),
                                   tensors.QuantBias(), std::move(deq),
                                   golden_stick ? tensors.Bias() : std::vector<float>{});
  EmulateInputScale(reader.format(), emulate, &linear);
  return linear;
}

// compressed-tensors, static: y = (sum Wq x_q - z sum Wq) s_x s_w + bias.
Linear LoadCompressedStatic(const LinearSpec& spec, const ModuleTensors& tensors) {
  const float scale = tensors.Floats("input_scale", 1).front();
  const float zero_point =
      tensors.Has("input_zero_point") ? tensors.Floats("input_zero_point", 1).front() : 0.0f;
  RequireUsable(tensors, "input_scale", {scale});
  RequireOffsets(tensors, "input_zero_point", {zero_point});
  std::vector<float> deq = tensors.Floats("weight_scale", spec.out);
  for (float& value : deq) value *= scale;
  Weight codes = tensors.Codes();
  std::vector<int32_t> quant_bias(static_cast<size_t>(spec.out));
  ParallelFor(quant_bias.size(), 16, [&](size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) {
      const int8_t* p = codes.data<int8_t>() + row * static_cast<size_t>(spec.in);
      int32_t sum = 0;
      for (int64_t k = 0; k < spec.in; ++k) sum += p[k];
      quant_bias[row] = -sum * static_cast<int32_t>(zero_point);
    }
  });
  return MakeStaticLinear(spec, std::move(codes), {scale}, {zero_point}, std::move(quant_bias),
                          std::move(deq), tensors.Bias());
}

// Folders with a description label each tensor; W8A16, sparse and other types look like ours but
// compute differently.
void RequireKnownLabel(const ModelReader& reader, const LinearSpec& spec) {
  if (!reader.description()) return;
  const std::string* label = reader.description()->Find(spec.module + ".weight");
  if (label == nullptr || *label == "W8A8" || *label == "W8A8_DYNAMIC") return;
  throw UserError("{}: {} is labelled {} and stored as int8; W8A8 and W8A8_DYNAMIC can be run.",
                  (reader.dir() / reader.description()->file_name).string(), spec.module, *label);
}

// Every code from -128 to 127 is a bfloat16 number.
Linear LoadCodesAsFloat(const LinearSpec& spec, const ModuleTensors& tensors) {
  const Weight codes = tensors.Codes();
  Tensor values(DType::kBF16, codes.shape());
  const std::span<uint16_t> out = values.As<uint16_t>();
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = F32ToBf16(static_cast<float>(codes.data<int8_t>()[i]));
  return MakeFloatLinear(spec, Weight::Own(std::move(values)), tensors.Bias());
}

Linear LoadStored(const ModelReader& reader, const LinearSpec& spec, const std::string& weight_name,
                  const LoadOptions& options) {
  if (reader.View(weight_name).dtype != DType::kI8) {
    Weight weight = ViewFloatWeight(reader, weight_name, {spec.out, spec.in});
    std::vector<float> bias;
    if (spec.bias) bias = LoadFloatVector(reader, spec.module + ".bias", spec.out);
    return MakeFloatLinear(spec, std::move(weight), std::move(bias));
  }
  const ModuleTensors tensors(reader, spec);
  if (options.codes_as_float) return LoadCodesAsFloat(spec, tensors);
  RequireKnownLabel(reader, spec);
  if (tensors.Has("input_scale")) {
    if (reader.format() == FolderFormat::kCompressedTensors)
      return LoadCompressedStatic(spec, tensors);
    return LoadStatic(reader, spec, tensors, options.emulate);
  }
  if (!tensors.Has("weight_scale")) {
    throw FormatError(
        "{}: int8 without input_scale and weight_scale: the scales of this linear are missing. "
        "Quantize the model "
        "again.",
        tensors.Where("weight"));
  }
  std::vector<float> scale = tensors.Floats("weight_scale", spec.out);
  RequireUsable(tensors, "weight_scale", scale);
  return MakeDynamicLinear(spec, tensors.Codes(), std::move(scale), tensors.Bias());
}

}  // namespace

Emulate ParseEmulate(std::string_view name) {
  if (name == "none") return Emulate::kNone;
  if (name == "310" || name == "310p") return Emulate::k310;
  if (name == "910" || name == "910b") return Emulate::k910;
  throw UserError("--emulate {}: unknown; expected none, 310 or 910.", name);
}

Linear LoadLinear(const ModelReader& reader, const LinearSpec& spec, const LoadOptions& options) {
  // A tied head has no tensor of its own.
  const bool tied_head = spec.kind == LinearKind::kLmHead && reader.tied();
  const std::string weight_name =
      tied_head
          ? FindTensorSpec(reader.config(), TensorPart::kText, -1, ".embed_tokens.weight").name
          : spec.module + ".weight";
  Linear linear = LoadStored(reader, spec, weight_name, options);
  if (options.pack && PackWeight(linear)) reader.Drop(weight_name);
  return linear;
}

}  // namespace ingot
