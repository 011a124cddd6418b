// SPDX-License-Identifier: Apache-2.0
// Small JPEG copies of pictures for a report, as data URIs.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "eval/report.h"
#include "prompt/conversation.h"
#include "vision/image.h"

namespace ingot {

inline constexpr int64_t kThumbnailSide =
    192;  // longer side in pixels; smaller pictures stay as they are

// The picture of an image part, at most kThumbnailSide wide and high. `with_pixels` false: name and
// size only. A video part gives its name alone. Errors: those of DecodeImage.
PictureFigures MakeThumbnail(const Part& part, const DecodeOptions& options, bool with_pixels);

std::string EncodeBase64(std::span<const std::byte> bytes);
std::string EncodeJpeg(const Image& image, int quality);

}  // namespace ingot
