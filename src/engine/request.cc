// SPDX-License-Identifier: Apache-2.0
#include "engine/request.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "base/error.h"

namespace ingot {
namespace {

// SHA-256 of a picture's patches, 25 MB for a large one: OpenSSL's has the processor's
// instructions.
class FastSha256 {
 public:
  FastSha256() : context_(EVP_MD_CTX_new()) {
    if (context_ == nullptr || EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) != 1)
      throw InternalError("SHA-256 is not to be had from OpenSSL");
  }
  ~FastSha256() { EVP_MD_CTX_free(context_); }
  FastSha256(const FastSha256&) = delete;
  FastSha256& operator=(const FastSha256&) = delete;
  void Update(std::span<const std::byte> bytes) {
    EVP_DigestUpdate(context_, bytes.data(), bytes.size());
  }
  PictureId Finish() {
    PictureId id;
    EVP_DigestFinal_ex(context_, id.data(), nullptr);
    return id;
  }

 private:
  EVP_MD_CTX* context_;
};

void AppendIds(const VisionInput& input, uint8_t modality, std::vector<PictureId>* ids) {
  size_t first = 0;
  for (const Grid& grid : input.grids) {
    const size_t n_values =
        static_cast<size_t>(grid.n_patches()) * static_cast<size_t>(input.patch_values);
    FastSha256 hash;
    hash.Update(std::as_bytes(std::span(&modality, 1)));
    const int64_t shape[] = {grid.t, grid.h, grid.w, input.patch_values};
    hash.Update(std::as_bytes(std::span(shape)));
    hash.Update(std::as_bytes(std::span(input.patches).subspan(first, n_values)));
    ids->push_back(hash.Finish());
    first += n_values;
  }
}

void RequireRange(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high))
    throw UserError("{} must be between {} and {}, got {}", name, low, high, value);
}

void CheckTokens(const char* name, int64_t token, int64_t vocab) {
  if (token < 0 || token >= vocab)
    throw UserError("{} has token id {}, the vocabulary has {} tokens", name, token, vocab);
}

}  // namespace

std::vector<PictureId> PictureIdsOf(const PreparedPrompt& prompt) {
  std::vector<PictureId> ids;
  AppendIds(prompt.images, 0, &ids);
  AppendIds(prompt.videos, 1, &ids);
  return ids;
}

// Ranges: vllm-project/vllm: vllm/sampling_params.py, SamplingParams._verify_args.
void CheckRequestSampling(const RequestSampling& sampling, int64_t vocab) {
  RequireRange("temperature", sampling.temperature, 0, 1e6);
  RequireRange("presence_penalty", sampling.presence_penalty, -2, 2);
  RequireRange("frequency_penalty", sampling.frequency_penalty, -2, 2);
  RequireRange("min_p", sampling.min_p, 0, 1);
  if (!(sampling.repetition_penalty > 0) || !std::isfinite(sampling.repetition_penalty))
    throw UserError("repetition_penalty must be greater than zero, got {}",
                    sampling.repetition_penalty);
  if (!(sampling.top_p > 0 && sampling.top_p <= 1))
    throw UserError("top_p must be in (0, 1], got {}", sampling.top_p);
  if (sampling.top_k < -1)
    throw UserError("top_k must be 0 or -1 (off) or at least 1, got {}", sampling.top_k);
  if (sampling.max_tokens && *sampling.max_tokens < 0)
    throw UserError("max_tokens must not be negative, got {}", *sampling.max_tokens);
  if (sampling.min_tokens < 0)
    throw UserError("min_tokens must not be negative, got {}", sampling.min_tokens);
  if (sampling.max_tokens && sampling.min_tokens > *sampling.max_tokens)
    throw UserError("min_tokens must be at most max_tokens ({}), got {}", *sampling.max_tokens,
                    sampling.min_tokens);
  if (sampling.logprobs && *sampling.logprobs < -1)
    throw UserError("logprobs must be -1 (all) or not negative, got {}", *sampling.logprobs);
  if (sampling.prompt_logprobs && *sampling.prompt_logprobs < -1)
    throw UserError("prompt_logprobs must be -1 (all) or not negative, got {}",
                    *sampling.prompt_logprobs);
  if (std::ranges::any_of(sampling.stop, &std::string::empty))
    throw UserError("stop must not contain an empty string");
  for (const auto& [token, bias] : sampling.logit_bias) {
    CheckTokens("logit_bias", token, vocab);
    RequireRange("logit_bias", bias, -100, 100);
  }
  for (const int32_t token : sampling.allowed_token_ids)
    CheckTokens("allowed_token_ids", token, vocab);
}

std::string_view EndReasonName(EndReason reason) {
  switch (reason) {
    case EndReason::kStop:
      return "stop";
    case EndReason::kLength:
      return "length";
    case EndReason::kAbort:
      return "abort";
    case EndReason::kError:
      return "error";
  }
  return "error";
}

}  // namespace ingot
