// SPDX-License-Identifier: Apache-2.0
// First frame of a GIF through giflib, read record by record so that later frames cost nothing. As
// in Pillow, the canvas grows when the frame reaches beyond it, and what the frame does not cover
// shows the transparent colour, else colour 0. Format: GIF89a specification (CompuServe, 1990).
#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "base/error.h"
#include "vision/decode_internal.h"

namespace ingot::vision {
namespace {

constexpr int kImage = 0x2c, kExtension = 0x21;

struct Input {
  const uint8_t* data;
  size_t size, at;
};

int OnRead(GifFileType* gif, GifByteType* out, int n) {
  auto* input = static_cast<Input*>(gif->UserData);
  const size_t count = std::min<size_t>(n < 0 ? 0 : n, input->size - input->at);
  std::memcpy(out, input->data + input->at, count);
  input->at += count;
  return static_cast<int>(count);
}

[[noreturn]] void Fail(std::string_view name, int error) {
  const char* text = GifErrorString(error);
  throw FormatError(
      "{}: cannot decode the GIF picture: {}. It is cut short or damaged; copy or download it "
      "again.",
      name, text != nullptr ? text : "unknown error");
}

struct CloseGif {
  void operator()(GifFileType* gif) const { DGifCloseFile(gif, nullptr); }
};
using GifHandle = std::unique_ptr<GifFileType, CloseGif>;

// Reads up to and with the first image descriptor; returns the transparent palette index or -1.
int ReadToFirstImage(GifFileType* gif, std::string_view name) {
  int transparent = NO_TRANSPARENT_COLOR;
  while (true) {
    GifRecordType record;
    if (DGifGetRecordType(gif, &record) == GIF_ERROR) Fail(name, gif->Error);
    if (record == IMAGE_DESC_RECORD_TYPE) break;
    if (record != EXTENSION_RECORD_TYPE) {
      throw FormatError("{}: the GIF file has no picture in it.", name);
    }
    int code = 0;
    GifByteType* block = nullptr;
    if (DGifGetExtension(gif, &code, &block) == GIF_ERROR) Fail(name, gif->Error);
    GraphicsControlBlock control;
    if (code == GRAPHICS_EXT_FUNC_CODE && block != nullptr &&
        DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK) {
      transparent = control.TransparentColor;
    }
    while (block != nullptr) {
      if (DGifGetExtensionNext(gif, &block) == GIF_ERROR) Fail(name, gif->Error);
    }
  }
  if (DGifGetImageDesc(gif) == GIF_ERROR) Fail(name, gif->Error);
  return transparent;
}

// RGBA of each palette index; indices from n_colors on are no colours. Without any palette the
// index is a grey level.
struct Palette {
  std::array<std::array<uint8_t, 4>, 256> rgba{};
  int n_colors = 256;
};

Palette MakePalette(const GifFileType& gif, int transparent) {
  Palette palette;
  const ColorMapObject* map = gif.Image.ColorMap != nullptr ? gif.Image.ColorMap : gif.SColorMap;
  if (map != nullptr) palette.n_colors = std::min(map->ColorCount, 256);
  for (int i = 0; i < palette.n_colors; ++i) {
    const auto grey = static_cast<uint8_t>(i);
    palette.rgba[i] = {grey, grey, grey, 255};
    if (map != nullptr) {
      palette.rgba[i] = {map->Colors[i].Red, map->Colors[i].Green, map->Colors[i].Blue, 255};
    }
  }
  if (transparent >= 0 && transparent < palette.n_colors) palette.rgba[transparent][3] = 0;
  return palette;
}

// The order in which the rows of an interlaced frame are stored.
std::vector<int64_t> RowOrder(int64_t height, bool interlaced) {
  std::vector<int64_t> order;
  constexpr int kStart[4] = {0, 4, 2, 1}, kStep[4] = {8, 8, 4, 2};
  for (int pass = 0; pass < (interlaced ? 4 : 1); ++pass) {
    const int64_t step = interlaced ? kStep[pass] : 1;
    for (int64_t y = interlaced ? kStart[pass] : 0; y < height; y += step) order.push_back(y);
  }
  return order;
}

}  // namespace

void ProbeGif(std::span<const std::byte> bytes, std::string_view name, ImageInfo* info) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  const size_t size = bytes.size();
  const auto need = [&](size_t at, size_t n) {
    if (at > size || n > size - at) {
      throw FormatError("{}: the GIF file is cut short; copy or download it again.", name);
    }
  };
  const auto table_bytes = [](uint8_t flags) -> size_t {
    return flags & 0x80 ? 3u << ((flags & 7) + 1) : 0;
  };
  need(0, 13);
  info->width = Le16(data + 6);
  info->height = Le16(data + 8);
  size_t at = 13 + table_bytes(data[10]);
  while (true) {
    need(at, 1);
    if (data[at] == kImage) break;
    if (data[at] != kExtension) throw FormatError("{}: the GIF file has no picture in it.", name);
    at += 2;
    while (true) {  // sub-blocks: a length byte and so many bytes, a zero length ends them
      need(at, 1);
      const size_t length = data[at];
      need(at + 1, length);
      at += 1 + length;
      if (length == 0) break;
    }
  }
  need(at, 10);
  info->width = std::max<int64_t>(info->width, Le16(data + at + 1) + Le16(data + at + 5));
  info->height = std::max<int64_t>(info->height, Le16(data + at + 3) + Le16(data + at + 7));
  // One 12-bit code stands for at most 4096 pixels.
  if (info->width * info->height / 4096 > static_cast<int64_t>(size) * 8 && info->height > 0) {
    throw FormatError(
        "{}: {} bytes cannot hold the {} x {} pixels that the GIF header claims. The file is "
        "damaged.",
        name, size, info->width, info->height);
  }
}

