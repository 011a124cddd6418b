// SPDX-License-Identifier: Apache-2.0
// A conversation as plain structs: turns of text, pictures and videos.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ingot {

// Frames of a video that somebody sampled already. `indices` are positions in the original video,
// one per frame.
struct SampledFrames {
  std::vector<std::filesystem::path> frames;  // picture files in time order
  // The encoded pictures when they are not on disk; then `frames` has their names for messages.
  std::vector<std::shared_ptr<const std::string>> bytes;
  std::vector<int64_t> indices;
  double fps = 0;            // of the original video
  int64_t total_frames = 0;  // of the original video; 0: the last index + 1
};

struct Part {
  enum class Kind { kText, kImage, kVideo };
  Kind kind = Kind::kText;
  std::string text;            // kText
  std::filesystem::path path;  // kImage, kVideo: the file; also names the picture in messages
  std::shared_ptr<const std::string>
      bytes;  // kImage: the encoded file when it is not on disk (wins over `path`)
  std::shared_ptr<const SampledFrames>
      sampled;  // kVideo: given frames instead of a file (wins over `path`)

  static Part Text(std::string text) {
    Part part;
    part.text = std::move(text);
    return part;
  }
  static Part Image(std::filesystem::path path) {
    Part part;
    part.kind = Kind::kImage;
    part.path = std::move(path);
    return part;
  }
  static Part ImageBytes(std::string name, std::string bytes) {
    Part part = Image(std::move(name));
    part.bytes = std::make_shared<const std::string>(std::move(bytes));
    return part;
  }
  static Part Video(std::filesystem::path path) {
    Part part;
    part.kind = Kind::kVideo;
    part.path = std::move(path);
    return part;
  }
};

struct Message {
  std::string role;  // "system", "user", "assistant", "tool"
  std::vector<Part> parts;
  std::string
      extra_json;  // "" or a JSON object of further keys (tool_calls, reasoning_content, name)
};

using Conversation = std::vector<Message>;

}  // namespace ingot
