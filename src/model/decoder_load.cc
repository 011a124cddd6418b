// SPDX-License-Identifier: Apache-2.0
// Layers of the decoder out of a folder.
#include "checkpoint/model_reader.h"
#include "model/decoder.h"
#include "model/tensor_lookup.h"

namespace ingot {
namespace {

std::vector<float> LoadNorm(const ModelReader& reader, int64_t layer, std::string_view ending) {
  const TensorSpec spec = FindTensorSpec(reader.config(), TensorPart::kText, layer, ending);
  return LoadFloatVector(reader, spec.name, spec.shape[0]);
}

}  // namespace

Weight LoadEmbedding(const ModelReader& reader) {
  const TensorSpec spec =
      FindTensorSpec(reader.config(), TensorPart::kText, -1, ".embed_tokens.weight");
  return ViewFloatWeight(reader, spec.name, spec.shape);
}

DecoderLayer LoadDecoderLayer(const ModelReader& reader, int64_t layer,
                              const LoadOptions& options) {
  const auto linear = [&](LinearKind kind) {
    return LoadLinear(reader, FindLinearSpec(reader.config(), kind, layer), options);
  };
  return {.index = layer,
          .input_norm = LoadNorm(reader, layer, ".input_layernorm.weight"),
          .post_attention_norm = LoadNorm(reader, layer, ".post_attention_layernorm.weight"),
          .q_norm = LoadNorm(reader, layer, ".q_norm.weight"),
          .k_norm = LoadNorm(reader, layer, ".k_norm.weight"),
          .q = linear(LinearKind::kQ),
          .k = linear(LinearKind::kK),
          .v = linear(LinearKind::kV),
          .o = linear(LinearKind::kO),
          .gate = linear(LinearKind::kGate),
          .up = linear(LinearKind::kUp),
          .down = linear(LinearKind::kDown)};
}

TextHead LoadTextHead(const ModelReader& reader, const LoadOptions& options) {
  return {LoadNorm(reader, -1, ".norm.weight"),
          LoadLinear(reader, FindLinearSpec(reader.config(), LinearKind::kLmHead, -1), options)};
}

TextModel LoadTextModel(const ModelReader& reader, const LoadOptions& options) {
  TextModel text;
  text.config = reader.config().text;
  text.embedding = LoadEmbedding(reader);
  for (int64_t layer = 0; layer < text.config.n_layers; ++layer)
    text.layers.push_back(LoadDecoderLayer(reader, layer, options));
  text.head = LoadTextHead(reader, options);
  return text;
}

}  // namespace ingot
