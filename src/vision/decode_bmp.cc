// SPDX-License-Identifier: Apache-2.0
// BMP: 1, 4, 8, 16, 24 and 32 bits, bit fields, RLE4 and RLE8, both row orders, headers from
// OS/2 1.x to version 5. Values of n bits become 8 bits as value * 255 / (2^n - 1), as in Pillow;
// alpha counts only where a mask names it. Layout: Microsoft "Bitmap Storage" (BITMAPFILEHEADER,
// BITMAPINFOHEADER, BITMAPV5HEADER).
#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "vision/decode_internal.h"

namespace ingot::vision {
namespace {

constexpr uint32_t kRgb = 0, kRle8 = 1, kRle4 = 2, kBitFields = 3, kAlphaBitFields = 6;
constexpr size_t kFileHeader = 14;

struct Header {
  int64_t width = 0, height = 0;
  bool top_down = false;
  uint32_t bits = 0, compression = kRgb;
  uint64_t pixels = 0;                     // offset of the pixel data
  uint64_t palette = 0;                    // offset of the palette
  uint32_t n_colors = 0, entry_bytes = 4;  // palette entries are blue, green, red (, unused)
  std::array<uint32_t, 4> mask{};          // red, green, blue, alpha of 16 and 32 bits
  uint64_t row_bytes() const { return (static_cast<uint64_t>(width) * bits + 31) / 32 * 4; }
};

[[noreturn]] void CutShort(std::string_view name) {
  throw FormatError("{}: the BMP file is cut short. Copy or download it again.", name);
}

void ReadMasks(std::span<const uint8_t> file, uint64_t at, bool with_alpha, std::string_view name,
               Header* h) {
  const int n = with_alpha ? 4 : 3;
  if (at + 4 * n > file.size()) CutShort(name);
  for (int i = 0; i < n; ++i) h->mask[i] = Le32(&file[at + 4 * i]);
}

// Masks must be runs of bits that fit the pixel and do not share bits.
void CheckMasks(const Header& h, std::string_view name) {
  uint32_t seen = 0;
  const uint32_t all = h.bits == 32 ? ~0u : (1u << h.bits) - 1;
  for (int i = 0; i < 4; ++i) {
    const uint32_t mask = h.mask[i];
    const bool run =
        mask == 0 || std::has_single_bit((mask >> std::countr_zero(mask)) + uint64_t{1});
    if (!run || (mask & seen) != 0 || (mask & ~all) != 0 || (mask == 0 && i < 3)) {
      throw FormatError(
          "{}: the BMP colour masks {:#x}, {:#x}, {:#x}, {:#x} are impossible. The file is "
          "damaged.",
          name, h.mask[0], h.mask[1], h.mask[2], h.mask[3]);
    }
    seen |= mask;
  }
}

void CheckKind(const Header& h, std::string_view name) {
  const bool depth =
      h.bits == 1 || h.bits == 4 || h.bits == 8 || h.bits == 16 || h.bits == 24 || h.bits == 32;
  const bool fields = h.compression == kBitFields || h.compression == kAlphaBitFields;
  const bool kind = h.compression == kRgb || (h.compression == kRle8 && h.bits == 8) ||
                    (h.compression == kRle4 && h.bits == 4) ||
                    (fields && (h.bits == 16 || h.bits == 32));
  if (!depth || !kind || (h.top_down && (h.compression == kRle8 || h.compression == kRle4))) {
    throw FormatError(
        "{}: a BMP file of {} bits with compression {} is not supported; expected 1, 4, 8, 16, 24 "
        "or 32 bits, plain, RLE or with bit fields. Convert it to PNG.",
        name, h.bits, h.compression);
  }
}

void ReadInfoHeader(std::span<const uint8_t> file, uint32_t header_bytes, std::string_view name,
                    Header* h) {
  if (file.size() < kFileHeader + 40) CutShort(name);
  const uint8_t* info = &file[kFileHeader];
  h->width = static_cast<int32_t>(Le32(info + 4));
  h->height = static_cast<int32_t>(Le32(info + 8));
  h->bits = Le16(info + 14);
  h->compression = Le32(info + 16);
  h->n_colors = Le32(info + 32);
  h->palette = kFileHeader + header_bytes;
  if (h->height < 0) {
    h->top_down = true;
    h->height = -h->height;
  }
  CheckKind(*h, name);
  if (h->compression == kBitFields || h->compression == kAlphaBitFields) {
    // Inside the header from version 2 (3 with alpha) on, behind it before.
    const bool with_alpha = header_bytes >= 56 || h->compression == kAlphaBitFields;
    ReadMasks(file, kFileHeader + 40, with_alpha, name, h);
    if (header_bytes == 40) h->palette += with_alpha ? 16 : 12;
    CheckMasks(*h, name);
  } else if (h->bits == 16) {
    h->mask = {0x7c00, 0x03e0, 0x001f, 0};
  } else if (h->bits == 32) {
    h->mask = {0xff0000, 0xff00, 0xff, 0};
  }
}

Header ReadHeader(std::span<const uint8_t> file, std::string_view name) {
  Header h;
  if (file.size() < kFileHeader + 12) CutShort(name);
  h.pixels = Le32(&file[10]);
  const uint32_t header_bytes = Le32(&file[kFileHeader]);
  if (header_bytes == 12) {
    h.width = Le16(&file[18]);
    h.height = Le16(&file[20]);
    h.bits = Le16(&file[24]);
    h.entry_bytes = 3;
    h.palette = kFileHeader + 12;
    CheckKind(h, name);
    if (h.bits == 16 || h.bits == 32) {
      throw FormatError("{}: an OS/2 BMP file of {} bits is impossible. The file is damaged.", name,
                        h.bits);
    }
  } else if (header_bytes == 40 || header_bytes == 52 || header_bytes == 56 || header_bytes == 64 ||
             header_bytes == 108 || header_bytes == 124) {
    ReadInfoHeader(file, header_bytes, name, &h);
  } else {
    throw FormatError(
        "{}: a BMP header of {} bytes is unknown; expected 12, 40, 52, 56, 64, 108 or 124.", name,
        header_bytes);
  }
  return h;
}

using Colors = std::vector<std::array<uint8_t, 3>>;

Colors ReadPalette(std::span<const uint8_t> file, const Header& h, std::string_view name) {
  const uint32_t most = 1u << h.bits;
  const uint32_t n = h.n_colors == 0 || h.n_colors > most ? most : h.n_colors;
  if (h.palette + uint64_t{n} * h.entry_bytes > file.size()) CutShort(name);
  Colors colors(n);
  for (uint32_t i = 0; i < n; ++i) {
    const uint8_t* entry = &file[h.palette + uint64_t{i} * h.entry_bytes];
    colors[i] = {entry[2], entry[1], entry[0]};
  }
  return colors;
}

void PutIndex(const Colors& colors, uint32_t index, std::string_view name, uint8_t* rgb) {
  if (index >= colors.size()) {
    throw FormatError(
        "{}: a pixel names palette entry {}, but the BMP palette has {} entries. The file is "
        "damaged.",
        name, index, colors.size());
  }
  std::memcpy(rgb, colors[index].data(), 3);
}

// One run-length coded stream; the picture keeps colour 0 where it jumps (Microsoft "Bitmap
// Compression").
class RleReader {
 public:
  RleReader(const Source& source, const Header& h, const Colors& colors, Image* image)
      : source_(source), h_(h), colors_(colors), image_(image), at_(h.pixels) {}

