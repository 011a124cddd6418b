// SPDX-License-Identifier: Apache-2.0
// Placeholders of a rendered prompt become as many tokens as the pictures and videos have. Private
// to prompt/. Source: huggingface/transformers:
// src/transformers/models/qwen3_vl/processing_qwen3_vl.py (__call__) of 4.57 and 5.x.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "prompt/prompt_builder.h"
#include "text/tokenizer.h"

namespace ingot {

struct VideoTokens {
  std::string pad, start, end;  // "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"
};

// What stands for one video: `n_frame_tokens` pads per temporal patch. With `seconds` (Qwen3-VL)
// each temporal patch gets its timestamp and a start/end pair; without, all pads stand together.
std::string VideoText(const VideoTokens& tokens, int64_t n_frames, int64_t n_frame_tokens,
                      std::span<const double> seconds);

// Replaces the video places of the trusted segments, in order, by `texts`. A place is one pad; with
// `whole_triple` it includes the start and end tokens around it, where they are. Errors: UserError
// when the number of places differs.
std::vector<TextSegment> ExpandVideos(std::span<const TextSegment> segments,
                                      const VideoTokens& tokens, std::span<const std::string> texts,
                                      bool whole_triple);

// Repeats the i-th `image_token` counts[i] times. Errors: UserError when the number of places
// differs.
std::vector<int32_t> ExpandImages(std::span<const int32_t> ids, int32_t image_token,
                                  std::span<const int64_t> counts);

}  // namespace ingot
