// SPDX-License-Identifier: Apache-2.0
// A conversion that dies at any moment: afterwards the folder is the old one or one that the same
// command completes, and the completed bytes are those of an undisturbed run.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <map>
#include <string>
#include <thread>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "convert/convert.h"
#include "convert/folder_transaction.h"
#include "convert/test_folders.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using namespace ingot::testing;  // NOLINT

class ConvertCrash : public ::testing::Test {
 protected:
  void SetUp() override {
    SetProgressStyle(ProgressStyle::kNone);
    SetNumThreads(1);  // a forked child has no pool
    FolderLayout layout{Target::kAscendV0, {}};
    layout.options.run_dtype = DType::kF16;
    // Several files appear, change and go away: shards, their index, the older description name.
    layout.options.shard_bytes = 1'000'000;
    QuantizeForTest(model_, fresh_.path(), layout);
    fs::rename(fresh_ / "quant_model_description.json",
               fresh_ / "quant_model_description_w8a8.json");
    CopyFolder(fresh_.path(), done_.path());
    Run(done_.path());
    expected_ = Contents(done_.path());
    original_ = Contents(fresh_.path());
  }

  void Run(const fs::path& dir) const {
    ConvertOptions options;
    options.original_dir = model_;
    ConvertInPlace(dir, Target::kGoldenStick310, options);
  }

  // The command in a process of its own; `before` runs there first.
  pid_t Start(const fs::path& dir, const std::function<void()>& before) const {
    const pid_t child = fork();
    if (child != 0) return child;
    try {
      before();
      Run(dir);
    } catch (...) {
      _exit(3);
    }
    _exit(0);
  }

  void ExpectCompletes(const fs::path& dir, const std::string& when) const {
    Run(dir);
    EXPECT_EQ(Contents(dir), expected_) << when;
    EXPECT_FALSE(fs::exists(dir / kStagingName)) << when;
  }

  const fs::path model_ = TestModel("mini-qwen3-vl-untied");
  TempFolder fresh_, done_;
  std::map<std::string, std::string> expected_, original_;
};

TEST_F(ConvertCrash, AtEveryStepOfTheCommit) {
  int n_steps = 0;
  for (bool finished = false; !finished; ++n_steps) {
    TempFolder dir;
    CopyFolder(fresh_.path(), dir.path());
    const pid_t child = Start(dir.path(), [n_steps] {
      FolderTransaction::SetStepHookForTest([left = n_steps](const std::string&) mutable {
        if (left-- == 0) kill(getpid(), SIGKILL);
      });
    });
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    finished = WIFEXITED(status);
    ASSERT_TRUE(!finished || WEXITSTATUS(status) == 0);
    if (n_steps == 0) {
      EXPECT_EQ(Contents(dir.path()), original_) << "before the commit list nothing changes";
    }
    ExpectCompletes(dir.path(), "killed before step " + std::to_string(n_steps));
  }
  EXPECT_GT(n_steps, 10);
}

// An interrupted roll-forward is itself rolled forward.
TEST_F(ConvertCrash, TwiceInARow) {
  for (int second = 0; second < 6; ++second) {
    TempFolder dir;
    CopyFolder(fresh_.path(), dir.path());
    for (const int steps : {3, second}) {
      const pid_t child = Start(dir.path(), [steps] {
        FolderTransaction::SetStepHookForTest([left = steps](const std::string&) mutable {
          if (left-- == 0) kill(getpid(), SIGKILL);
        });
      });
      ASSERT_EQ(waitpid(child, nullptr, 0), child);
    }
    ExpectCompletes(dir.path(), "second " + std::to_string(second));
  }
}

TEST_F(ConvertCrash, AtRandomMoments) {
  const auto start = std::chrono::steady_clock::now();
  TempFolder timing;
  CopyFolder(fresh_.path(), timing.path());
  ASSERT_EQ(waitpid(Start(timing.path(), [] {}), nullptr, 0) > 0, true);
  const auto whole = std::chrono::steady_clock::now() - start;
  for (int i = 0; i < 25; ++i) {
    TempFolder dir;
    CopyFolder(fresh_.path(), dir.path());
    const pid_t child = Start(dir.path(), [] {});
    std::this_thread::sleep_for(whole * i / 24);
    kill(child, SIGKILL);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    ExpectCompletes(dir.path(), "killed at " + std::to_string(i) + "/24 of the run");
  }
}

}  // namespace
}  // namespace ingot
