// SPDX-License-Identifier: Apache-2.0
// Names for prefixes of sequences: a SHA-256 chain over blocks of kHashBlock tokens. A block's hash
// covers everything before it, the pictures whose tokens lie in it, and the salt, so equal hashes
// mean equal keys and values (vllm-project/vllm: vllm/v1/core/kv_cache_utils.py has the same idea).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/request.h"

namespace ingot {

constexpr int64_t kHashBlock = 16;  // tokens; divides the page

using PrefixHash = std::array<uint8_t, 32>;

// Tokens [first, first + count) of the prompt are rows from `row` on of a picture's features.
struct PictureRows {
  int64_t first = 0, count = 0, row = 0;
};

// Where one picture or video stands in a prompt.
struct PicturePlace {
  bool video = false;
  int64_t index = 0;              // among the pictures, or among the videos
  int64_t first = 0, end = 0;     // tokens; a video has text tokens in between
  std::vector<PictureRows> rows;  // ascending
  PictureId id{};
};

// Places of the pictures of a prompt, ascending. `image_tokens`, `video_tokens`: placeholder tokens
// of each, in order; `ids`: pictures, then videos. Errors: InternalError when the prompt has
// others.
std::vector<PicturePlace> FindPictures(const PreparedPrompt& prompt,
                                       std::span<const int64_t> image_tokens,
                                       std::span<const int64_t> video_tokens,
                                       std::span<const PictureId> ids);

class PrefixChain {
 public:
  PrefixChain(std::string_view salt, const std::vector<PicturePlace>& pictures);
  // Hashes all whole blocks of `tokens` that are not hashed yet; tokens seen before are unchanged.
  void Extend(std::span<const int32_t> tokens);
  // Hash i covers tokens [0, (i + 1) * kHashBlock).
  const std::vector<PrefixHash>& hashes() const { return hashes_; }

 private:
  PrefixHash start_;
  struct Span {
    int64_t first, end;
    PictureId id;
  };
  std::vector<Span> pictures_;
  std::vector<PrefixHash> hashes_;
};

}  // namespace ingot