  void Run() {
    while (true) {
      const uint8_t count = Next(), value = Next();
      if (count > 0) {
        for (int i = 0; i < count; ++i) Put(Index(value, i));
      } else if (value == 0) {
        x_ = 0;
        ++y_;
      } else if (value == 1) {
        return;
      } else if (value == 2) {
        x_ += Next();
        y_ += Next();
      } else {
        Literal(value);
      }
      // All rows read: some writers leave the end mark out.
      if (y_ >= h_.height && at_ >= source_.size()) return;
    }
  }

 private:
  uint8_t Next() {
    if (at_ >= source_.size()) CutShort(source_.name);
    return source_.data()[at_++];
  }
  // RLE4 pairs hold two indices, used in turn.
  uint8_t Index(uint8_t value, int i) const {
    if (h_.bits == 8) return value;
    return i % 2 == 0 ? value >> 4 : value & 15;
  }
  void Literal(int n) {
    const int n_bytes = h_.bits == 8 ? n : (n + 1) / 2;
    uint8_t value = 0;
    for (int i = 0; i < n; ++i) {
      if (h_.bits == 8 || i % 2 == 0) value = Next();
      Put(Index(value, i));
    }
    if (n_bytes % 2 != 0) Next();  // literals are padded to 16 bits
  }
  void Put(uint8_t index) {
    if (x_ >= h_.width || y_ >= h_.height) {
      throw FormatError(
          "{}: the BMP run-length data leaves the picture of {} x {} pixels. The file is damaged.",
          source_.name, h_.width, h_.height);
    }
    PutIndex(colors_, index, source_.name,
             &image_->rgb[((h_.height - 1 - y_) * h_.width + x_) * 3]);
    ++x_;
  }

