// SPDX-License-Identifier: Apache-2.0
// Format detection, limits and dispatch. The header is walked by own code first (Probe...), so that
// the limits hold before any library sees the bytes.
#include "vision/image.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/error.h"
#include "base/files.h"
#include "vision/decode_internal.h"
#include "vision/orientation.h"

namespace ingot {
namespace {

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool DetectFormat(std::string_view head, ImageFormat* format) {
  using namespace std::string_view_literals;
  if (head.starts_with("\xff\xd8\xff"sv)) {
    *format = ImageFormat::kJpeg;
  } else if (head.starts_with("\x89PNG\r\n\x1a\n"sv)) {
    *format = ImageFormat::kPng;
  } else if (head.starts_with("RIFF"sv) && head.size() >= 12 && head.substr(8, 4) == "WEBP"sv) {
    *format = ImageFormat::kWebp;
  } else if (head.starts_with("GIF87a"sv) || head.starts_with("GIF89a"sv)) {
    *format = ImageFormat::kGif;
  } else if (head.starts_with("BM"sv) && head.size() >= 26) {
    *format = ImageFormat::kBmp;
  } else {
    return false;
  }
  return true;
}

// What unreadable bytes seem to be, for the message.
std::string_view GuessOther(std::string_view head) {
  using namespace std::string_view_literals;
  struct Guess {
    size_t offset;
    std::string_view magic, what;
  };
  static constexpr std::array<Guess, 13> kGuesses = {
      {{4, "ftypavif"sv, "an AVIF picture"},
       {4, "ftyphei"sv, "a HEIC picture"},
       {4, "ftypmif1"sv, "a HEIF picture"},
       {4, "ftyp"sv, "an MP4 video"},
       {0, "II*\0"sv, "a TIFF picture"},
       {0, "MM\0*"sv, "a TIFF picture"},
       {0, "%PDF"sv, "a PDF document"},
       {0, "<svg"sv, "an SVG drawing"},
       {0, "<?xml"sv, "an XML document"},
       {0, "<!DOCTYPE"sv, "an HTML page"},
       {0, "<html"sv, "an HTML page"},
       {0, "version https://git-lfs"sv, "a Git LFS pointer"},
       {0, "\x1a\x45\xdf\xa3"sv, "a Matroska or WebM video"}}};
  for (const Guess& guess : kGuesses) {
    if (head.size() > guess.offset && head.substr(guess.offset).starts_with(guess.magic)) {
      return guess.what;
    }
  }
  return "of an unknown kind";
}

void CheckLimits(const ImageInfo& info, const DecodeOptions& options, std::string_view name) {
  if (info.width < 1 || info.height < 1) {
    throw FormatError(
        "{}: the {} header says {} x {} pixels; expected at least 1 x 1. The file is damaged.",
        name, ImageFormatName(info.format), info.width, info.height);
  }
  const auto width = static_cast<uint64_t>(info.width), height = static_cast<uint64_t>(info.height);
  if (width > options.max_pixels / height) {
    throw FormatError(
        "{}: the {} header says {} x {} pixels, more than the limit of {} pixels. Scale the "
        "picture down.",
        name, ImageFormatName(info.format), info.width, info.height, options.max_pixels);
  }
  const int64_t longer = std::max(info.width, info.height),
                shorter = std::min(info.width, info.height);
  if (options.max_aspect_ratio > 0 && longer > options.max_aspect_ratio * shorter) {
    throw FormatError(
        "{}: {} x {} pixels (width x height) are too elongated: the longer side may be at most {} "
        "times the shorter one. Crop the picture or cut it into pieces.",
        name, info.width, info.height, options.max_aspect_ratio);
  }
}

Image DecodeFormat(const vision::Source& source) {
  switch (source.info.format) {
    case ImageFormat::kJpeg:
      return vision::DecodeJpeg(source);
    case ImageFormat::kPng:
      return vision::DecodePng(source);
    case ImageFormat::kWebp:
      return vision::DecodeWebp(source);
    case ImageFormat::kGif:
      return vision::DecodeGif(source);
    case ImageFormat::kBmp:
      return vision::DecodeBmp(source);
  }
  throw InternalError("picture format {}", static_cast<int>(source.info.format));
}

}  // namespace

namespace vision {

Image NewImage(const Source& source) {
  return {source.info.width, source.info.height,
          std::vector<uint8_t>(source.info.width * source.info.height * 3)};
}

void RequireSameSize(const Source& source, int64_t width, int64_t height) {
  if (width == source.info.width && height == source.info.height) return;
  throw FormatError(
      "{}: two sizes in one {} file, {} x {} and {} x {} pixels. The file is damaged.", source.name,
      ImageFormatName(source.info.format), source.info.width, source.info.height, width, height);
}

void CompositeOnWhite(const uint8_t* rgba, int64_t n, uint8_t* rgb) {
  for (int64_t i = 0; i < n; ++i, rgba += 4, rgb += 3) {
    for (int c = 0; c < 3; ++c) rgb[c] = OnWhite(rgba[c], rgba[3]);
  }
}

}  // namespace vision

std::string_view ImageFormatName(ImageFormat format) {
  switch (format) {
    case ImageFormat::kJpeg:
      return "JPEG";
    case ImageFormat::kPng:
      return "PNG";
    case ImageFormat::kWebp:
      return "WebP";
    case ImageFormat::kGif:
      return "GIF";
    case ImageFormat::kBmp:
      return "BMP";
  }
  return "?";
}

bool LooksLikeImage(std::span<const std::byte> bytes) {
  ImageFormat format;
  return DetectFormat(AsText(bytes), &format);
}

ImageInfo ProbeImage(std::span<const std::byte> bytes, const DecodeOptions& options,
                     std::string_view name) {
  if (bytes.size() > options.max_file_bytes) {
    throw FormatError(
        "{}: {} of encoded picture are more than the limit of {}. Scale the picture down.", name,
        HumanBytes(bytes.size()), HumanBytes(options.max_file_bytes));
  }
  ImageInfo info;
  const std::string_view text = AsText(bytes);
  if (!DetectFormat(text, &info.format)) {
    if (bytes.empty()) {
      throw FormatError("{}: is empty; expected a JPEG, PNG, WebP, GIF or BMP picture.", name);
    }
    throw FormatError(
        "{}: the content is {}; expected a JPEG, PNG, WebP, GIF or BMP picture. Convert it first.",
        name, GuessOther(text.substr(0, 64)));
  }
  switch (info.format) {
    case ImageFormat::kJpeg:
      vision::ProbeJpeg(bytes, name, &info);
      break;
    case ImageFormat::kPng:
      vision::ProbePng(bytes, name, &info);
      break;
    case ImageFormat::kWebp:
      vision::ProbeWebp(bytes, name, &info);
      break;
    case ImageFormat::kGif:
      vision::ProbeGif(bytes, name, &info);
      break;
    case ImageFormat::kBmp:
      vision::ProbeBmp(bytes, name, &info);
      break;
  }
  CheckLimits(info, options, name);
  return info;
}

Image DecodeImage(std::span<const std::byte> bytes, const DecodeOptions& options,
                  std::string_view name) {
  const vision::Source source{bytes, options, name, ProbeImage(bytes, options, name)};
  Image image = DecodeFormat(source);
  if (!options.apply_orientation) return image;
  return vision::ApplyOrientation(std::move(image), source.info.orientation);
}

Image LoadImage(const std::filesystem::path& path, const DecodeOptions& options) {
  const std::string content = ReadFile(path, options.max_file_bytes);
  return DecodeImage(std::as_bytes(std::span(content)), options, path.string());
}

}  // namespace ingot
