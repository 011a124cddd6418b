// SPDX-License-Identifier: Apache-2.0
// WebP through libwebp. Of an animation the first frame is taken, placed on its canvas (transparent
// where the frame does not reach). Container: developers.google.com/speed/webp/docs/riff_container.
#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>
#include <memory>
#include <vector>

#include "base/error.h"
#include "vision/decode_internal.h"
#include "vision/orientation.h"

namespace ingot::vision {
namespace {

std::string_view StatusText(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY:
      return "not enough memory";
    case VP8_STATUS_BITSTREAM_ERROR:
      return "bit stream error";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "unsupported feature";
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return "the file is cut short";
    default:
      return "the decoder stopped";
  }
}

[[noreturn]] void Fail(std::string_view name, std::string_view what) {
  throw FormatError("{}: cannot decode the WebP picture: {}. Copy or download it again.", name,
                    what);
}

// EXIF and XMP chunks of the RIFF container: four letters, little-endian length, body padded to
// even length.
int FindOrientation(const uint8_t* data, size_t size) {
  int exif = 0, xmp = 0;
  for (size_t at = 12; size - at >= 8;) {
    const uint32_t length = Le32(data + at + 4);
    if (length > size - at - 8) break;
    const std::span<const uint8_t> body(data + at + 8, length);
    if (std::memcmp(data + at, "EXIF", 4) == 0 && exif == 0) exif = ExifOrientation(body);
    if (std::memcmp(data + at, "XMP ", 4) == 0 && xmp == 0) xmp = XmpOrientation(body);
    at += 8 + size_t{length} + (length & 1);
    if (at > size) break;
  }
  return exif != 0 ? exif : (xmp != 0 ? xmp : 1);
}

// Where the first frame lies and its still WebP bitstream.
struct Frame {
  const uint8_t* data;
  size_t size;
  int64_t left, top, width, height;
};

// Decodes the frame's pixels (3 or 4 channels) into `out`, the top left corner of a canvas with
// rows of `stride` bytes.
void DecodeInto(const Source& source, const Frame& frame, int channels, uint8_t* out,
                size_t stride) {
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) throw InternalError("libwebp does not match its header");
  config.output.colorspace = channels == 4 ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = out;
  config.output.u.RGBA.stride = static_cast<int>(stride);
  config.output.u.RGBA.size = stride * (frame.height - 1) + frame.width * channels;
  const VP8StatusCode status = WebPDecode(frame.data, frame.size, &config);
  if (status != VP8_STATUS_OK) Fail(source.name, StatusText(status));
  if (config.input.width != frame.width || config.input.height != frame.height) {
    Fail(source.name, "two sizes in one file");
  }
}

void DecodeFrame(const Source& source, const Frame& frame, bool has_alpha, Image* image) {
  const bool covers = frame.width == image->width && frame.height == image->height;
  const bool white = source.options.alpha == AlphaPolicy::kWhite;
  if (!white || (!has_alpha && covers)) {
    const size_t stride = image->width * 3;
    DecodeInto(source, frame, 3, &image->rgb[frame.top * stride + frame.left * 3], stride);
    return;
  }
  const size_t stride = image->width * 4;
  std::vector<uint8_t> canvas(stride * image->height);
  DecodeInto(source, frame, 4, &canvas[frame.top * stride + frame.left * 4], stride);
  CompositeOnWhite(canvas.data(), image->width * image->height, image->rgb.data());
}

struct DeleteDemuxer {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};

void DecodeFirstFrame(const Source& source, Image* image) {
  const WebPData data{source.data(), source.size()};
  const std::unique_ptr<WebPDemuxer, DeleteDemuxer> demuxer(WebPDemux(&data));
  if (demuxer == nullptr) Fail(source.name, "the animation is cut short or damaged");
  WebPIterator it;
  if (!WebPDemuxGetFrame(demuxer.get(), 1, &it)) Fail(source.name, "the animation has no frame");
  const Frame frame{it.fragment.bytes, it.fragment.size, it.x_offset,
                    it.y_offset,       it.width,         it.height};
  const bool has_alpha = it.has_alpha != 0;
  WebPDemuxReleaseIterator(&it);  // the bytes belong to `source`
  if (frame.left < 0 || frame.top < 0 || frame.width < 1 || frame.height < 1 ||
      frame.width > image->width - frame.left || frame.height > image->height - frame.top) {
    Fail(source.name, "the first frame lies outside the canvas");
  }
  DecodeFrame(source, frame, has_alpha, image);
}

}  // namespace

void ProbeWebp(std::span<const std::byte> bytes, std::string_view name, ImageInfo* info) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  WebPBitstreamFeatures features;
  const VP8StatusCode status = WebPGetFeatures(data, bytes.size(), &features);
  if (status != VP8_STATUS_OK) Fail(name, StatusText(status));
  info->width = features.width;
  info->height = features.height;
  info->orientation = FindOrientation(data, bytes.size());
}

Image DecodeWebp(const Source& source) {
  WebPBitstreamFeatures features;
  const VP8StatusCode status = WebPGetFeatures(source.data(), source.size(), &features);
  if (status != VP8_STATUS_OK) Fail(source.name, StatusText(status));
  RequireSameSize(source, features.width, features.height);
  Image image = NewImage(source);
  if (features.has_animation) {
    DecodeFirstFrame(source, &image);
  } else {
    const Frame frame{source.data(), source.size(), 0, 0, image.width, image.height};
    DecodeFrame(source, frame, features.has_alpha != 0, &image);
  }
  return image;
}

}  // namespace ingot::vision
