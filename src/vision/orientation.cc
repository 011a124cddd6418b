// SPDX-License-Identifier: Apache-2.0
#include "vision/orientation.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace ingot::vision {
namespace {

constexpr uint32_t kOrientationTag = 0x0112;

// Numbers of either byte order at checked offsets.
struct TiffReader {
  std::span<const uint8_t> bytes;
  bool little;

  bool Has(uint64_t offset, uint64_t n) const {
    return offset <= bytes.size() && n <= bytes.size() - offset;
  }
  uint32_t U16(uint64_t at) const {
    return little ? bytes[at] | bytes[at + 1] << 8 : bytes[at + 1] | bytes[at] << 8;
  }
  uint32_t U32(uint64_t at) const {
    return little ? U16(at) | U16(at + 2) << 16 : U16(at + 2) | U16(at) << 16;
  }
};

// Value of a directory entry of 12 bytes: tag, type, count, value (left-justified when shorter than
// 4 bytes).
uint32_t EntryValue(const TiffReader& reader, uint64_t entry) {
  constexpr uint32_t kByte = 1, kShort = 3, kLong = 4;
  if (reader.U32(entry + 4) != 1) return 0;
  switch (reader.U16(entry + 2)) {
    case kByte:
      return reader.bytes[entry + 8];
    case kShort:
      return reader.U16(entry + 8);
    case kLong:
      return reader.U32(entry + 8);
    default:
      return 0;
  }
}

// Where pixel (x, y) of the upright picture lies in the stored one of w x h.
struct Position {
  int64_t x, y;
};
Position StoredPosition(int orientation, int64_t x, int64_t y, int64_t w, int64_t h) {
  switch (orientation) {
    case 2:
      return {w - 1 - x, y};
    case 3:
      return {w - 1 - x, h - 1 - y};
    case 4:
      return {x, h - 1 - y};
    case 5:
      return {y, x};
    case 6:
      return {y, h - 1 - x};
    case 7:
      return {w - 1 - y, h - 1 - x};
    case 8:
      return {w - 1 - y, x};
    default:
      return {x, y};
  }
}

}  // namespace

int ExifOrientation(std::span<const uint8_t> tiff) {
  if (tiff.size() >= 6 && std::memcmp(tiff.data(), "Exif\0\0", 6) == 0) tiff = tiff.subspan(6);
  if (tiff.size() < 8) return 0;
  const bool little = tiff[0] == 'I' && tiff[1] == 'I';
  if (!little && !(tiff[0] == 'M' && tiff[1] == 'M')) return 0;
  const TiffReader reader{tiff, little};
  if (reader.U16(2) != 42) return 0;
  const uint64_t directory = reader.U32(4);
  if (!reader.Has(directory, 2)) return 0;
  const uint32_t n_entries = reader.U16(directory);
  for (uint32_t i = 0; i < n_entries; ++i) {
    const uint64_t entry = directory + 2 + 12 * uint64_t{i};
    if (!reader.Has(entry, 12)) return 0;
    if (reader.U16(entry) != kOrientationTag) continue;
    const uint32_t value = EntryValue(reader, entry);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 0;
  }
  return 0;
}

int XmpOrientation(std::span<const uint8_t> packet) {
  constexpr std::string_view kKey = "tiff:Orientation";
  const std::string_view text(reinterpret_cast<const char*>(packet.data()), packet.size());
  for (size_t at = text.find(kKey); at != std::string_view::npos; at = text.find(kKey, at + 1)) {
    std::string_view rest = text.substr(at + kKey.size());
    if (rest.starts_with("=\"")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with(">")) {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    if (!rest.empty() && rest[0] >= '1' && rest[0] <= '8') return rest[0] - '0';
  }
  return 0;
}

Image ApplyOrientation(Image image, int orientation) {
  if (orientation < 2 || orientation > 8) return image;
  const bool swapped = orientation >= 5;
  Image out{swapped ? image.height : image.width, swapped ? image.width : image.height,
            std::vector<uint8_t>(image.rgb.size())};
  // Positions are affine in x: one step to the right is a constant step in the stored picture.
  const auto offset = [&](int64_t x, int64_t y) {
    const Position p = StoredPosition(orientation, x, y, image.width, image.height);
    return (p.y * image.width + p.x) * 3;
  };
  const int64_t step = out.width > 1 ? offset(1, 0) - offset(0, 0) : 0;
  uint8_t* to = out.rgb.data();
  for (int64_t y = 0; y < out.height; ++y) {
    int64_t from = offset(0, y);
    for (int64_t x = 0; x < out.width; ++x, from += step, to += 3)
      std::memcpy(to, &image.rgb[from], 3);
  }
  return out;
}

}  // namespace ingot::vision