  const Source& source_;
  const Header& h_;
  const Colors& colors_;
  Image* image_;
  uint64_t at_;
  int64_t x_ = 0, y_ = 0;
};

void IndexedRow(const uint8_t* row, const Header& h, const Colors& colors, std::string_view name,
                uint8_t* rgb) {
  const uint32_t per_byte = 8 / h.bits, mask = (1u << h.bits) - 1;
  for (int64_t x = 0; x < h.width; ++x, rgb += 3) {
    const uint32_t shift = h.bits * (per_byte - 1 - x % per_byte);
    PutIndex(colors, row[x / per_byte] >> shift & mask, name, rgb);
  }
}

uint8_t Field(uint32_t pixel, uint32_t mask) {
  if (mask == 0) return 255;
  const int shift = std::countr_zero(mask);
  return static_cast<uint8_t>(uint64_t{(pixel & mask) >> shift} * 255 / (mask >> shift));
}

void MaskedRow(const uint8_t* row, const Header& h, bool white, uint8_t* rgb) {
  for (int64_t x = 0; x < h.width; ++x, rgb += 3) {
    const uint32_t pixel = h.bits == 16 ? Le16(row + 2 * x) : Le32(row + 4 * x);
    const uint8_t alpha = white ? Field(pixel, h.mask[3]) : 255;
    for (int c = 0; c < 3; ++c) rgb[c] = OnWhite(Field(pixel, h.mask[c]), alpha);
  }
}

void Row24(const uint8_t* row, int64_t width, uint8_t* rgb) {
  for (int64_t x = 0; x < width; ++x, row += 3, rgb += 3) {
    rgb[0] = row[2], rgb[1] = row[1], rgb[2] = row[0];
  }
}

}  // namespace

void ProbeBmp(std::span<const std::byte> bytes, std::string_view name, ImageInfo* info) {
  const std::span<const uint8_t> file(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  const Header h = ReadHeader(file, name);
  info->width = h.width;
  info->height = h.height;
  if (h.width < 1 || h.height < 1) return;  // refused by the caller
  // Rows below 2^38 bytes, heights up to 2^31: compare quotients.
  const uint64_t left = h.pixels <= file.size() ? file.size() - h.pixels : 0;
  const bool rle = h.compression == kRle8 || h.compression == kRle4;
  if (!rle && static_cast<uint64_t>(h.height) > left / h.row_bytes()) {
    throw FormatError(
        "{}: {} x {} pixels of {} bits need {} rows of {} bytes, found {} bytes after the BMP "
        "header. The file is cut short; copy or download it again.",
        name, h.width, h.height, h.bits, h.height, h.row_bytes(), left);
  }
}

Image DecodeBmp(const Source& source) {
  const std::span<const uint8_t> file(source.data(), source.size());
  const Header h = ReadHeader(file, source.name);
  RequireSameSize(source, h.width, h.height);
  Colors colors;
  if (h.bits <= 8) colors = ReadPalette(file, h, source.name);
  Image image = NewImage(source);
  if (h.compression == kRle8 || h.compression == kRle4) {
    for (size_t i = 0; i < image.rgb.size(); i += 3)
      PutIndex(colors, 0, source.name, &image.rgb[i]);
    RleReader(source, h, colors, &image).Run();
    return image;
  }
  for (int64_t y = 0; y < h.height; ++y) {
    const uint8_t* row = &file[h.pixels + y * h.row_bytes()];
    uint8_t* rgb = &image.rgb[(h.top_down ? y : h.height - 1 - y) * h.width * 3];
    if (h.bits <= 8) {
      IndexedRow(row, h, colors, source.name, rgb);
    } else if (h.bits == 24) {
      Row24(row, h.width, rgb);
    } else {
      MaskedRow(row, h, source.options.alpha == AlphaPolicy::kWhite, rgb);
    }
  }
  return image;
}

}  // namespace ingot::vision
