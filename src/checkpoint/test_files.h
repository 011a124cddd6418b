// SPDX-License-Identifier: Apache-2.0
// Helpers of this folder's tests: a scratch folder, hand-made safetensors bytes, expected errors.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/error.h"

namespace ingot {

class ScratchDir {
 public:
  ScratchDir() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    static int count = 0;
    path_ =
        std::filesystem::temp_directory_path() /
        fmt::format("ingot-{}-{}-{}-{}", getpid(), info->test_suite_name(), info->name(), count++);
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~ScratchDir() { std::filesystem::remove_all(path_); }
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path Write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

inline std::string Slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::filesystem::path TestData(const std::string& name) {
  return std::filesystem::path(INGOT_TEST_DATA) / name;
}

// The length field and then `header` as it is.
inline std::string WithLength(const std::string& header) {
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(uint64_t{header.size()} >> (8 * i));
  return bytes + header;
}

// Runs `body`, which must throw E with a message that matches.
template <typename E, typename Body>
void ExpectError(Body body, const testing::Matcher<const std::string&>& message) {
  try {
    body();
    FAIL() << "nothing was thrown";
  } catch (const E& error) {
    EXPECT_THAT(std::string(error.what()), message);
  } catch (const std::exception& error) {
    FAIL() << "another error: " << error.what();
  }
}

}  // namespace ingot
