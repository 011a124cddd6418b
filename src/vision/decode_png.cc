// SPDX-License-Identifier: Apache-2.0
// PNG through libpng. Samples become 8 bits as follows: palettes are expanded, grey of 1, 2 and 4
// bits is scaled, of 16 bits the high byte is kept. Gamma, profiles and text are not looked at (the
// reference does not either). Errors leave libpng by longjmp, so the functions between setjmp and
// the library own no C++ objects.
#include <png.h>

#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "vision/decode_internal.h"
#include "vision/orientation.h"

namespace ingot::vision {
namespace {

constexpr size_t kSignature = 8;

struct Png {
  png_structp png = nullptr;
  png_infop info = nullptr;
  const uint8_t* data = nullptr;
  size_t size = 0, at = 0;
  bool cut_short = false;
  std::jmp_buf jump;
  char message[200] = "";
  // Set by ReadHeader.
  int passes = 1, channels = 0;

  Png() = default;
  Png(const Png&) = delete;
  Png& operator=(const Png&) = delete;
  ~Png() { png_destroy_read_struct(&png, &info, nullptr); }
};

[[noreturn]] void OnError(png_structp png, png_const_charp message) {
  auto* self = static_cast<Png*>(png_get_error_ptr(png));
  std::snprintf(self->message, sizeof(self->message), "%s", message);
  std::longjmp(self->jump, 1);
}

void OnWarning(png_structp, png_const_charp) {}

void OnRead(png_structp png, png_bytep out, size_t n) {
  auto* self = static_cast<Png*>(png_get_io_ptr(png));
  if (n > self->size - self->at) {
    self->cut_short = true;
    png_error(png, "the data ends early");
  }
  std::memcpy(out, self->data + self->at, n);
  self->at += n;
}

// Chunks that do not matter here: not parsed, so a broken profile or text does not refuse the
// picture and cannot cost memory.
void IgnoreMetadata(png_structp png) {
  static const png_byte kChunks[] =
      "bKGD\0cHRM\0cICP\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0mDCV\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0sPLT\0sR"
      "GB\0sTER\0tEXt\0tIME\0zTXt";
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, kChunks,
                              static_cast<int>(sizeof(kChunks) / 5));
}

// Reads up to the pixels and asks for 8-bit RGB, with alpha when the file has it and the policy
// wants it.
bool ReadHeader(Png* self, AlphaPolicy alpha) {
  if (setjmp(self->jump) != 0) return false;
  png_structp png = self->png;
  png_set_read_fn(png, self, OnRead);
  png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // ProbeImage has checked the size
  IgnoreMetadata(png);
  png_read_info(png, self->info);
  const int color = png_get_color_type(png, self->info);
  const bool transparent_key = png_get_valid(png, self->info, PNG_INFO_tRNS) != 0;
  if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (color == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png);
  if (transparent_key && alpha == AlphaPolicy::kWhite) png_set_tRNS_to_alpha(png);
  if (png_get_bit_depth(png, self->info) == 16) png_set_strip_16(png);
  if ((color & PNG_COLOR_MASK_COLOR) == 0) png_set_gray_to_rgb(png);
  if (alpha == AlphaPolicy::kDrop) png_set_strip_alpha(png);
  self->passes = png_set_interlace_handling(png);
  png_read_update_info(png, self->info);
  self->channels = png_get_channels(png, self->info);
  return true;
}

// `pixels` is the whole picture when stride > 0, else one row that is composited into `rgb` after
// each read.
bool ReadRows(Png* self, uint8_t* pixels, size_t stride, int64_t width, int64_t height,
              uint8_t* rgb) {
  if (setjmp(self->jump) != 0) return false;
  for (int pass = 0; pass < self->passes; ++pass) {
    for (int64_t y = 0; y < height; ++y) {
      png_read_row(self->png, pixels + y * stride, nullptr);
      if (stride == 0) CompositeOnWhite(pixels, width, rgb + y * width * 3);
    }
  }
  return true;
}

[[noreturn]] void Fail(const Png& self, const Source& source) {
  if (self.cut_short) {
    throw FormatError(
        "{}: the PNG file is cut short: it ends after {} bytes, before its picture is complete. "
        "Copy or download it again.",
        source.name, source.size());
  }
  throw FormatError("{}: damaged PNG data: {}. Copy or download it again.", source.name,
                    self.message);
}

// A palette index beyond the palette: libpng would show black.
void CheckPalette(const Png& self, const Source& source) {
  png_colorp palette = nullptr;
  int n_colors = 0;
  if (png_get_PLTE(self.png, self.info, &palette, &n_colors) == 0) return;
  const int max_index = png_get_palette_max(self.png, self.info);
  if (max_index >= n_colors) {
    throw FormatError(
        "{}: a pixel names palette entry {}, but the PNG palette has {} entries. The file is "
        "damaged.",
        source.name, max_index, n_colors);
  }
}

struct Chunk {
  std::string_view type;
  std::span<const uint8_t> body;
};

// The chunk at *at, moving *at behind it. False at the end of the file or of what can be read.
bool NextChunk(const uint8_t* data, size_t size, size_t* at, Chunk* chunk) {
  if (size - *at < 12) return false;
  const uint32_t length = Be32(data + *at);
  if (length > size - *at - 12) return false;
  chunk->type = {reinterpret_cast<const char*>(data + *at + 4), 4};
  chunk->body = {data + *at + 8, length};
  *at += 12 + size_t{length};
  return true;
}

int Channels(int color) {
  constexpr int kSamples[7] = {1, 0, 3, 1, 2, 0, 4};  // by PNG colour type
  return color <= 6 ? kSamples[color] : 0;
}

// Deflate cannot shrink by more than 1032 to 1: a small file that claims a huge picture is refused
// before the picture's memory is asked for.
void CheckPlausible(std::span<const std::byte> bytes, std::string_view name, const ImageInfo& info,
                    int bits_per_pixel) {
  const double row_bytes = std::ceil(static_cast<double>(info.width) * bits_per_pixel / 8);
  if (row_bytes * static_cast<double>(info.height) > 1032.0 * static_cast<double>(bytes.size())) {
    throw FormatError(
        "{}: {} bytes cannot hold the {} x {} pixels that the PNG header claims. The file is "
        "damaged.",
        name, bytes.size(), info.width, info.height);
  }
}

}  // namespace

