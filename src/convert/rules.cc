// SPDX-License-Identifier: Apache-2.0
#include "convert/rules.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"
#include "checkpoint/tensor_table.h"
#include "checkpoint/w8a8_arithmetic.h"
#include "convert/numbers.h"
#include "convert/tensor_rules.h"

namespace ingot {
namespace {

class Planner {
 public:
  Planner(const SourceFolder& source, FolderLayout layout) : source_(source) {
    plan_.layout = std::move(layout);
  }
  ConversionPlan Run();

 private:
  void CompleteOptions();
  void AddFloat(const SourceModule& module);
  void AddHead(const SourceModule& module);
  void AddTiedHead();
  void AddQuantized(const SourceModule& module);
  SourceLinear Prepare(const SourceModule& module);
  void PrepareStatic(SourceLinear* linear);
  void PrepareWeightScale(SourceLinear* linear);
  void Dropped(const SourceModule& module, const std::set<std::string>& used);
  void Add(OutputTensor tensor) { plan_.tensors.push_back(std::move(tensor)); }
  void MoveEmbedding();
  void AddNotes();
  std::string NewName(const std::string& module);
  bool golden_stick() const { return IsGoldenStick(plan_.layout.target); }
  bool compressed_tensors() const { return plan_.layout.target == Target::kCompressedTensors; }
  bool old_names() const {
    return source_.model_type() == "qwen2_5_vl" || source_.model_type() == "qwen2_vl";
  }

