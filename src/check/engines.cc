// SPDX-License-Identifier: Apache-2.0
// Which engine reads the folder as it stands, by the rules of docs/formats/README.md: shapes of the
// activation parameters, encoding of deq_scale, what quant_bias holds, which linears are quantized.
#include <algorithm>

#include "check/checks.h"
#include "checkpoint/serve_command.h"
#include "checkpoint/tensor_table.h"

namespace ingot {
namespace {

// What the engines look at, over all quantized linears.
struct Traits {
  bool deq_f32 = false, deq_i64 = false;
  bool vision_codes = false, vision_float = false;  // qkv, proj, fc1 of the vision blocks
  bool dynamic = false;
};

Traits TraitsOf(const CheckedFolder& folder) {
  Traits traits;
  for (const CheckedModule& module : folder.modules) {
    const bool vision = module.name.find("visual.blocks.") != std::string::npos &&
                        (module.name.ends_with(".qkv") || module.name.ends_with(".proj") ||
                         module.name.ends_with("fc1"));
    if (vision) (module.HasCodes() ? traits.vision_codes : traits.vision_float) = true;
    if (!module.HasCodes()) continue;
    traits.dynamic = traits.dynamic || !module.is_static();
    const CheckedTensor* deq = module.Find("deq_scale");
    if (deq != nullptr) (deq->dtype() == DType::kI64 ? traits.deq_i64 : traits.deq_f32) = true;
  }
  return traits;
}

class Judge {
 public:
  Judge(const CheckedFolder& folder, const Findings& findings)
      : folder_(folder), traits_(TraitsOf(folder)) {
    // Rule 17 is about the type that config.json names; --dtype can choose the other.
    sound_ = findings.Errors() == 0;
    sound_but_dtype_ = findings.Errors() == findings.ErrorsOf(17);
  }
  std::vector<EngineVerdict> Run();

 private:
  void Works(const std::string& engine, std::string command) {
    verdicts_.push_back({engine, true, std::move(command), ""});
  }
  void Fails(const std::string& engine, std::string reason) {
    verdicts_.push_back({engine, false, "", std::move(reason)});
  }
  void GoldenStick(const std::string& engine, FolderFormat format, const char* type);
  void VllmAscend(const std::string& engine, DType run_dtype);
  void MindIe();
  void Vllm();
  std::string Command(FolderFormat format, DType dtype) const {
    return ServeCommand(format, folder_.dir, dtype);
  }
  FolderFormat format() const { return *folder_.format; }

  const CheckedFolder& folder_;
  const Traits traits_;
  bool sound_ = false, sound_but_dtype_ = false;
  std::vector<EngineVerdict> verdicts_;
};

void Judge::GoldenStick(const std::string& engine, FolderFormat wanted, const char* type) {
  if (format() == wanted) {
    if (!sound_) return Fails(engine, "made for it, but see the errors above");
    return Works(engine, Command(format(), folder_.run_dtype()));
  }
  if (format() == FolderFormat::kFloat) return Fails(engine, "no quantized folder");
  if (folder_.golden_stick()) {
    return Fails(engine, fmt::format("made for the other server type; ingot convert --quant_dir "
                                     "... --target_type {} turns it",
                                     type));
  }
  if (traits_.dynamic) return Fails(engine, "dynamic layers; golden-stick knows static ones only");
  if (!folder_.ascend()) {
    return Fails(engine,
                 fmt::format("not converted yet: ingot convert {} -o NEW --target golden-stick-{}",
                             ShellWord(folder_.dir), type));
  }
  Fails(engine,
        fmt::format(
            "not converted yet: ingot convert --original_dir FLOAT --quant_dir {} --target_type {}",
            ShellWord(folder_.dir), type));
}

void Judge::VllmAscend(const std::string& engine, DType run_dtype) {
  if (!folder_.ascend()) {
    return Fails(engine, folder_.golden_stick() ? "activation parameters are vectors; it wants one "
                                                  "number (ingot convert --target ascend)"
                                                : "no msModelSlim description");
  }
  const bool f16 = run_dtype == DType::kF16;
  if (f16 ? traits_.deq_f32 : traits_.deq_i64) {
    return Fails(engine,
                 f16 ? "deq_scale is F32, float16 runs need I64: garbage without an error"
                     : "deq_scale is I64, bfloat16 runs need F32: garbage without an error");
  }
  const bool named = folder_.run_dtype() == run_dtype;
  if (named ? !sound_ : !sound_but_dtype_) return Fails(engine, "see the errors above");
  Works(engine, Command(format(), run_dtype));
}

void Judge::MindIe() {
  const std::string engine = "MindIE";
  if (!folder_.ascend())
    return Fails(engine, "no msModelSlim layout with scalar activation parameters");
  if (traits_.vision_float)
    return Fails(engine, "it wants the vision tower's qkv, proj and fc1 quantized");
  if (!sound_) return Fails(engine, "see the errors above");
  Works(engine, "model path " + ShellWord(folder_.dir) +
                    " in its config.json (it finds the description itself)");
}

void Judge::Vllm() {
  const bool reads =
      format() == FolderFormat::kCompressedTensors || format() == FolderFormat::kFloat;
  if (!reads)
    return Fails("vLLM (CPU, GPU)", "it reads compressed-tensors, not the Ascend formats");
  if (!sound_) return Fails("vLLM (CPU, GPU)", "see the errors above");
  Works("vLLM (CPU, GPU)", Command(format(), folder_.run_dtype()));
}

std::vector<EngineVerdict> Judge::Run() {
  if (!folder_.format) return {};
  if (format() == FolderFormat::kFloat) {
    Vllm();
    return std::move(verdicts_);
  }
  GoldenStick("vllm-mindspore on 310P", FolderFormat::kGoldenStick310, "310");
  GoldenStick("vllm-mindspore on 910", FolderFormat::kGoldenStick910, "910");
  VllmAscend("vLLM-Ascend in bfloat16", DType::kBF16);
  VllmAscend("vLLM-Ascend in float16 (310P)", DType::kF16);
  MindIe();
  Vllm();
  return std::move(verdicts_);
}

}  // namespace

std::vector<EngineVerdict> JudgeEngines(const CheckedFolder& folder, const Findings& findings) {
  return Judge(folder, findings).Run();
}

}  // namespace ingot
