// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4): keys and checksums where a collision could profit somebody, and the hashes
// of golden data.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace ingot {

class Sha256 {
 public:
  Sha256();
  void Update(std::span<const std::byte> bytes);
  std::array<uint8_t, 32> Finish();  // the object is spent afterwards

 private:
  void Block(const uint8_t* block);
  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> buffer_{};
  uint64_t n_bytes_ = 0;
};

// The digest as 64 lower-case hexadecimal digits.
std::string Sha256Hex(std::span<const std::byte> bytes);

}  // namespace ingot