  const SourceFolder& source_;
  ConversionPlan plan_;
  int64_t n_rebiased_ = 0, n_vision_ = 0, n_without_scale_ = 0, n_recovered_ = 0, n_moved_zero_ = 0;
  std::set<std::string> renamed_;
};

// vllm-mindspore looks for "model.language_model.layers.N" in the description of a Qwen2.5-VL,
// whose original names are "model.layers.N" (mindspore-ai/vllm-mindspore:
// .../quantization/golden_stick/golden_stick.py).
std::string Planner::NewName(const std::string& module) {
  if (!golden_stick() || !old_names()) return module;
  for (const std::string_view part : {"model.layers.", "model.embed_tokens", "model.norm"}) {
    if (module.rfind(part, 0) != 0) continue;
    if (renamed_.insert(module).second) ++plan_.n_renamed;
    return "model.language_model." + module.substr(6);
  }
  return module;
}

void Planner::CompleteOptions() {
  bool dynamic = false, is_static = false, offsets = false, vectors = false;
  for (const SourceModule& module : source_.modules()) {
    dynamic = dynamic || module.type == LinearType::kDynamic;
    if (module.type != LinearType::kStatic) continue;
    is_static = true;
    const ActivationNumbers input = ReadActivation(module);
    vectors = vectors || !input.uniform();
    offsets = offsets ||
              std::any_of(input.offset.begin(), input.offset.end(), [](float z) { return z != 0; });
  }
  LayoutOptions& options = plan_.layout.options;
  options.vector_scales = vectors && golden_stick();
  if (dynamic && golden_stick()) {
    throw UserError(
        "{}: holds dynamic layers (W8A8_DYNAMIC), and golden-stick knows static ones only. "
        "Quantize again with "
        "--target {}.",
        source_.dir().string(), TargetName(plan_.layout.target));
  }
  if (!compressed_tensors()) return;
  if (dynamic && is_static) {
    throw UserError(
        "{}: holds static and dynamic layers, and a compressed-tensors folder of this program "
        "holds one kind. "
        "Quantize again with --target compressed-tensors.",
        source_.dir().string());
  }
  options.ct_dynamic = dynamic;
  options.ct_symmetric = !offsets;
}

ConversionPlan Planner::Run() {
  if (golden_stick() && source_.model_type() == "qwen2_vl") {
    throw UserError(
        "{}: is a Qwen2-VL, which vllm-mindspore cannot serve. Convert to ascend for vLLM-Ascend.",
        source_.dir().string());
  }
  CompleteOptions();
  for (const SourceModule& module : source_.modules()) {
    if (module.type != LinearType::kFloat) {
      AddQuantized(module);
    } else if (module.name == "lm_head") {
      AddHead(module);
    } else {
      AddFloat(module);
    }
  }
  AddTiedHead();
  MoveEmbedding();
  AddNotes();
  return std::move(plan_);
}

void Planner::AddFloat(const SourceModule& module) {
  for (const auto& [suffix, label] : module.labels) {
    const std::string name = NewName(module.name) + (suffix.empty() ? "" : "." + suffix);
    Add(KeepTensor({name, DType::kF32, {}, "FLOAT", true}, module.Get(suffix)));
  }
}

// Is the stored head the embedding once more?
bool SameBytes(const SourceTensor& a, const SourceTensor& b) {
  const TensorView x = a.view(), y = b.view();
  bool same = x.dtype == y.dtype && x.shape == y.shape;
  ForEachPiece(same ? x.elements() : 0, [&](int64_t first, int64_t count) {
    const auto p = PartOf(x, first, count).bytes, q = PartOf(y, first, count).bytes;
    same = same && std::memcmp(p.data(), q.data(), p.size()) == 0;
    a.DropPart(first, count);
    b.DropPart(first, count);
  });
  a.Drop();
  b.Drop();
  return same;
}

const SourceTensor* Embedding(const SourceFolder& source) {
  for (const char* name : {"model.language_model.embed_tokens", "model.embed_tokens"}) {
    if (const SourceModule* module = source.FindModule(name)) return module->Find("weight");
  }
  return nullptr;
}

void Planner::AddHead(const SourceModule& module) {
  const SourceTensor* head = module.Find("weight");
  const SourceTensor* embedding = Embedding(source_);
  const LayoutTensor label{"lm_head.weight", DType::kF32, {}, "FLOAT", false};
  if (head == nullptr) {  // a label only
    if (!compressed_tensors() && !plan_.layout.options.write_tied_head)
      Add({label, Action::kKeep, nullptr, nullptr});
    return;
  }
  const bool clone = source_.config_ties() && embedding != nullptr && SameBytes(*head, *embedding);
  if (!clone || plan_.layout.options.write_tied_head) return AddFloat(module);
  plan_.dropped.push_back("lm_head.weight");
  plan_.notes.push_back(
      "lm_head.weight is the embedding once more (the model is tied) and is left out");
  if (!compressed_tensors()) Add({label, Action::kKeep, nullptr, nullptr});
}

// ascend targets store the head of a tied model as a clone, as msModelSlim does.
void Planner::AddTiedHead() {
  const SourceModule* head = source_.FindModule("lm_head");
  const SourceTensor* embedding = Embedding(source_);
  if (!source_.config_ties() || embedding == nullptr || !plan_.layout.options.write_tied_head)
    return;
  if (head != nullptr && head->Has("weight")) return;
  LayoutTensor out{"lm_head.weight", embedding->info->dtype, embedding->info->shape, "FLOAT", true};
  Add(KeepTensor(std::move(out), *embedding));
  plan_.notes.push_back("the model is tied: lm_head.weight is written as a copy of the embedding");
}

void Planner::PrepareWeightScale(SourceLinear* linear) {
  const SourceModule& module = *linear->module;
  if (linear->derive_deq) return;  // from compressed-tensors: weight_scale is there
  if (compressed_tensors()) {
    linear->weight_scale = RecoverWeightScale(module, /*allow_f32=*/true);
    if (!linear->weight_scale) {
      RefuseLinear(*linear,
                   "has a deq_scale that is no product input_scale * weight_scale, which "
                   "compressed-tensors cannot hold",
                   "Quantize again with --target compressed-tensors.");
    }
    n_recovered_ += linear->weight_scale->stored ? 0 : 1;
    return;
  }
  if (module.Has("weight_scale")) return;
  // Readers of these formats do not need it, so it is written only when it is known to be the
  // producer's.
  if (!golden_stick()) linear->weight_scale = RecoverWeightScale(module, /*allow_f32=*/false);
  linear->layout.options.keep_weight_scale = linear->weight_scale.has_value();
  n_without_scale_ += linear->weight_scale ? 0 : 1;
  n_recovered_ += linear->weight_scale ? 1 : 0;
}

void Planner::PrepareStatic(SourceLinear* linear) {
  const SourceModule& module = *linear->module;
  linear->input = ReadActivation(module);
  linear->derive_deq =
      !module.Has("deq_scale") && source_.format() == FolderFormat::kCompressedTensors;
  PrepareWeightScale(linear);
  // The vision loader of vllm-mindspore's Qwen2.5-VL stops at names that it does not know.
  if (golden_stick() && old_names() && module.name.rfind("visual.", 0) == 0) {
    linear->layout.options.keep_weight_scale = false;
  }
  if (compressed_tensors()) {
    const float z = linear->input.offset[0];
    n_moved_zero_ += linear->input.uniform() &&
                             VllmZeroPoint(linear->input.scale[0], static_cast<int32_t>(z)) != z
                         ? 1
                         : 0;
    // Nothing but the bias may hide in quant_bias, or it would be lost.
    if (!linear->derive_deq) QuantBiasContainsBias(module);
    return;
  }
  linear->derive_quant_bias = linear->derive_deq;
  if (linear->derive_deq || !module.Has("bias")) return;
  linear->derive_quant_bias = QuantBiasContainsBias(module) != QuantBiasHoldsBias(linear->layout);
  n_rebiased_ += linear->derive_quant_bias ? 1 : 0;
}

SourceLinear Planner::Prepare(const SourceModule& module) {
  SourceLinear linear{&source_, &module, plan_.layout};
  if (const SourceTensor* offset = module.Find("weight_offset")) {
    const std::vector<float> values = ToFloats(offset->view());
    if (!std::all_of(values.begin(), values.end(), [](float value) { return value == 0; })) {
      RefuseLinear(linear, "has a weight_offset that is not zero (asymmetric weights)",
                   "Quantize again with symmetric weights.");
    }
  }
  if (module.type == LinearType::kStatic) PrepareStatic(&linear);
  if (golden_stick()) {
    for (const float s : linear.input.scale) {
      plan_.scale_rounding = std::max(plan_.scale_rounding, std::abs(RoundToF16(s) - s) / s);
    }
  }
  n_vision_ += module.name.find("visual.") != std::string::npos ? 1 : 0;
  return linear;
}

void Planner::AddQuantized(const SourceModule& module) {
  LinearSpec spec;
  spec.module = NewName(module.name);
  spec.out = module.out();
  spec.in = module.in();
  spec.bias = module.Has("bias");
  const bool vision = module.name.find("visual.") != std::string::npos;
  if (vision && compressed_tensors()) {
    throw UserError("{}: {} is quantized, and {}. Quantize again with --target compressed-tensors.",
                    source_.dir().string(), module.name,
                    RefusalReason(plan_.layout, LinearKind::kVisionQkv, module.type));
  }
  const SourceLinear linear = Prepare(module);
  const DType source_float =
      module.Has("weight_scale") ? module.Get("weight_scale").info->dtype : source_.run_dtype();
  std::set<std::string> used;
  for (const LayoutTensor& out : LinearTensors(linear.layout, spec, module.type, source_float)) {
    Add(ApplyRule(linear, out));
    used.insert(SuffixOf(out.name));
  }
  Dropped(module, used);
}

// Tensors of the source that the target has no name for. Only what the others determine may go.
void Planner::Dropped(const SourceModule& module, const std::set<std::string>& used) {
  static const std::set<std::string> kDetermined = {"weight_scale",     "weight_offset",
                                                    "quant_bias",       "deq_scale",
                                                    "input_zero_point", "input_offset"};
  for (const auto& [suffix, tensor] : module.tensors) {
    if (used.count(suffix)) continue;
    if (!kDetermined.count(suffix)) {
      throw UserError("{}: {}.{} has no place in {}. Quantize again with --target {}.",
                      source_.dir().string(), module.name, suffix, TargetName(plan_.layout.target),
                      TargetName(plan_.layout.target));
    }
    plan_.dropped.push_back(module.name + "." + suffix);
  }
}

// Description order of the targets: ascend visits the embedding after the layers, the others before
// them.
void Planner::MoveEmbedding() {
  auto& tensors = plan_.tensors;
  const auto is = [](const OutputTensor& tensor, std::string_view part) {
    return tensor.out.name == "model.language_model." + std::string(part) ||
           tensor.out.name == "model." + std::string(part);
  };
  const auto embedding = std::find_if(tensors.begin(), tensors.end(), [&](const OutputTensor& t) {
    return is(t, "embed_tokens.weight");
  });
  const auto norm = std::find_if(tensors.begin(), tensors.end(),
                                 [&](const OutputTensor& t) { return is(t, "norm.weight"); });
  const auto first_layer = std::find_if(tensors.begin(), tensors.end(), [](const OutputTensor& t) {
    return t.out.name.rfind("model.language_model.layers.", 0) == 0 ||
           t.out.name.rfind("model.layers.", 0) == 0;
  });
  if (embedding == tensors.end() || norm == tensors.end() || first_layer == tensors.end()) return;
  if (plan_.layout.target == Target::kAscend) {
    if (embedding < norm) std::rotate(embedding, embedding + 1, norm);
  } else if (first_layer < embedding) {
    std::rotate(first_layer, embedding, embedding + 1);
  }
}

void Planner::AddNotes() {
  auto& notes = plan_.notes;
  if (plan_.n_renamed > 0) {
    notes.push_back(fmt::format(
        "{} modules renamed to model.language_model.*, the names that vllm-mindspore looks for",
        plan_.n_renamed));
  }
  if (n_rebiased_ > 0) {
    notes.push_back(fmt::format(
        "quant_bias of {} layers computed {} the layer's bias, as this engine expects it",
        n_rebiased_, QuantBiasHoldsBias(plan_.layout) ? "with" : "without"));
  }
  if (golden_stick() && n_vision_ > 0) {
    notes.push_back(
        fmt::format("{} linears of the vision tower are quantized; vllm-mindspore is not known to "
                    "have run such a "
                    "folder",
                    n_vision_));
  }
  if (plan_.layout.options.vector_scales) {
    notes.push_back(
        "input_scale differs by channel; vllm-mindspore is not known to have run such a folder");
  }
  if (n_moved_zero_ > 0) {
    notes.push_back(
        fmt::format("vLLM rebuilds the zero point of {} layers one off (it truncates); their "
                    "clipping range moves by "
                    "one step",
                    n_moved_zero_));
  }
  if (n_recovered_ > 0) {
    notes.push_back(
        fmt::format("weight_scale of {} layers recovered from deq_scale and input_scale (their "
                    "product is equal "
                    "bit for bit)",
                    n_recovered_));
  }
  if (n_without_scale_ > 0 && !golden_stick()) {
    notes.push_back(fmt::format(
        "{} layers come without weight_scale, and none reproduces their deq_scale; engines do not "
        "need it",
        n_without_scale_));
  }
  if (plan_.scale_rounding > 0) {
    notes.push_back(fmt::format("input_scale is stored in F16: values change by up to {:.3f} %",
                                100 * plan_.scale_rounding));
  }
}

}  // namespace

std::string_view ActionName(Action action) {
  switch (action) {
    case Action::kKeep:
      return "keep";
    case Action::kCast:
      return "cast";
    case Action::kExpand:
      return "expand";
    case Action::kCollapse:
      return "collapse";
    case Action::kRetype:
      return "retype";
    case Action::kDerive:
      return "derive";
    case Action::kDrop:
      return "drop";
  }
  return "?";
}

std::vector<LayoutTensor> ConversionPlan::Layout() const {
  std::vector<LayoutTensor> result;
  for (const OutputTensor& tensor : tensors) result.push_back(tensor.out);
  return result;
}

bool ConversionPlan::OnlyKeeps() const {
  return n_renamed == 0 && dropped.empty() &&
         std::all_of(tensors.begin(), tensors.end(), [](const OutputTensor& tensor) {
           return tensor.action == Action::kKeep &&
                  (tensor.source == nullptr || tensor.source->info->name == tensor.out.name);
         });
}

ConversionPlan PlanConversion(const SourceFolder& source, FolderLayout layout) {
  return Planner(source, std::move(layout)).Run();
}

}  // namespace ingot
