// SPDX-License-Identifier: Apache-2.0
// The written W8A8 folders as data: for each target which tensors a linear brings (name, dtype,
// shape, label), in which order, cut into which files, and what config.json and the side files
// become. quantize, convert and check share it. Facts: Ascend/msmodelslim
// (example/multimodal_vlm/Qwen3-VL, modelslim_v1/save), mindspore-ai/vllm-mindspore
// (model_executor/layers/quantization), vllm-project/compressed-tensors; gathered in docs/formats/.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/quant_format.h"
#include "checkpoint/safetensors_writer.h"
#include "checkpoint/tensor_table.h"
#include "tensor/dtype.h"

namespace ingot {

enum class Target { kAscendV0, kAscend, kGoldenStick310, kGoldenStick910, kCompressedTensors };
std::string_view TargetName(Target target);  // "ascend-v0", "ascend", "golden-stick-310", ...
Target ParseTarget(std::string_view name);   // UserError listing the names
std::vector<Target> AllTargets();
FolderFormat FormatOf(Target target);
std::optional<Target> TargetOf(FolderFormat format);  // nullopt for kFloat
constexpr bool IsGoldenStick(Target target) {
  return target == Target::kGoldenStick310 || target == Target::kGoldenStick910;
}

// How one linear is stored.
enum class LinearType {
  kFloat,
  kStatic,   // int8 weights, one activation scale and offset fixed by calibration
  kDynamic,  // int8 weights, activations scaled per token at run time
};
std::string_view LinearTypeName(LinearType type);   // "float", "static", "dynamic"
LinearType ParseLinearType(std::string_view name);  // UserError listing the names
// Label in a description: "FLOAT", "W8A8", "W8A8_DYNAMIC".
std::string_view LinearTypeLabel(LinearType type);

struct LayoutOptions {
  // Element type that the engine runs in: goes to torch_dtype, is the type of float tensors (not
  // compressed-tensors), and decides the encoding of deq_scale (kF16: I64, kBF16: F32;
  // golden-stick: always F32).
  DType run_dtype = DType::kBF16;
  // Parity with the original only: what config.json says where that differs from run_dtype (the
  // original computes in float16 and writes "bfloat16").
  std::optional<DType> declared_dtype;
  bool vector_scales = false;     // golden-stick: input_scale and input_offset differ by channel
  bool keep_weight_scale = true;  // static linears also carry weight_scale and weight_offset
  bool write_tied_head = false;  // tied models: lm_head.weight is stored as a copy of the embedding
  bool ct_dynamic = true;        // compressed-tensors: per token, else static per tensor
  bool ct_symmetric = true;      // compressed-tensors static: no zero point
  uint64_t shard_bytes = 0;      // 0 = the target's own limit (ShardPolicyFor)
};

// A target with its options.
struct FolderLayout {
  Target target = Target::kAscend;
  LayoutOptions options;
};

// What the target gets unless told otherwise: F16 for golden-stick-310, else F16 for a float16
// source and BF16 for others; a clone of the head for tied models in the ascend targets.
FolderLayout DefaultLayout(Target target, const ModelConfig& config);
// UserError when the options contradict the target (BF16 on golden-stick-310, vector scales
// elsewhere, ...).
void ValidateLayout(const FolderLayout& layout);

// "" when the target can store a linear of this kind so; else the reason, as half a sentence for
// messages.
std::string RefusalReason(const FolderLayout& layout, LinearKind kind, LinearType type);
inline bool TypeAllowed(const FolderLayout& layout, LinearKind kind, LinearType type) {
  return RefusalReason(layout, kind, type).empty();
}
// Default set of quantized linears: text q, k, v, o, gate, up; everything else float.
LinearType DefaultLinearType(const FolderLayout& layout, LinearKind kind);

// Element types of the parameters of a quantized linear in this layout.
DType FloatDType(const FolderLayout& layout,
                 DType source);  // of a tensor that stays float and is `source` in the original
DType WeightScaleDType(const FolderLayout& layout);
DType InputScaleDType(const FolderLayout& layout);
DType InputOffsetDType(const FolderLayout& layout);  // compressed-tensors: of input_zero_point
DType DeqScaleDType(const FolderLayout& layout);
bool QuantBiasHoldsBias(const FolderLayout& layout);  // golden-stick adds `bias` itself, so its
                                                      // quant_bias leaves it out

// One tensor of the folder. `stored` is false for a label without a tensor (lm_head.weight of a
// tied model).
struct LayoutTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::string label;
  bool stored = true;
};
inline uint64_t LayoutBytes(const LayoutTensor& tensor) {
  return static_cast<uint64_t>(NumElements(tensor.shape)) * DTypeSize(tensor.dtype);
}

