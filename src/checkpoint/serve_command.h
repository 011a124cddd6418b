// SPDX-License-Identifier: Apache-2.0
// The command line that serves a folder. golden-stick folders need their option: without it
// vllm-mindspore takes the int8 codes for weights, drops every scale without a word and answers
// garbage (mindspore-ai/vllm-mindspore:
// vllm_mindspore/model_executor/layers/quantization/__init__.py).
#pragma once

#include <filesystem>
#include <string>

#include "checkpoint/quant_format.h"
#include "tensor/dtype.h"

namespace ingot {

// A path as one word for a POSIX shell.
inline std::string ShellWord(const std::filesystem::path& path) {
  const std::string text = path.string();
  const char* safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+=:,@%";
  if (!text.empty() && text.find_first_not_of(safe) == std::string::npos) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

// The engine that the format is made for. `run_dtype` is what config.json names.
inline std::string ServeCommand(FolderFormat format, const std::filesystem::path& dir,
                                DType run_dtype) {
  const std::string folder = ShellWord(dir);
  const std::string dtype = run_dtype == DType::kF16 ? " --dtype float16" : " --dtype bfloat16";
  switch (format) {
    case FolderFormat::kFloat:
      return "vllm serve " + folder;
    case FolderFormat::kAscendV0:
    case FolderFormat::kAscendV1:
      return "vllm serve " + folder + " --quantization ascend" + dtype;
    case FolderFormat::kGoldenStick310:
    case FolderFormat::kGoldenStick910:
      return "VLLM_MS_MODEL_BACKEND=Native vllm-mindspore serve " + folder +
             " --quantization golden-stick";
    case FolderFormat::kCompressedTensors:
      return "vllm serve " + folder;
  }
  return {};
}

}  // namespace ingot
