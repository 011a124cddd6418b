// SPDX-License-Identifier: Apache-2.0
#include "prompt/picture_files.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <span>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "vision/image.h"

namespace ingot {

bool HasPictureExtension(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](unsigned char c) { return std::tolower(c); });
  constexpr std::array<std::string_view, 6> kKnown = {".jpg",  ".jpeg", ".png",
                                                      ".webp", ".gif",  ".bmp"};
  return std::ranges::find(kKnown, extension) != kKnown.end();
}

std::string PictureDefect(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) return "does not exist";
  if (!std::filesystem::is_regular_file(status)) return "is no file";
  std::ifstream file(path, std::ios::binary);
  if (!file) return "cannot be read";
  std::array<char, 64> head{};
  file.read(head.data(), head.size());
  const std::span<const char> read(head.data(), static_cast<size_t>(file.gcount()));
  if (!LooksLikeImage(std::as_bytes(read))) return "is no JPEG, PNG, WebP, GIF or BMP picture";
  return "";
}

PictureIndex::PictureIndex(const std::filesystem::path& dir) : dir_(dir) {
  for (const std::filesystem::path& path : ListFiles(dir)) {
    if (!HasPictureExtension(path)) continue;
    names_.insert(path.filename().string());
    by_stem_.emplace(path.stem().string(), path.filename().string());
  }
}

std::filesystem::path PictureIndex::Find(const std::string& id, std::string* problem) const {
  if (names_.contains(id)) return dir_ / id;
  const auto [begin, end] = by_stem_.equal_range(id);
  if (begin == end) {
    *problem =
        fmt::format("no picture named \"{}\" with a known extension in {}", id, dir_.string());
    return {};
  }
  if (std::next(begin) != end) {
    *problem = fmt::format("two pictures for \"{}\" in {}: {} and {}", id, dir_.string(),
                           begin->second, std::next(begin)->second);
    return {};
  }
  return dir_ / begin->second;
}

}  // namespace ingot