// The tensors of one linear in description order. `source_float` is the dtype of its weight in the
// original (it matters for compressed-tensors, which keeps it).
std::vector<LayoutTensor> LinearTensors(const FolderLayout& layout, const LinearSpec& linear,
                                        LinearType type, DType source_float);

// All tensors of the folder in description order (ascend visits embed_tokens after the layers, the
// others before). `type_of` gives the type of each linear, `source_dtype` the dtype of a tensor of
// the original by name. A tied model gets a row for lm_head.weight (stored only with
// write_tied_head; compressed-tensors: no row unless stored).
std::vector<LayoutTensor> FolderTensors(
    const FolderLayout& layout, const ModelConfig& config, bool tied,
    const std::function<LinearType(const LinearSpec&)>& type_of,
    const std::function<DType(const std::string&)>& source_dtype);
std::vector<PlannedTensor> StoredTensors(const std::vector<LayoutTensor>& tensors);
std::vector<std::pair<std::string, std::string>> Labels(const std::vector<LayoutTensor>& tensors);
// "W8A8" when any label is, else "W8A8_DYNAMIC", else "FLOAT": the highest-priority type present.
std::string ModelQuantType(const std::vector<std::pair<std::string, std::string>>& labels);

// ---- files ----

ShardPolicy ShardPolicyFor(const FolderLayout& layout, const std::string& model_quant_type);
// Name of the index, or nullopt when this plan has none (single file of ascend-v0 and
// compressed-tensors).
std::optional<std::string> IndexName(const FolderLayout& layout, const ShardPlan& plan,
                                     const std::string& model_quant_type);
// The index for a plan whose tensors are in description order (compressed-tensors: sorted by name).
std::string IndexText(const FolderLayout& layout, const ShardPlan& plan);
std::optional<DescriptionStyle> DescriptionStyleOf(
    Target target);  // nullopt: compressed-tensors has no description
inline constexpr std::string_view kDescriptionName = "quant_model_description.json";
// Options of the writer: reference order everywhere; "__metadata__" is {"format": "ms"} for
// golden-stick (as MindSpore writes it), {"format": "pt"} for compressed-tensors, absent elsewhere.
SafetensorsWriter::Options WriterOptions(const FolderLayout& layout);

// ---- config.json ----

struct ConfigEdits {
  bool untie = false;                  // tie_word_embeddings becomes false wherever it stands
  std::vector<std::string> ct_ignore;  // compressed-tensors: CompressedTensorsIgnore
};
// The config.json of the folder from that of the float model; key order is kept. ascend-v0:
// torch_dtype at top level, indent
// 4. ascend: the text unchanged when it already says run_dtype and needs no edit, else indent 2.
// golden-stick: indent 4, every dtype it mentions = run_dtype. compressed-tensors: indent 2 with
// quantization_config. A quantization_config or compression_config of the source goes away in all.
// Errors: FormatError (no JSON object).
std::string RewriteConfig(const FolderLayout& layout, const std::string& source_json,
                          const ConfigEdits& edits,
                          const std::string& file_for_errors = "config.json");

// Patterns for the linears that stay float, valid for the names of the checkpoint and for vLLM's
// own.
std::vector<std::string> CompressedTensorsIgnore(
    const ModelConfig& config, const std::function<LinearType(const LinearSpec&)>& type_of);

// ---- side files ----

// Names (inside `src`) of the files that go along unchanged. ascend-v0: *.json and *.py. Others:
// everything beside the weights (tokenizer, templates, merges.txt, processors, generation config,
// README, *.jinja). Never config.json, weights of any format, *index.json, quantization
// descriptions, partial or hidden files.
std::vector<std::string> SideFiles(const std::filesystem::path& src, Target target);
// Copies them; `dst` must exist. Files that are there already with other content are replaced.
// Returns the names.
std::vector<std::string> CopySideFiles(const std::filesystem::path& src,
                                       const std::filesystem::path& dst, Target target);

// ---- deq_scale ----

// I64 carrier of the Ascend matmul operator: the float's bit pattern, zero-extended. 2.5714611e-05
// <-> 936883637.
int64_t EncodeDeqScaleI64(float deq);
// nullopt when the upper 32 bits are not zero (that is no encoded scale).
std::optional<float> DecodeDeqScaleI64(int64_t code);
// Decodes a stored deq_scale by its dtype (I64, F32; F16 and BF16 are widened). FormatError naming
// `what` otherwise.
std::vector<float> DecodeDeqScale(const TensorView& stored, const std::string& what);
Tensor EncodeDeqScale(std::span<const float> deq, DType dtype);  // kI64 or kF32

}  // namespace ingot
