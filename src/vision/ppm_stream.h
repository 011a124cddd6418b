// SPDX-License-Identifier: Apache-2.0
// A stream of binary PPM pictures ("P6", width, height, 255, RGB bytes: netpbm's ppm(5)), as ffmpeg
// writes frames to a pipe. Private to vision/.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "vision/image.h"

namespace ingot::vision {

class PpmStream {
 public:
  PpmStream(std::string name, uint64_t max_pixels, std::function<void(Image&&)> on_frame)
      : name_(std::move(name)), max_pixels_(max_pixels), on_frame_(std::move(on_frame)) {}

  // Any piece of the stream; calls on_frame for each picture that it completes. Errors:
  // FormatError.
  void Feed(std::span<const uint8_t> bytes);
  // FormatError when the stream ends inside a picture.
  void Finish() const;

 private:
  void ParseHeader();
  std::string name_;
  uint64_t max_pixels_;
  std::function<void(Image&&)> on_frame_;
  std::string header_;  // what has come of the current header
  Image image_;         // empty until the header is complete
  size_t filled_ = 0;   // bytes of image_.rgb that have come
};

}  // namespace ingot::vision
