// SPDX-License-Identifier: Apache-2.0
#include "prompt/expansion.h"

#include "base/error.h"
#include "vision/video.h"

namespace ingot {
namespace {

[[noreturn]] void ThrowPlaces(const char* what, size_t given, size_t places) {
  throw UserError(
      "the conversation has {} {}(s), but the chat template made {} place(s) for them. Put them "
      "into user turns "
      "(templates leave them out elsewhere)",
      given, what, places);
}

}  // namespace

std::string VideoText(const VideoTokens& tokens, int64_t n_frames, int64_t n_frame_tokens,
                      std::span<const double> seconds) {
  if (!seconds.empty() && static_cast<int64_t>(seconds.size()) != n_frames) {
    throw InternalError("{} timestamps for {} temporal patches", seconds.size(), n_frames);
  }
  std::string text;
  for (int64_t frame = 0; frame < n_frames; ++frame) {
    if (!seconds.empty()) text += TimestampText(seconds[frame]) + tokens.start;
    for (int64_t i = 0; i < n_frame_tokens; ++i) text += tokens.pad;
    if (!seconds.empty()) text += tokens.end;
  }
  return text;
}

std::vector<TextSegment> ExpandVideos(std::span<const TextSegment> segments,
                                      const VideoTokens& tokens, std::span<const std::string> texts,
                                      bool whole_triple) {
  std::vector<TextSegment> expanded;
  size_t n_places = 0;
  for (const TextSegment& segment : segments) {
    if (!segment.trusted) {
      expanded.push_back(segment);
      continue;
    }
    std::string out;
    size_t at = 0;
    for (size_t pad; (pad = segment.text.find(tokens.pad, at)) != std::string::npos;) {
      size_t begin = pad, end = pad + tokens.pad.size();
      const bool triple = whole_triple && begin >= at + tokens.start.size() &&
                          segment.text.compare(begin - tokens.start.size(), tokens.start.size(),
                                               tokens.start) == 0 &&
                          segment.text.compare(end, tokens.end.size(), tokens.end) == 0;
      if (triple) {
        begin -= tokens.start.size();
        end += tokens.end.size();
      }
      out += segment.text.substr(at, begin - at);
      if (n_places < texts.size()) out += texts[n_places];
      ++n_places;
      at = end;
    }
    expanded.push_back({out + segment.text.substr(at), true});
  }
  if (n_places != texts.size()) ThrowPlaces("video", texts.size(), n_places);
  return expanded;
}

std::vector<int32_t> ExpandImages(std::span<const int32_t> ids, int32_t image_token,
                                  std::span<const int64_t> counts) {
  std::vector<int32_t> expanded;
  size_t n_places = 0;
  for (const int32_t id : ids) {
    const bool place = id == image_token;
    const int64_t copies = !place ? 1 : n_places < counts.size() ? counts[n_places] : 0;
    expanded.insert(expanded.end(), static_cast<size_t>(copies), id);
    n_places += place;
  }
  if (n_places != counts.size()) ThrowPlaces("picture", counts.size(), n_places);
  return expanded;
}

}  // namespace ingot
