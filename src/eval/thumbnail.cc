// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "eval/thumbnail.h"

#include <cstdio>
#include <cstdlib>
#include <memory>

// jpeglib.h needs size_t and FILE before it.
#include <jpeglib.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "vision/resize.h"

namespace ingot {
namespace {

constexpr int kQuality = 82;

[[noreturn]] void ThrowJpegError(j_common_ptr info) {
  char message[JMSG_LENGTH_MAX];
  info->err->format_message(info, message);
  throw InternalError("thumbnail: {}", message);
}

// Owns the compressor; libjpeg's error exit throws through it (the library is built with unwind
// tables, but no C++ object lives inside its frames).
struct Compressor {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  unsigned char* bytes = nullptr;
  unsigned long size = 0;

  Compressor() {
    info.err = jpeg_std_error(&errors);
    errors.error_exit = ThrowJpegError;
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &bytes, &size);
  }
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;
  ~Compressor() {
    jpeg_destroy_compress(&info);
    std::free(bytes);
  }
};

ImageSize FitInto(int64_t width, int64_t height, int64_t side) {
  const double scale =
      std::min(1.0, static_cast<double>(side) / static_cast<double>(std::max(width, height)));
  const auto scaled = [&](int64_t length) {
    return std::max<int64_t>(1, std::llround(static_cast<double>(length) * scale));
  };
  return {scaled(height), scaled(width)};
}

}  // namespace

std::string EncodeBase64(std::span<const std::byte> bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = (group << 8) | (j < count ? std::to_integer<uint32_t>(bytes[i + j]) : 0);
    }
    for (size_t j = 0; j < 4; ++j) {
      out += j <= count ? kDigits[(group >> (18 - 6 * j)) & 63] : '=';
    }
  }
  return out;
}

std::string EncodeJpeg(const Image& image, int quality) {
  Compressor jpeg;
  jpeg.info.image_width = static_cast<JDIMENSION>(image.width);
  jpeg.info.image_height = static_cast<JDIMENSION>(image.height);
  jpeg.info.input_components = 3;
  jpeg.info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&jpeg.info);
  jpeg_set_quality(&jpeg.info, quality, TRUE);
  jpeg_start_compress(&jpeg.info, TRUE);
  const size_t stride = static_cast<size_t>(image.width) * 3;
  while (jpeg.info.next_scanline < jpeg.info.image_height) {
    auto* row = const_cast<JSAMPROW>(image.rgb.data() + jpeg.info.next_scanline * stride);
    jpeg_write_scanlines(&jpeg.info, &row, 1);
  }
  jpeg_finish_compress(&jpeg.info);
  return {reinterpret_cast<const char*>(jpeg.bytes), jpeg.size};
}

PictureFigures MakeThumbnail(const Part& part, const DecodeOptions& options, bool with_pixels) {
  PictureFigures figures;
  figures.name = part.path.filename().string();
  if (part.kind != Part::Kind::kImage) return figures;
  const Image image =
      part.bytes ? DecodeImage(std::as_bytes(std::span(*part.bytes)), options, figures.name)
                 : LoadImage(part.path, options);
  figures.width = image.width;
  figures.height = image.height;
  if (!with_pixels) return figures;
  const ImageSize size = FitInto(image.width, image.height, kThumbnailSide);
  const std::string jpeg =
      EncodeJpeg(ResizeBicubic(image, size, PreprocessBackend::kTorchvision), kQuality);
  figures.thumbnail = "data:image/jpeg;base64," + EncodeBase64(std::as_bytes(std::span(jpeg)));
  return figures;
}

}  // namespace ingot
