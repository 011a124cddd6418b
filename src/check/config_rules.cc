// SPDX-License-Identifier: Apache-2.0
// Rules 21 and 22: config.json and the files beside the weights.
#include <exception>

#include "check/checks.h"

namespace ingot {
namespace {

void CheckQuantizationConfig(const CheckedFolder& folder, Findings* findings) {
  if (!folder.config) return;
  const bool ascend_like = folder.ascend() || folder.golden_stick();
  if (ascend_like && folder.has_quantization_config) {
    findings->Add({21, Severity::kError, "config.json",
                   "has a quantization_config beside the quantization description",
                   "engines take it first and never look at the description",
                   "Remove quantization_config; ingot convert does."});
  }
  const JsonValue* quantize = folder.config->Find("quantize");
  if (ascend_like && quantize != nullptr) {
    findings->Add(
        {21, Severity::kWarning, "config.json", "has the key \"quantize\" of old MindIE versions",
         "MindIE prefers it to the description", "Remove it unless that version needs it."});
  }
  if (folder.format == FolderFormat::kCompressedTensors && !folder.descriptions.empty()) {
    findings->Add(
        {21, Severity::kError, folder.descriptions[0], "stands beside compressed-tensors settings",
         "vLLM-Ascend takes the folder for one of msModelSlim", "Remove the description."});
  }
}

void CheckRunType(const CheckedFolder& folder, Findings* findings) {
  if (!folder.config) return;
  const std::string& dtype = folder.torch_dtype;
  if (folder.format == FolderFormat::kGoldenStick310 && dtype != "float16") {
    findings->Add({22, Severity::kWarning, "config.json",
                   fmt::format("torch_dtype is {}; a 310P runs float16 only",
                               dtype.empty() ? "absent" : dtype),
                   "vllm-mindspore refuses bfloat16 on a 310P unless --dtype float16 is given",
                   "Run ingot convert on the folder; it writes float16."});
  }
  if (folder.quantized() && dtype == "float32") {
    findings->Add({22, Severity::kWarning, "config.json", "torch_dtype is float32",
                   "engines run float16 or bfloat16",
                   "Set torch_dtype to the type that the engine will use."});
  }
}

struct SideFile {
  const char* name;
  Severity severity;
  const char* why;
};

bool HasChatTemplate(const CheckedFolder& folder) {
  for (const char* name : {"chat_template.json", "chat_template.jinja"}) {
    if (folder.HasFile(name)) return true;
  }
  try {
    const JsonValue config = ReadJsonObject(folder.dir / "tokenizer_config.json", 16u << 20);
    return config.Find("chat_template") != nullptr;
  } catch (const std::exception&) {
    return false;  // missing or damaged: its own finding
  }
}

void CheckSideFiles(const CheckedFolder& folder, Findings* findings) {
  static constexpr SideFile kFiles[] = {
      {"tokenizer.json", Severity::kError, "no text can be turned into tokens"},
      {"tokenizer_config.json", Severity::kError, "engines cannot build the tokenizer"},
      {"preprocessor_config.json", Severity::kError, "no picture can be prepared"},
      {"vocab.json", Severity::kWarning, "slow tokenizers need it"},
      {"merges.txt", Severity::kWarning,
       "slow tokenizers need it (the original quantizer does not copy it)"},
      {"generation_config.json", Severity::kWarning,
       "the model's own sampling settings and stop tokens are lost"},
  };
  for (const SideFile& file : kFiles) {
    if (!folder.HasFile(file.name))
      findings->Add({22, file.severity, file.name, "is missing", file.why, ""});
  }
  const bool qwen3 = folder.model && (folder.model->family == ModelFamily::kQwen3VL ||
                                      folder.model->family == ModelFamily::kQwen3VLMoe);
  const bool video =
      folder.HasFile("video_preprocessor_config.json") || folder.HasFile("processor_config.json");
  if (qwen3 && !video) {
    findings->Add({22, Severity::kWarning, "video_preprocessor_config.json", "is missing",
                   "videos are prepared with class defaults", ""});
  }
  if (!HasChatTemplate(folder)) {
    findings->Add({22, Severity::kWarning, "chat_template.json",
                   "no chat template (chat_template.json, chat_template.jinja, or in "
                   "tokenizer_config.json)",
                   "chat requests fail", ""});
  }
}

// JSON that is there must be readable.
void CheckJsonFiles(const CheckedFolder& folder, Findings* findings) {
  for (const char* name :
       {"tokenizer_config.json", "preprocessor_config.json", "generation_config.json",
        "video_preprocessor_config.json", "chat_template.json"}) {
    if (!folder.HasFile(name)) continue;
    try {
      ReadJsonObject(folder.dir / name, 16u << 20);
    } catch (const std::exception& error) {
      findings->Add({22, Severity::kError, name, error.what(), "", ""});
    }
  }
}

}  // namespace

void CheckConfig(const CheckedFolder& folder, Findings* findings) {
  CheckQuantizationConfig(folder, findings);
  CheckRunType(folder, findings);
  CheckSideFiles(folder, findings);
  CheckJsonFiles(folder, findings);
}

}  // namespace ingot
