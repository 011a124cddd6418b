// SPDX-License-Identifier: Apache-2.0
// What the decoders of the five formats share. Private to vision/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "vision/image.h"

namespace ingot::vision {

// One picture on its way through a decoder. `info` comes from ProbeImage: sizes are within the
// limits, and a decoder that meets other sizes than these in its library throws.
struct Source {
  std::span<const std::byte> bytes;
  const DecodeOptions& options;
  std::string_view name;
  ImageInfo info;

  const uint8_t* data() const { return reinterpret_cast<const uint8_t*>(bytes.data()); }
  size_t size() const { return bytes.size(); }
};

// Headers only; limits are checked by the caller. `info` has the format set and gets width, height
// and orientation.
void ProbeJpeg(std::span<const std::byte> bytes, std::string_view name, ImageInfo* info);
void ProbePng(std::span<const std::byte> bytes, std::string_view name, ImageInfo* info);
void ProbeWebp(std::span<const std::byte> bytes, std::string_view name, ImageInfo* info);
void ProbeGif(std::span<const std::byte> bytes, std::string_view name, ImageInfo* info);
void ProbeBmp(std::span<const std::byte> bytes, std::string_view name, ImageInfo* info);

Image DecodeJpeg(const Source& source);
Image DecodePng(const Source& source);
Image DecodeWebp(const Source& source);
Image DecodeGif(const Source& source);
Image DecodeBmp(const Source& source);

// The picture's buffer, zeroed. Sizes are those of `source.info`.
Image NewImage(const Source& source);
// Throws when the decoder's library reads another size than the header walk did.
void RequireSameSize(const Source& source, int64_t width, int64_t height);

// Colour `c` with alpha `a` on white: (c * a + 255 * (255 - a)) / 255 rounded to nearest, in
// Pillow's integer form.
inline uint8_t OnWhite(uint32_t c, uint32_t a) {
  const uint32_t u = c * a + 255 * (255 - a) + 128;
  return static_cast<uint8_t>((u + (u >> 8)) >> 8);
}
// `n` RGBA pixels to RGB on white.
void CompositeOnWhite(const uint8_t* rgba, int64_t n, uint8_t* rgb);

// Little- and big-endian numbers; the caller has checked the bounds.
inline uint32_t Le16(const uint8_t* p) { return uint32_t{p[0]} | uint32_t{p[1]} << 8; }
inline uint32_t Le32(const uint8_t* p) { return Le16(p) | Le16(p + 2) << 16; }
inline uint32_t Be16(const uint8_t* p) { return uint32_t{p[1]} | uint32_t{p[0]} << 8; }
inline uint32_t Be32(const uint8_t* p) { return Be16(p + 2) | Be16(p) << 16; }

}  // namespace ingot::vision
