// SPDX-License-Identifier: Apache-2.0
// Deterministic damage to every sample picture: whatever the bytes, the decoder gives a picture of
// the promised size or a FormatError. Meant for the sanitizer build.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <random>

#include "base/log.h"
#include "vision/test_pictures.h"

namespace ingot {
namespace {

using namespace vision_test;

// Per sample; INGOT_FUZZ_ITERATIONS=20000 for a long run.
int Iterations() {
  const char* text = std::getenv("INGOT_FUZZ_ITERATIONS");
  return text != nullptr ? std::atoi(text) : 300;
}

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  std::string Mutate(std::string file) {
    const int n = 1 + static_cast<int>(Below(4));
    for (int i = 0; i < n && !file.empty(); ++i) MutateOnce(&file);
    return file;
  }
  bool Coin() { return Below(2) == 1; }

 private:
  size_t Below(size_t n) { return n == 0 ? 0 : random_() % n; }
  // Headers are small and decide most: half of the hits go to the first 128 bytes.
  size_t Place(const std::string& file) {
    return Coin() ? Below(file.size()) : Below(std::min<size_t>(128, file.size()));
  }

  void MutateOnce(std::string* file) {
    static constexpr unsigned char kEdges[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
    const size_t at = Place(*file);
    switch (Below(7)) {
      case 0:
        (*file)[at] ^= static_cast<char>(1 << Below(8));
        break;
      case 1:
        (*file)[at] = static_cast<char>(kEdges[Below(6)]);
        break;
      case 2:
        (*file)[at] = static_cast<char>(random_());
        break;
      case 3:
        file->resize(at);
        break;
      case 4:
        file->erase(at, 1 + Below(16));
        break;
      case 5:
        file->insert(at, std::string(1 + Below(8), static_cast<char>(random_())));
        break;
      case 6:
        file->insert(Place(*file), file->substr(at, Below(64)));
        break;
    }
  }
  std::mt19937 random_;
};

// PNG checksums would stop nearly all damage at the door: sets them right again, chunk by chunk.
std::string RepairPng(std::string file) {
  for (size_t at = 8; at + 12 <= file.size();) {
    uint32_t length = 0;
    for (int i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(file[at + i]);
    if (length > file.size() - at - 12) break;
    file.replace(at + 8 + length, 4, Be32(Crc32(file.substr(at + 4, 4 + length))));
    at += 12 + length;
  }
  return file;
}

void TryDecode(const std::string& file, const DecodeOptions& options, int* n_refused) {
  try {
    const Image image = DecodeImage(Bytes(file), options, "damaged");
    EXPECT_GT(image.width, 0);
    EXPECT_GT(image.height, 0);
    EXPECT_EQ(static_cast<int64_t>(image.rgb.size()), image.width * image.height * 3);
  } catch (const FormatError& error) {
    ++*n_refused;
  }
}

std::vector<std::pair<std::string, std::string>> Samples() {
  std::vector<std::pair<std::string, std::string>> samples;
  for (const auto& path : ListFiles(kPictures)) {
    if (path.filename() == "large.png") continue;  // slow, and no other code than the small ones
    samples.emplace_back(path.filename().string(), ReadFile(path));
  }
  samples.emplace_back("anim.webp", ReadFile(kExtra + "anim.webp"));
  const std::string palette("\1\2\3\0\x0b\x0c\x0d\0", 8);
  samples.emplace_back("24.bmp",
                       MakeBmp({.width = 9, .height = 7, .pixels = std::string(28 * 7, 'x')}));
  samples.emplace_back(
      "8.bmp",
      MakeBmp({.bits = 8, .palette = palette, .pixels = std::string("\1\0\0\0\0\1\0\0", 8)}));
  samples.emplace_back("rle8.bmp",
                       MakeBmp({.width = 3,
                                .bits = 8,
                                .compression = 1,
                                .palette = palette,
                                .pixels = std::string("\3\1\0\0\0\3\0\1\1\0\0\1", 12)}));
  samples.emplace_back("rle4.bmp",
                       MakeBmp({.width = 5,
                                .bits = 4,
                                .compression = 2,
                                .palette = palette,
                                .pixels = std::string("\5\x10\0\0\0\2\1\0\1\x10\0\1", 12)}));
  samples.emplace_back("565.bmp", MakeBmp({.bits = 16,
                                           .compression = 3,
                                           .masks = Le32(0xf800) + Le32(0x07e0) + Le32(0x1f),
                                           .pixels = std::string(8, 'x')}));
  return samples;
}

TEST(DecodeFuzzSmoke, DamagedPicturesGiveFormatErrorOrAPicture) {
  SetLogLevel(LogLevel::kError);  // accepted damage is not news here
  const int n_iterations = Iterations();
  int n_total = 0, n_refused = 0;
  for (const auto& [name, file] : Samples()) {
    SCOPED_TRACE(name);
    Mutator mutator(0x1234u + static_cast<uint32_t>(file.size()));
    for (int i = 0; i < n_iterations; ++i) {
      DecodeOptions options;
      options.max_pixels = 1'000'000;
      options.alpha = mutator.Coin() ? AlphaPolicy::kDrop : AlphaPolicy::kWhite;
      options.accept_damaged = mutator.Coin();
      std::string damaged = mutator.Mutate(file);
      if (name.ends_with(".png") && i % 2 == 0 && damaged.size() > 8) damaged = RepairPng(damaged);
      TryDecode(damaged, options, &n_refused);
      ++n_total;
    }
  }
  std::printf("%d damaged pictures, %d refused\n", n_total, n_refused);
  EXPECT_GT(n_refused, n_total / 3);
}

}  // namespace
}  // namespace ingot
