// SPDX-License-Identifier: Apache-2.0
// `ingot serve` on the bundled model for a suite of hostile requests: each test must leave a server
// that answers, with nothing running, all pages free, and no more files open than before. Test code
// only.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "served_process.h"

namespace ingot::server {

using namespace std::chrono_literals;

inline const std::filesystem::path kModel =
    std::filesystem::path(INGOT_TEST_DATA) / "models" / "tiny-qwen3-vl";

inline std::string Chat(const std::string& more, const std::string& content = "\"Hi\"") {
  return Post("/v1/chat/completions",
              R"({"model":"tiny","max_tokens":3,"messages":[{"role":"user","content":)" + content +
                  "}]" + (more.empty() ? "" : "," + more) + "}");
}
inline std::string Completion(const std::string& fields) {
  return Post("/v1/completions", R"({"model":"tiny",)" + fields + "}");
}
inline std::string Picture(const std::string& url) {
  return R"([{"type":"image_url","image_url":{"url":")" + url +
         R"("}},{"type":"text","text":"?"}])";
}
inline std::string Repeat(std::string_view text, int n) {
  std::string all;
  for (int i = 0; i < n; ++i) all += text;
  return all;
}

class ServeAttack : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    served_ = std::make_unique<ServedProcess>(
        INGOT_PROGRAM,
        std::vector<std::string>{kModel, "--served-model-name", "tiny", "--max-model-len", "1024",
                                 "--kv-cache-memory-bytes", "64MiB", "--disable-log-stats"},
        std::filesystem::temp_directory_path() / "ingot_serve_attack_test");
  }
  static void TearDownTestSuite() {
    if (served_->port() != 0) {
      EXPECT_EQ(served_->Stop(SIGTERM), 0);
    }
    served_.reset();
  }
  void SetUp() override {
    ASSERT_NE(served_->port(), 0) << served_->log();
    ASSERT_EQ(StatusOf(served_->Ask(Chat(""))), 200);
    ASSERT_TRUE(served_->Idle());
    files_ = OpenFiles(served_->pid());
  }
  void TearDown() override {
    ASSERT_TRUE(served_->alive()) << served_->log();
    const std::string answer = served_->Ask(Chat(""));
    EXPECT_EQ(StatusOf(answer), 200) << "the next normal request: " << answer;
    EXPECT_TRUE(served_->Idle());
    // Keep-alive connections of this test may still be closing.
    EXPECT_TRUE(Eventually([&] { return OpenFiles(served_->pid()) <= files_ + 2; }));
  }
  // A clean 4xx that says nothing of the inside.
  void Refused(const std::string& request) {
    const std::string answer = served_->Ask(request);
    const int status = StatusOf(answer);
    EXPECT_TRUE(status >= 400 && status < 500)
        << status << " for " << BodyOf(request).substr(0, 200) << "\n"
        << answer.substr(0, 400);
    for (const char* inside : {"0x", "/root", "/home", "std::", "nlohmann", "tests/data"}) {
      EXPECT_EQ(BodyOf(answer).find(inside), std::string::npos) << BodyOf(answer).substr(0, 400);
    }
  }
  // Odd, and answered or refused: never a 5xx or a dead server.
  void Survived(const std::string& request) {
    const std::string answer = served_->Ask(request);
    const int status = StatusOf(answer);
    EXPECT_TRUE(status >= 200 && status < 500)
        << status << " for " << BodyOf(request).substr(0, 200) << "\n"
        << answer.substr(0, 400);
  }
  static inline std::unique_ptr<ServedProcess> served_;
  int files_ = 0;
};

}  // namespace ingot::server
