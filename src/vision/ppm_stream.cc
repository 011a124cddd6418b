// SPDX-License-Identifier: Apache-2.0
#include "vision/ppm_stream.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/error.h"

namespace ingot::vision {
namespace {

constexpr size_t kMaxHeader = 64;

// The number at *at of `text` and the one white-space character behind it; -1 when there is none.
int64_t TakeNumber(const std::string& text, size_t* at) {
  int64_t value = -1;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + *at, end, value);
  if (error != std::errc() || stop == end || (*stop != ' ' && *stop != '\n')) return -1;
  *at = static_cast<size_t>(stop - text.data()) + 1;
  return value;
}

}  // namespace

// ffmpeg writes "P6\n<width> <height>\n255\n": complete after the third line feed.
void PpmStream::ParseHeader() {
  size_t at = 3;
  const int64_t width = header_.starts_with("P6\n") ? TakeNumber(header_, &at) : -1;
  const int64_t height = width > 0 ? TakeNumber(header_, &at) : -1;
  const int64_t max_value = height > 0 ? TakeNumber(header_, &at) : -1;
  if (max_value != 255 || at != header_.size()) {
    throw FormatError("{}: unexpected frame header '{}' from ffmpeg", name_,
                      header_.substr(0, header_.find('\n')));
  }
  if (width > static_cast<int64_t>(max_pixels_) / height) {
    throw FormatError(
        "{}: frames of {} x {} pixels are more than the limit of {} pixels. Scale the video down.",
        name_, width, height, max_pixels_);
  }
  image_ = {width, height, std::vector<uint8_t>(width * height * 3)};
  filled_ = 0;
  header_.clear();
}

void PpmStream::Feed(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    if (image_.rgb.empty()) {
      header_ += static_cast<char>(bytes[0]);
      bytes = bytes.subspan(1);
      if (header_.size() > kMaxHeader) {
        throw FormatError("{}: unexpected frame data from ffmpeg", name_);
      }
      if (std::count(header_.begin(), header_.end(), '\n') == 3) ParseHeader();
      continue;
    }
    const size_t n = std::min(bytes.size(), image_.rgb.size() - filled_);
    std::memcpy(image_.rgb.data() + filled_, bytes.data(), n);
    filled_ += n;
    bytes = bytes.subspan(n);
    if (filled_ == image_.rgb.size()) {
      on_frame_(std::move(image_));
      image_ = {};
    }
  }
}

void PpmStream::Finish() const {
  if (!image_.rgb.empty() || !header_.empty()) {
    throw FormatError("{}: ffmpeg stopped in the middle of a frame", name_);
  }
}

}  // namespace ingot::vision
