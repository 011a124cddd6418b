// SPDX-License-Identifier: Apache-2.0
// Small models quantized and converted: what the tests of convert share. Private to them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/progress.h"
#include "convert/convert.h"
#include "convert/test_folders.h"

namespace ingot::convert_test {

namespace fs = std::filesystem;
using namespace ingot::testing;  // NOLINT

inline constexpr const char* kWeights = "quant_model_weight_w8a8.safetensors";
inline constexpr const char* kQ = "model.language_model.layers.0.self_attn.q_proj";

inline ConvertOptions From(const fs::path& original) {
  ConvertOptions options;
  options.original_dir = original;
  return options;
}

// The error's text, or "" when there is none; the kind must be the expected one.
template <typename Function>
std::string ErrorText(ErrorKind kind, Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind)) << error.what();
    return error.what();
  }
  return "";
}

// All tensors of a folder, whatever its files.
inline Tensors AllTensors(const fs::path& dir) {
  Tensors all;
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().extension() == ".safetensors") all.merge(ReadTensors(entry.path()));
  }
  return all;
}

inline bool SameTensor(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::ranges::equal(a.bytes(), b.bytes());
}

inline void ExpectSameTensors(const Tensors& a, const Tensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    ASSERT_TRUE(b.count(name)) << name;
    EXPECT_TRUE(SameTensor(tensor, b.at(name))) << name;
  }
}

class Convert : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { SetProgressStyle(ProgressStyle::kNone); }
  void Quantize(Target target, const QuantizeOptions& options = {}, DType run_dtype = DType::kF16,
                const std::string& model = "mini-qwen3-vl-untied") {
    model_ = TestModel(model);
    FolderLayout layout{target, {}};
    layout.options.run_dtype = run_dtype;
    layout.options.write_tied_head = target == Target::kAscend || target == Target::kAscendV0;
    QuantizeForTest(model_, quant_.path(), layout, options);
  }
  fs::path Out(const std::string& name) { return outs_ / name; }

  fs::path model_;
  TempFolder quant_, outs_;
};

}  // namespace ingot::convert_test