void ProbePng(std::span<const std::byte> bytes, std::string_view name, ImageInfo* info) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  Chunk chunk;
  size_t at = kSignature;
  if (!NextChunk(data, bytes.size(), &at, &chunk) || chunk.type != "IHDR" ||
      chunk.body.size() != 13) {
    throw FormatError(
        "{}: the PNG file does not begin with a complete IHDR chunk. It is cut short or damaged; "
        "copy or download it again.",
        name);
  }
  const uint32_t width = Be32(chunk.body.data()), height = Be32(chunk.body.data() + 4);
  const int depth = chunk.body[8], channels = Channels(chunk.body[9]);
  if (width < 1 || height < 1 || width > PNG_UINT_31_MAX || height > PNG_UINT_31_MAX || depth < 1 ||
      depth > 16 || channels == 0) {
    throw FormatError(
        "{}: the PNG header says {} x {} pixels, bit depth {}, colour type {}: impossible. The "
        "file is damaged.",
        name, width, height, depth, chunk.body[9]);
  }
  info->width = width;
  info->height = height;
  int exif = 0, xmp = 0;
  while (NextChunk(data, bytes.size(), &at, &chunk) && chunk.type != "IEND") {
    if (chunk.type == "eXIf" && exif == 0) exif = ExifOrientation(chunk.body);
    if (chunk.type == "iTXt" && xmp == 0 && chunk.body.size() > 17 &&
        std::memcmp(chunk.body.data(), "XML:com.adobe.xmp", 18) == 0) {
      xmp = XmpOrientation(chunk.body);
    }
  }
  info->orientation = exif != 0 ? exif : (xmp != 0 ? xmp : 1);
  CheckPlausible(bytes, name, *info, depth * channels);
}

Image DecodePng(const Source& source) {
  Png self;
  self.data = source.data();
  self.size = source.size();
  self.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &self, OnError, OnWarning);
  if (self.png != nullptr) self.info = png_create_info_struct(self.png);
  if (self.info == nullptr) throw ResourceError("{}: no memory for the PNG decoder", source.name);
  if (!ReadHeader(&self, source.options.alpha)) Fail(self, source);
  RequireSameSize(source, png_get_image_width(self.png, self.info),
                  png_get_image_height(self.png, self.info));
  const int64_t width = source.info.width, height = source.info.height;
  const size_t row_bytes = png_get_rowbytes(self.png, self.info);
  if ((self.channels != 3 && self.channels != 4) ||
      row_bytes != static_cast<size_t>(width * self.channels)) {
    throw InternalError("{}: libpng gives rows of {} bytes, {} channels", source.name, row_bytes,
                        self.channels);
  }
  Image image = NewImage(source);
  if (self.channels == 3) {
    if (!ReadRows(&self, image.rgb.data(), row_bytes, width, height, nullptr)) Fail(self, source);
  } else {
    // Interlaced passes fill the picture in seven rounds and need all of it; else one row at a
    // time.
    const bool whole = self.passes > 1;
    std::vector<uint8_t> rgba(whole ? row_bytes * height : row_bytes);
    if (!ReadRows(&self, rgba.data(), whole ? row_bytes : 0, width, height, image.rgb.data())) {
      Fail(self, source);
    }
    if (whole) CompositeOnWhite(rgba.data(), width * height, image.rgb.data());
  }
  CheckPalette(self, source);
  return image;
}

}  // namespace ingot::vision
