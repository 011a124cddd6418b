// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/mapped_file.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

class FilesTest : public testing::Test {
 protected:
  FilesTest() : dir_(fs::temp_directory_path() / ("ingot_files_" + std::to_string(getpid()))) {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  ~FilesTest() override { fs::remove_all(dir_); }
  fs::path dir_;
};

TEST_F(FilesTest, AtomicFileAppearsOnlyOnCommit) {
  const auto path = dir_ / "a.bin";
  {
    AtomicFile file(path, AtomicFile::Mode::kFresh);
    file.Resize(8);
    file.WriteAt(4, std::as_bytes(std::span("abcd", 4)));
    EXPECT_FALSE(fs::exists(path));
  }
  EXPECT_TRUE(fs::exists(AtomicFile::PartialPath(path)));  // kept for a resumed run
  {
    AtomicFile file(path, AtomicFile::Mode::kResume);
    file.WriteAt(0, std::as_bytes(std::span("1234", 4)));
    file.Commit();
  }
  EXPECT_EQ(ReadFile(path), "1234abcd");
  EXPECT_FALSE(fs::exists(AtomicFile::PartialPath(path)));
}

TEST_F(FilesTest, AtomicFileFailsWithTheFolderNamed) {
  try {
    WriteFileAtomically(dir_ / "missing" / "x", "data");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kResource);
    EXPECT_THAT(error.what(), testing::HasSubstr("missing/x"));
  }
}

TEST_F(FilesTest, ReadFileIsBounded) {
  WriteFileAtomically(dir_ / "x", "12345");
  EXPECT_EQ(ReadFile(dir_ / "x", 5), "12345");
  EXPECT_THROW(ReadFile(dir_ / "x", 4), UserError);
  EXPECT_THROW(ReadFile(dir_), UserError);
  EXPECT_THROW(ReadFile(dir_ / "absent"), UserError);
  ASSERT_EQ(mkfifo((dir_ / "fifo").c_str(), 0600), 0);
  EXPECT_THROW(ReadFile(dir_ / "fifo"), UserError);
}

TEST_F(FilesTest, MappedFileShowsTheBytes) {
  WriteFileAtomically(dir_ / "x", std::string(100000, 'q'));
  const MappedFile file(dir_ / "x");
  ASSERT_EQ(file.bytes().size(), 100000u);
  file.Drop(file.bytes());
  file.Prefetch(file.bytes());
  EXPECT_EQ(file.bytes()[99999], std::byte{'q'});
  WriteFileAtomically(dir_ / "empty", "");
  EXPECT_TRUE(MappedFile(dir_ / "empty").bytes().empty());
  EXPECT_THROW(MappedFile(dir_ / "absent"), UserError);
  EXPECT_THROW(MappedFile{dir_}, UserError);
}

TEST_F(FilesTest, ListFilesSortsBytewise) {
  for (const char* name : {"b", "a10", "a2", "B"}) WriteFileAtomically(dir_ / name, "");
  fs::create_directory(dir_ / "folder");
  std::vector<std::string> names;
  for (const auto& path : ListFiles(dir_)) names.push_back(path.filename());
  EXPECT_THAT(names, testing::ElementsAre("B", "a10", "a2", "b"));
  EXPECT_THROW(ListFiles(dir_ / "absent"), UserError);
}

TEST(HumanText, Units) {
  EXPECT_EQ(HumanBytes(999), "999 B");
  EXPECT_EQ(HumanBytes(1000), "1.00 kB");
  EXPECT_EQ(HumanBytes(12420000000), "12.4 GB");
  EXPECT_EQ(HumanBytes(999999), "1.00 MB");
  EXPECT_EQ(HumanSeconds(0.84), "0.8 s");
  EXPECT_EQ(HumanSeconds(42.4), "42 s");
  EXPECT_EQ(HumanSeconds(183), "3 min 03 s");
  EXPECT_EQ(HumanSeconds(3780), "1 h 03 min");
  EXPECT_GT(PeakResidentBytes(), 1u << 20);
  EXPECT_GT(FreeDiskBytes("/tmp/not/yet/there"), 0u);
}

}  // namespace
}  // namespace ingot
