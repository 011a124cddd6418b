// SPDX-License-Identifier: Apache-2.0
#include "quant/journal.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "quant/spill_file.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

class JournalTest : public testing::Test {
 protected:
  JournalTest() : dir_(fs::temp_directory_path() / ("ingot_journal_" + std::to_string(getpid()))) {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  ~JournalTest() override { fs::remove_all(dir_); }
  fs::path dir_;
};

TEST_F(JournalTest, KeepsCompleteLinesAndCutsATornOne) {
  {
    Journal journal(dir_ / "j", "fingerprint");
    EXPECT_FALSE(journal.resumed());
    journal.Append("one");
    journal.Append("two");
  }
  std::ofstream(dir_ / "j", std::ios::app) << "thr";  // killed in the middle of a line
  {
    Journal journal(dir_ / "j", "fingerprint");
    EXPECT_TRUE(journal.resumed());
    EXPECT_EQ(journal.entries(), (std::vector<std::string>{"one", "two"}));
    journal.Append("three");
  }
  EXPECT_EQ(ReadFile(dir_ / "j"), "fingerprint\none\ntwo\nthree\n");
}

TEST_F(JournalTest, TornFirstLineStartsAfresh) {
  std::ofstream(dir_ / "j") << "finger";
  Journal journal(dir_ / "j", "fingerprint");
  EXPECT_FALSE(journal.resumed());
  EXPECT_EQ(ReadFile(dir_ / "j"), "fingerprint\n");
}

TEST_F(JournalTest, RefusesAnotherRun) {
  { Journal journal(dir_ / "j", "a"); }
  EXPECT_THROW(Journal(dir_ / "j", "b"), UserError);
}

TEST_F(JournalTest, SpillKeepsValuesOverReopening) {
  const std::vector<float> values{1, 2, 3};
  {
    SpillFile spill(dir_ / "s");
    spill.Write(97, values);
    spill.Sync();
  }
  SpillFile spill(dir_ / "s");
  std::vector<float> back(3);
  spill.Read(97, back);
  EXPECT_EQ(back, values);
  EXPECT_THROW(spill.Read(98, back), ResourceError);
}

}  // namespace
}  // namespace ingot
