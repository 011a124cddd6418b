// SPDX-License-Identifier: Apache-2.0
// Hand-made picture files for the tests of vision/: small enough to read, with every field under
// control.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "vision/image.h"

namespace ingot::vision_test {

inline const std::string kPictures = std::string(INGOT_TEST_DATA) + "/preprocess/pictures/";
inline const std::string kExtra = std::string(INGOT_TEST_DATA) + "/preprocess/extra/";

inline std::span<const std::byte> Bytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

inline std::string Le16(uint32_t v) { return {static_cast<char>(v), static_cast<char>(v >> 8)}; }
inline std::string Le32(uint32_t v) { return Le16(v) + Le16(v >> 16); }
inline std::string Be32(uint32_t v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8),
          static_cast<char>(v)};
}

// CRC-32 of PNG chunks (ISO 3309).
inline uint32_t Crc32(const std::string& text) {
  uint32_t crc = 0xffffffffu;
  for (unsigned char byte : text) {
    crc ^= byte;
    for (int k = 0; k < 8; ++k) crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1)));
  }
  return ~crc;
}
inline std::string PngChunk(const std::string& type, const std::string& body) {
  return Be32(static_cast<uint32_t>(body.size())) + type + body + Be32(Crc32(type + body));
}
// A PNG whose header claims this size over the data of another picture.
inline std::string PngWithSize(const std::string& file, uint32_t width, uint32_t height) {
  const std::string body = Be32(width) + Be32(height) + file.substr(24, 5);
  return file.substr(0, 8) + PngChunk("IHDR", body) + file.substr(33);
}
// `chunk` put behind the header chunk.
inline std::string PngWithChunk(const std::string& file, const std::string& chunk) {
  return file.substr(0, 33) + chunk + file.substr(33);
}

struct BmpParts {
  int32_t width = 2, height = 2;
  uint16_t bits = 24;
  uint32_t compression = 0;
  std::string masks;    // behind the 40-byte header
  std::string palette;  // blue, green, red, 0 each
  std::string pixels;
};
inline std::string MakeBmp(const BmpParts& p) {
  const std::string info = Le32(40) + Le32(static_cast<uint32_t>(p.width)) +
                           Le32(static_cast<uint32_t>(p.height)) + Le16(1) + Le16(p.bits) +
                           Le32(p.compression) + Le32(0) + Le32(2835) + Le32(2835) +
                           Le32(static_cast<uint32_t>(p.palette.size() / 4)) + Le32(0);
  const uint32_t offset =
      static_cast<uint32_t>(14 + info.size() + p.masks.size() + p.palette.size());
  return "BM" + Le32(offset + static_cast<uint32_t>(p.pixels.size())) + Le32(0) + Le32(offset) +
         info + p.masks + p.palette + p.pixels;
}

// EXIF block with nothing but the orientation, in either byte order.
inline std::string MakeExif(int orientation, bool little) {
  const auto n16 = [&](uint32_t v) {
    std::string s = Le16(v);
    return little ? s : std::string(s.rbegin(), s.rend());
  };
  const auto n32 = [&](uint32_t v) { return little ? Le32(v) : Be32(v); };
  return (little ? "II" : "MM") + n16(42) + n32(8) + n16(1) + n16(0x112) + n16(3) + n32(1) +
         n16(static_cast<uint32_t>(orientation)) + n16(0) + n32(0);
}

// Colours of one pixel.
inline std::array<int, 3> PixelAt(const Image& image, int64_t x, int64_t y) {
  const uint8_t* p = &image.rgb[(y * image.width + x) * 3];
  return {p[0], p[1], p[2]};
}

// What DecodeImage says when it refuses; "" when it does not.
inline std::string Refusal(const std::string& file, const DecodeOptions& options = {}) {
  try {
    DecodeImage(Bytes(file), options, "the picture");
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

}  // namespace ingot::vision_test
