// SPDX-License-Identifier: Apache-2.0
// Pictures from untrusted bytes: JPEG, PNG, WebP, GIF (first frame) and BMP to 8-bit RGB, as
// Hugging Face's loader and Pillow read them. The format is detected by content, never by name.
// Every size is checked before memory is asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace ingot {

// 8-bit RGB, rows from top to bottom, no padding. Invariant: rgb.size() == width * height * 3.
struct Image {
  int64_t width = 0, height = 0;
  std::vector<uint8_t> rgb;  // [height, width, 3]
};

enum class ImageFormat { kJpeg, kPng, kWebp, kGif, kBmp };
std::string_view ImageFormatName(ImageFormat format);  // "JPEG"

// What happens to transparent pixels (alpha channel, colour key, transparent palette entries).
enum class AlphaPolicy {
  // The colour stays, alpha is forgotten: transformers' load_image; what calibration does.
  kDrop,
  // Composited on white: vLLM, qwen-vl-utils, transformers >= 5 for picture objects; what ask and
  // serve do.
  kWhite,
};

struct DecodeOptions {
  AlphaPolicy alpha = AlphaPolicy::kWhite;
  bool apply_orientation = true;         // EXIF (or XMP) orientation, as transformers' load_image
  uint64_t max_file_bytes = 256u << 20;  // of the encoded picture
  uint64_t max_pixels = 178'956'970;     // the size at which Pillow raises DecompressionBombError
  int64_t max_aspect_ratio = 200;  // longer side / shorter side; the models' own limit. 0 = none
  // JPEG data that is damaged but not cut short (bad Huffman codes, lost restart markers): false
  // refuses the picture, true takes what libjpeg makes of it, as Pillow does, and says so once per
  // picture on standard error.
  bool accept_damaged = false;
};

// What the header of a picture says; nothing is decoded. Width and height as stored, before
// orientation.
struct ImageInfo {
  ImageFormat format = ImageFormat::kPng;
  int64_t width = 0, height = 0;
  int orientation = 1;  // EXIF 1..8
  int64_t upright_width() const { return orientation >= 5 ? height : width; }
  int64_t upright_height() const { return orientation >= 5 ? width : height; }
};

// True when the first bytes are those of a picture format that DecodeImage reads.
bool LooksLikeImage(std::span<const std::byte> bytes);

// `name` begins every message: a file path, "image 2 of the request", ... Errors: FormatError when
// the bytes are no picture of the five formats, damaged, cut short, or beyond a limit of `options`.
ImageInfo ProbeImage(std::span<const std::byte> bytes, const DecodeOptions& options,
                     std::string_view name);
Image DecodeImage(std::span<const std::byte> bytes, const DecodeOptions& options,
                  std::string_view name);

// Reads and decodes a file. Errors: UserError (missing, unreadable, larger than max_file_bytes) and
// those of DecodeImage.
Image LoadImage(const std::filesystem::path& path, const DecodeOptions& options);

}  // namespace ingot
