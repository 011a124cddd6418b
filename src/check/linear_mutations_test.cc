// SPDX-License-Identifier: Apache-2.0
// Rules 10 to 20: quantized linears.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>
#include <utility>

#include "base/numeric.h"
#include "check/mutations.h"

namespace ingot::check_test {

namespace {

Tensor Recast(const Tensor& tensor, DType dtype) {
  return FromFloats(ToFloats(tensor.view()), dtype, tensor.shape());
}

}  // namespace

std::vector<Mutation> LinearMutations() {
  return {
      {"linear without quant_bias", 10, kE, "v0",
       [](const fs::path& dir) {
         EditTensors(dir, [](Tensors& t) { t.erase(kO + ".quant_bias"); });
         WithoutLine(kDescription, kO + ".quant_bias")(dir);
       }},
      {"weight_scale without weight_offset", 10, kW, "v0",
       [](const fs::path& dir) {
         EditTensors(dir, [](Tensors& t) { t.erase(kO + ".weight_offset"); });
         WithoutLine(kDescription, kO + ".weight_offset")(dir);
       }},
      {"quant_bias as F32", 11, kE, "v0", OnTensors([](Tensors& t) {
         t.at(kO + ".quant_bias") = Tensor(DType::kF32, t.at(kO + ".quant_bias").shape());
       })},
      {"scalar where golden-stick wants a vector",
       11,
       kE,
       "gs310",
       OnTensors([](Tensors& t) {
         t.at(kO + ".input_scale") = FromFloats(std::vector<float>{0.02f}, DType::kF16, {1});
       }),
       {15}},
      {"vector where ascend wants a scalar",
       11,
       kE,
       "v1",
       OnTensors([](Tensors& t) {
         t.at(kO + ".input_scale") = FromFloats(std::vector<float>(96, 0.02f), DType::kF32, {96});
       }),
       {15}},
      {"offset of the wrong type for 310", 11, kW, "gs310", OnTensors([](Tensors& t) {
         t.at(kO + ".input_offset") = Recast(t.at(kO + ".input_offset"), DType::kF32);
       })},
      {"codes labelled FLOAT", 11, kE, "gs310",
       [](const fs::path& dir) {
         std::string text = Slurp(dir / kDescription);
         for (size_t at = 0; (at = text.find(kO + ".", at)) != std::string::npos; ++at) {
           text.replace(text.find("W8A8", at), 4, "FLOAT");
         }
         Spill(dir / kDescription, text);
       }},
      {"the code -128",
       12,
       kW,
       "v0",
       OnTensors([](Tensors& t) { t.at(kO + ".weight").As<int8_t>()[0] = -128; }),
       {16}},
      {"coarse codes",
       12,
       kW,
       "v0",
       OnTensors([](Tensors& t) {
         for (auto& [name, tensor] : t) {
           if (tensor.dtype() != DType::kI8) continue;
           for (int8_t& code : tensor.As<int8_t>()) code = static_cast<int8_t>(code / 2);
         }
       }),
       {16}},
      {"input_scale NaN", 13, kE, "v0",
       OnTensors([](Tensors& t) { t.at(kO + ".input_scale").As<float>()[0] = NAN; })},
      {"input_scale negative", 13, kE, "v0",
       OnTensors([](Tensors& t) { t.at(kO + ".input_scale").As<float>()[0] = -1; })},
      {"input_offset with a fraction",
       13,
       kE,
       "v0",
       OnTensors([](Tensors& t) { t.at(kO + ".input_offset").As<float>()[0] = 0.5f; }),
       {16}},
      {"weight_offset not zero", 13, kE, "v0",
       OnTensors([](Tensors& t) { t.at(kO + ".weight_offset").As<uint16_t>()[3] = F32ToF16(1); })},
      {"q and k with different scales",
       14,
       kE,
       "gs310",
       OnTensors([](Tensors& t) {
         for (uint16_t& value : t.at(kK + ".input_scale").As<uint16_t>()) value += 1;
       }),
       {15}},
      {"deq_scale with a wrong factor", 15, kE, "v1", OnTensors([](Tensors& t) {
         for (float& deq : t.at(kO + ".deq_scale").As<float>()) deq *= 2;
       })},
      {"deq_scale a little off", 15, kW, "v1", OnTensors([](Tensors& t) {
         for (float& deq : t.at(kO + ".deq_scale").As<float>()) deq *= 1.02f;
       })},
      {"deq_scale not a float pattern", 15, kE, "v0",
       OnTensors([](Tensors& t) { t.at(kO + ".deq_scale").As<int64_t>()[2] = int64_t{1} << 33; })},
      {"deq_scale infinite", 15, kE, "gs910",
       OnTensors([](Tensors& t) { t.at(kO + ".deq_scale").As<float>()[1] = INFINITY; })},
      {"int64 pattern converted by value", 15, kE, "gs910", OnTensors([](Tensors& t) {
         for (float& deq : t.at(kO + ".deq_scale").As<float>())
           deq = static_cast<float>(std::bit_cast<uint32_t>(deq));
       })},
      {"row that vanished in float16", 15, kW, "v0", OnTensors([](Tensors& t) {
         t.at(kO + ".deq_scale").As<int64_t>()[4] = 0;
         t.at(kO + ".quant_bias").As<int32_t>()[4] = INT32_MIN;
       })},
      {"quant_bias shifted", 16, kE, "gs310",
       OnTensors([](Tensors& t) { t.at(kO + ".quant_bias").As<int32_t>()[7] += 1000; })},
      {"quant_bias without the bias",
       16,
       kE,
       "v1",
       OnTensors([](Tensors& t) {
         const std::string module = "model.visual.blocks.0.attn.proj";
         const Tensor& weight = t.at(module + ".weight");
         const auto z = static_cast<int64_t>(ToFloats(t.at(module + ".input_offset").view())[0]);
         const size_t cols = static_cast<size_t>(weight.shape()[1]);
         for (size_t row = 0; row < static_cast<size_t>(weight.shape()[0]); ++row) {
           int64_t sum = 0;
           for (size_t col = 0; col < cols; ++col) sum += weight.As<int8_t>()[row * cols + col];
           t.at(module + ".quant_bias").As<int32_t>()[row] = static_cast<int32_t>(-sum * z);
         }
       }),
       {},
       "bias is not inside"},
      {"bfloat16 named, int64 encoding", 17, kE, "v0",
       OnText("config.json", "\"torch_dtype\": \"float16\"", "\"torch_dtype\": \"bfloat16\"")},
      {"golden-stick with int64", 17, kE, "gs910", OnTensors([](Tensors& t) {
         for (auto& [name, tensor] : t) {
           if (name.ends_with(".deq_scale"))
             tensor = EncodeDeqScale(tensor.As<float>(), DType::kI64);
         }
       })},
      {"two encodings", 17, kE, "v1", OnTensors([](Tensors& t) {
         Tensor& tensor = t.at(kO + ".deq_scale");
         tensor = EncodeDeqScale(tensor.As<float>(), DType::kI64);
       })},
      {"scales below float16", 18, kE, "tiny310", [](const fs::path&) {}},
      {"scales among the subnormals", 18, kW, "gs310", OnTensors([](Tensors& t) {
         t.at(kO + ".deq_scale").As<float>()[0] = 2.1e-7f;
         t.at(kO + ".weight_scale").As<uint16_t>()[0] =
             F32ToF16(2.1e-7f / ToFloats(t.at(kO + ".input_scale").view())[0]);
       })},
      {"other weights than the source's",
       19,
       kE,
       "v0",
       OnTensors([](Tensors& t) {
         auto codes = t.at(kO + ".weight").As<int8_t>();
         std::swap(codes[0], codes[1]);
         codes[2] = static_cast<int8_t>(codes[2] ^ 64);
         codes[3] = static_cast<int8_t>(codes[3] ^ 64);
       }),
       {16},
       "",
       true},
      {"int32 overflow",
       20,
       kE,
       "v0",
       OnTensors([](Tensors& t) { t.at(kO + ".quant_bias").As<int32_t>()[0] = INT32_MAX - 5; }),
       {16}},
  };
}

TEST(CheckMutations, QuantizedLinears) { RunTable(LinearMutations()); }

}  // namespace ingot::check_test
