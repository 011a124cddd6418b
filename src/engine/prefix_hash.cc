// SPDX-License-Identifier: Apache-2.0
#include "engine/prefix_hash.h"

#include <algorithm>

#include "base/error.h"
#include "base/sha256.h"

namespace ingot {

std::vector<PicturePlace> FindPictures(const PreparedPrompt& prompt,
                                       std::span<const int64_t> image_tokens,
                                       std::span<const int64_t> video_tokens,
                                       std::span<const PictureId> ids) {
  std::vector<PicturePlace> places;
  if (ids.size() != image_tokens.size() + video_tokens.size())
    throw InternalError("{} picture identities for {} pictures", ids.size(),
                        image_tokens.size() + video_tokens.size());
  const auto walk = [&](TokenKind kind, std::span<const int64_t> counts, size_t first_id) {
    int64_t token = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      PicturePlace place{.video = kind == TokenKind::kVideo,
                         .index = static_cast<int64_t>(i),
                         .id = ids[first_id + i]};
      for (int64_t row = 0; row < counts[i]; ++token) {
        if (token >= prompt.n_tokens())
          throw InternalError("the prompt has too few tokens for picture {}", i + 1);
        if (prompt.kinds[static_cast<size_t>(token)] != kind) continue;
        const bool joins =
            !place.rows.empty() && place.rows.back().first + place.rows.back().count == token;
        if (!joins) place.rows.push_back({.first = token, .row = row});
        ++place.rows.back().count;
        ++row;
      }
      if (place.rows.empty()) continue;
      place.first = place.rows.front().first;
      place.end = token;
      places.push_back(std::move(place));
    }
  };
  walk(TokenKind::kImage, image_tokens, 0);
  walk(TokenKind::kVideo, video_tokens, image_tokens.size());
  std::ranges::sort(places, {}, &PicturePlace::first);
  return places;
}

PrefixChain::PrefixChain(std::string_view salt, const std::vector<PicturePlace>& pictures) {
  for (const PicturePlace& place : pictures)
    pictures_.push_back({.first = place.first, .end = place.end, .id = place.id});
  Sha256 hash;
  constexpr std::string_view kName = "ingot prefix 1";
  hash.Update(std::as_bytes(std::span(kName)));
  hash.Update(std::as_bytes(std::span(salt)));
  start_ = hash.Finish();
}

void PrefixChain::Extend(std::span<const int32_t> tokens) {
  const auto n_blocks = static_cast<int64_t>(tokens.size()) / kHashBlock;
  for (auto block = static_cast<int64_t>(hashes_.size()); block < n_blocks; ++block) {
    const int64_t first = block * kHashBlock, end = first + kHashBlock;
    Sha256 hash;
    hash.Update(std::as_bytes(std::span(hashes_.empty() ? start_ : hashes_.back())));
    hash.Update(std::as_bytes(tokens.subspan(static_cast<size_t>(first), kHashBlock)));
    for (const Span& picture : pictures_) {
      if (picture.end <= first || picture.first >= end) continue;
      const int64_t offset = first - picture.first;  // which of its rows are here
      hash.Update(std::as_bytes(std::span(&offset, 1)));
      hash.Update(std::as_bytes(std::span(picture.id)));
    }
    hashes_.push_back(hash.Finish());
  }
}

}  // namespace ingot
