// SPDX-License-Identifier: Apache-2.0
// Finding picture files for data sets. Private to prompt/.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>

namespace ingot {

// .jpg, .jpeg, .png, .webp, .gif, .bmp in any case.
bool HasPictureExtension(const std::filesystem::path& path);

// "" when `path` is a file that begins like a picture; else what is wrong with it ("does not
// exist", ...).
std::string PictureDefect(const std::filesystem::path& path);

// Pictures of a folder by name without extension, as TextVQA refers to them.
class PictureIndex {
 public:
  // Errors: UserError when `dir` is no readable folder.
  explicit PictureIndex(const std::filesystem::path& dir);

  // The file of `id` (with or without extension). "" and a text in `problem` when there is none or
  // more than one.
  std::filesystem::path Find(const std::string& id, std::string* problem) const;
  size_t size() const { return names_.size(); }

 private:
  std::filesystem::path dir_;
  std::set<std::string> names_;
  std::multimap<std::string, std::string> by_stem_;
};

}  // namespace ingot
