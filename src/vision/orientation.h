// SPDX-License-Identifier: Apache-2.0
// The orientation tag of EXIF and XMP, read with bounds on everything, and its application. Private
// to vision/. Formats: TIFF 6.0 section 2 (image file directory), EXIF 2.32 tag 0x0112.
#pragma once

#include <cstdint>
#include <span>

#include "vision/image.h"

namespace ingot::vision {

// `tiff` begins with the byte order mark ("II" or "MM"); a leading "Exif\0\0" is skipped.
// Orientation 1..8, or 0 when the block has none or is malformed (metadata never makes a picture
// unreadable).
int ExifOrientation(std::span<const uint8_t> tiff);
// Pillow's fallback: tiff:Orientation in an XMP packet, as attribute or element. 0 when absent.
int XmpOrientation(std::span<const uint8_t> packet);

// Turns and mirrors the stored picture so that it stands upright (PIL.ImageOps.exif_transpose).
Image ApplyOrientation(Image image, int orientation);

}  // namespace ingot::vision
