// SPDX-License-Identifier: Apache-2.0
// SHA-256 against the examples of FIPS 180-4 (NIST) and against itself fed in pieces.
#include "base/sha256.h"

#include <gtest/gtest.h>

#include <string>

namespace ingot {
namespace {

std::string HashOf(const std::string& text) { return Sha256Hex(std::as_bytes(std::span(text))); }

TEST(Sha256Test, PublishedExamples) {
  EXPECT_EQ(HashOf(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(HashOf("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HashOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(HashOf(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, PiecesGiveTheSameDigest) {
  for (size_t length : {1, 55, 56, 57, 63, 64, 65, 119, 120, 128, 300}) {
    std::string text;
    for (size_t i = 0; i < length; ++i) text += static_cast<char>(i * 7);
    Sha256 whole, pieces;
    const auto bytes = std::as_bytes(std::span(text));
    whole.Update(bytes);
    for (size_t i = 0; i < length; i += 13)
      pieces.Update(bytes.subspan(i, std::min<size_t>(13, length - i)));
    EXPECT_EQ(whole.Finish(), pieces.Finish()) << length;
  }
}

}  // namespace
}  // namespace ingot
