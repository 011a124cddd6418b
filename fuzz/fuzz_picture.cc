// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: any bytes are a picture (JPEG, PNG, WebP, GIF, BMP, told apart by content) that
// is refused with a FormatError or decoded to the size that its header says.
#include <span>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "fuzz.h"
#include "vision/image.h"

namespace {

using namespace ingot;  // NOLINT
using fuzz::Require;

constexpr std::string_view kPngStart = "\x89PNG\r\n\x1a\n";

uint32_t Crc32(std::string_view text) {  // ISO 3309, as PNG chunks carry it
  uint32_t crc = 0xffffffffu;
  for (const char byte : text) {
    crc ^= static_cast<unsigned char>(byte);
    for (int k = 0; k < 8; ++k) crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1)));
  }
  return ~crc;
}

// Checksums would stop nearly every mutation of a PNG at the door: sets them right.
std::string WithChecksums(std::string png) {
  for (size_t at = kPngStart.size(); at + 12 <= png.size();) {
    uint32_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(png[at + i]);
    if (length > png.size() - at - 12) break;
    const uint32_t crc = Crc32(std::string_view(png).substr(at + 4, 4 + length));
    for (size_t i = 0; i < 4; ++i) {
      png[at + 8 + length + i] = static_cast<char>(crc >> (24 - 8 * i));
    }
    at += 12 + size_t{length};
  }
  return png;
}

void Decode(std::string_view bytes, const DecodeOptions& options) {
  const auto span = std::as_bytes(std::span(bytes));
  try {
    const ImageInfo info = ProbeImage(span, options, "fuzz.image");
    const Image image = DecodeImage(span, options, "fuzz.image");
    const bool turned = options.apply_orientation;
    Require(image.width == (turned ? info.upright_width() : info.width), "width of the header");
    Require(image.height == (turned ? info.upright_height() : info.height), "height of the header");
    Require(image.rgb.size() == static_cast<size_t>(image.width * image.height * 3), "all pixels");
    Require(static_cast<uint64_t>(image.width * image.height) <= options.max_pixels, "the limit");
  } catch (const FormatError& error) {
    Require(std::string_view(error.what()).starts_with("fuzz.image"), "errors name the picture");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  [[maybe_unused]] static const bool quiet = (SetLogLevel(LogLevel::kError), true);
  std::string bytes(fuzz::AsText(data, size));
  if (bytes.starts_with(kPngStart)) bytes = WithChecksums(std::move(bytes));
  DecodeOptions options;
  options.max_pixels = 250'000;  // what a larger picture does takes longer, not another way
  options.alpha = size % 2 == 0 ? AlphaPolicy::kWhite : AlphaPolicy::kDrop;
  options.accept_damaged = size % 3 == 0;
  options.apply_orientation = size % 5 != 0;
  Decode(bytes, options);
  return 0;
}
