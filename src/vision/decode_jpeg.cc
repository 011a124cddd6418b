// SPDX-License-Identifier: Apache-2.0
// JPEG through libjpeg(-turbo) with its default settings (accurate integer DCT, smooth chroma
// upsampling), which are those of Pillow. Errors leave the library by longjmp, so the functions
// between setjmp and the library own no C++ objects. CMYK follows Pillow: values are stored
// inverted (Adobe's habit), RGB = (255 - K) - C * (255 - K) / 255.
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

// jpeglib.h needs FILE and size_t, jerror.h needs jpeglib.h.
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include "base/error.h"
#include "base/log.h"
#include "vision/decode_internal.h"
#include "vision/orientation.h"

namespace ingot::vision {
namespace {

// Real progressive files have about ten scans; each scan of a crafted one costs a walk over the
// whole picture.
constexpr int kMaxScans = 200;

struct Jpeg {
  jpeg_decompress_struct cinfo;
  jpeg_error_mgr errors;
  jpeg_progress_mgr progress;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
  char warning[JMSG_LENGTH_MAX];
  bool cut_short, damaged, accept_damaged;
};

Jpeg* Self(j_common_ptr cinfo) { return static_cast<Jpeg*>(cinfo->client_data); }

[[noreturn]] void OnError(j_common_ptr cinfo) {
  Jpeg* self = Self(cinfo);
  self->errors.format_message(cinfo, self->message);
  std::longjmp(self->jump, 1);
}

// Warnings after which pixels are made up rather than read.
bool MeansDamage(int code) {
  switch (code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
#if defined(D_ARITH_CODING_SUPPORTED)
    case JWRN_ARITH_BAD_CODE:
#endif
    case JWRN_MUST_RESYNC:
    case JWRN_BOGUS_PROGRESSION:
      return true;
    default:
      return false;
  }
}

void OnMessage(j_common_ptr cinfo, int level) {
  if (level >= 0) return;  // traces
  Jpeg* self = Self(cinfo);
  if (self->errors.msg_code == JWRN_JPEG_EOF) {
    self->cut_short = true;
    OnError(cinfo);
  }
  if (!MeansDamage(self->errors.msg_code)) return;
  if (!self->accept_damaged) OnError(cinfo);
  if (!self->damaged) self->errors.format_message(cinfo, self->warning);
  self->damaged = true;
}

void OnProgress(j_common_ptr cinfo) {
  const auto* decompress = reinterpret_cast<j_decompress_ptr>(cinfo);
  if (decompress->input_scan_number <= kMaxScans) return;
  Jpeg* self = Self(cinfo);
  std::snprintf(self->message, sizeof(self->message), "more than %d scans", kMaxScans);
  std::longjmp(self->jump, 1);
}

bool IsCmyk(const jpeg_decompress_struct& cinfo) {
  return cinfo.jpeg_color_space == JCS_CMYK || cinfo.jpeg_color_space == JCS_YCCK;
}

bool ReadHeader(Jpeg* jpeg, const Source& source) {
  if (setjmp(jpeg->jump) != 0) return false;
  jpeg_create_decompress(&jpeg->cinfo);
  jpeg->cinfo.client_data = jpeg;
  jpeg->cinfo.progress = &jpeg->progress;
  jpeg_mem_src(&jpeg->cinfo, source.data(), source.size());
  jpeg_read_header(&jpeg->cinfo, TRUE);
  return true;
}

void CmykRowToRgb(const uint8_t* cmyk, int64_t n, uint8_t* rgb) {
  for (int64_t i = 0; i < n; ++i, cmyk += 4, rgb += 3) {
    const uint32_t white = cmyk[3];  // stored inverted: 255 - K
    for (int c = 0; c < 3; ++c) {
      const uint32_t u = (255u - cmyk[c]) * white + 128;
      rgb[c] = static_cast<uint8_t>(white - ((u + (u >> 8)) >> 8));
    }
  }
}

// `scratch` holds one CMYK row, or is null for RGB output.
bool ReadRows(Jpeg* jpeg, uint8_t* rgb, uint8_t* scratch) {
  if (setjmp(jpeg->jump) != 0) return false;
  jpeg_decompress_struct* cinfo = &jpeg->cinfo;
  cinfo->out_color_space = scratch != nullptr ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(cinfo);
  const size_t row_bytes = size_t{cinfo->output_width} * 3;
  while (cinfo->output_scanline < cinfo->output_height) {
    uint8_t* out = rgb + cinfo->output_scanline * row_bytes;
    JSAMPROW row = scratch != nullptr ? scratch : out;
    if (jpeg_read_scanlines(cinfo, &row, 1) != 1) return false;
    if (scratch != nullptr) CmykRowToRgb(scratch, cinfo->output_width, out);
  }
  return true;
}

[[noreturn]] void Fail(const Jpeg& jpeg, const Source& source) {
  if (jpeg.cut_short) {
    throw FormatError(
        "{}: the JPEG file is cut short: its data ends after row {} of {}. Copy or download it "
        "again.",
        source.name, jpeg.cinfo.output_scanline, source.info.height);
  }
  throw FormatError(
      "{}: damaged or unsupported JPEG data: {}. Save the picture again with another program.",
      source.name, jpeg.message[0] != '\0' ? jpeg.message : "the decoder stopped");
}

struct DestroyAtExit {
  Jpeg* jpeg;
  ~DestroyAtExit() { jpeg_destroy_decompress(&jpeg->cinfo); }
};

}  // namespace

void ProbeJpeg(std::span<const std::byte> bytes, std::string_view name, ImageInfo* info) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  const size_t size = bytes.size();
  int exif = 0, xmp = 0;
  size_t at = 2;
  while (at + 4 <= size) {
    // A marker is 0xff and a byte other than 0 and 0xff; fill bytes and stray bytes before it are
    // skipped as libjpeg does.
    if (data[at] != 0xff || data[at + 1] == 0xff || data[at + 1] == 0) {
      ++at;
      continue;
    }
    const uint8_t marker = data[at + 1];
    if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {  // TEM, RSTn, SOI: no length
      at += 2;
      continue;
    }
    const uint32_t length = Be16(data + at + 2);
    if (marker == 0xda || marker == 0xd9 || length < 2 || length > size - at - 2) break;
    const std::span<const uint8_t> body(data + at + 4, length - 2);
    const bool frame =
        marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
    if (frame && body.size() >= 6 && info->width == 0) {
      info->height = Be16(body.data() + 1);
      info->width = Be16(body.data() + 3);
    } else if (marker == 0xe1 && body.size() >= 6 && std::memcmp(body.data(), "Exif\0\0", 6) == 0 &&
               exif == 0) {
      exif = ExifOrientation(body);
    } else if (marker == 0xe1 && body.size() >= 28 &&
               std::memcmp(body.data(), "http://ns.adobe.com/xap/1.0/", 28) == 0) {
      xmp = XmpOrientation(body);
    }
    at += 2 + length;
  }
  if (info->width == 0 || info->height == 0) {
    throw FormatError(
        "{}: the JPEG file has no usable frame header (no size found in {} bytes). It is cut short "
        "or damaged; copy or download it again.",
        name, size);
  }
  info->orientation = exif != 0 ? exif : (xmp != 0 ? xmp : 1);
}