Image DecodeGif(const Source& source) {
  Input input{source.data(), source.size(), 0};
  int error = 0;
  const GifHandle gif(DGifOpen(&input, OnRead, &error));
  if (gif == nullptr) Fail(source.name, error);
  const int transparent = ReadToFirstImage(gif.get(), source.name);
  const GifImageDesc& frame = gif->Image;
  const int64_t left = frame.Left, top = frame.Top, width = frame.Width, height = frame.Height;
  if (left < 0 || top < 0 || width < 1 || height < 1 || left + width > source.info.width ||
      top + height > source.info.height) {
    throw FormatError(
        "{}: the first GIF frame of {} x {} pixels at ({}, {}) does not fit {} x {}. The file is "
        "damaged.",
        source.name, width, height, left, top, source.info.width, source.info.height);
  }
  const Palette palette = MakePalette(*gif, transparent);
  const bool white = source.options.alpha == AlphaPolicy::kWhite;
  const auto put = [&](uint8_t index, uint8_t* rgb) {
    const auto& color = palette.rgba[index];
    for (int c = 0; c < 3; ++c) rgb[c] = white ? OnWhite(color[c], color[3]) : color[c];
  };
  Image image = NewImage(source);
  if (width < image.width || height < image.height) {
    const auto background = static_cast<uint8_t>(transparent >= 0 ? transparent : 0);
    for (size_t i = 0; i < image.rgb.size(); i += 3) put(background, &image.rgb[i]);
  }
  std::vector<uint8_t> line(width);
  for (int64_t y : RowOrder(height, frame.Interlace)) {
    if (DGifGetLine(gif.get(), line.data(), static_cast<int>(width)) == GIF_ERROR) {
      Fail(source.name, gif->Error);
    }
    uint8_t* rgb = &image.rgb[((top + y) * image.width + left) * 3];
    for (int64_t x = 0; x < width; ++x, rgb += 3) {
      if (line[x] >= palette.n_colors) {
        throw FormatError(
            "{}: a pixel names palette entry {}, but the GIF palette has {} entries. The file is "
            "damaged.",
            source.name, line[x], palette.n_colors);
      }
      put(line[x], rgb);
    }
  }
  return image;
}

}  // namespace ingot::vision