Image DecodeJpeg(const Source& source) {
  Jpeg jpeg;
  std::memset(&jpeg, 0, sizeof(jpeg));
  jpeg.cinfo.err = jpeg_std_error(&jpeg.errors);
  jpeg.cinfo.client_data = &jpeg;
  jpeg.errors.error_exit = OnError;
  jpeg.errors.emit_message = OnMessage;
  jpeg.errors.output_message = [](j_common_ptr) {};
  jpeg.progress.progress_monitor = OnProgress;
  jpeg.accept_damaged = source.options.accept_damaged;
  const DestroyAtExit destroy{&jpeg};
  if (!ReadHeader(&jpeg, source)) Fail(jpeg, source);
  RequireSameSize(source, jpeg.cinfo.image_width, jpeg.cinfo.image_height);
  const int components = jpeg.cinfo.num_components;
  if (jpeg.cinfo.jpeg_color_space == JCS_UNKNOWN ||
      (components != 1 && components != 3 && components != 4)) {
    throw FormatError(
        "{}: a JPEG file of {} colour components; expected 1 (grey), 3 (RGB) or 4 (CMYK). Convert "
        "it to RGB.",
        source.name, components);
  }
  Image image = NewImage(source);
  std::vector<uint8_t> scratch(IsCmyk(jpeg.cinfo) ? source.info.width * 4 : 0);
  if (!ReadRows(&jpeg, image.rgb.data(), scratch.empty() ? nullptr : scratch.data())) {
    Fail(jpeg, source);
  }
  if (jpeg.damaged) {
    LogWarning("{}: damaged JPEG data was accepted ({})", source.name, jpeg.warning);
  }
  return image;
}

}  // namespace ingot::vision
