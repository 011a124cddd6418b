// SPDX-License-Identifier: Apache-2.0
#include "convert/folder_transaction.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/files.h"
#include "checkpoint/json_value.h"

namespace ingot {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMaxListBytes = 1u << 20;

std::function<void(const std::string&)>& StepHook() {
  static std::function<void(const std::string&)> hook;
  return hook;
}

void Step(const std::string& name) {
  if (StepHook()) StepHook()(name);
}

void SyncFolder(const fs::path& dir) {
  const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;  // what cannot be opened cannot be synced; the renames themselves are done
  fsync(fd);
  close(fd);
}

// One process at a time. File systems without locks go unprotected: they cannot tell.
int Lock(const fs::path& dir) {
  const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    throw UserError("{}: cannot open the folder: {}. Check the path and its permissions.",
                    dir.string(), std::strerror(errno));
  }
  if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    close(fd);
    throw ResourceError("{}: another ingot convert works in this folder. Wait until it ends.",
                        dir.string());
  }
  return fd;
}

std::string ListText(const std::vector<std::string>& replace,
                     const std::vector<std::string>& remove) {
  const auto array = [](const std::vector<std::string>& names) {
    std::string text = "[";
    for (const std::string& name : names) text += (text.size() > 1 ? ", " : "") + JsonQuote(name);
    return text + "]";
  };
  return "{\"replace\": " + array(replace) + ",\n \"remove\": " + array(remove) + "}\n";
}

// A name that stays inside the folder and away from the staging area.
bool IsPlainName(const std::string& name) {
  return !name.empty() && name.size() < 256 && name != "." && name != ".." &&
         name != kStagingName && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

std::vector<std::string> ReadNames(const JsonValue& list, const char* key, const fs::path& path) {
  const JsonValue* array = list.Find(key);
  std::vector<std::string> names;
  bool good = array != nullptr && array->kind == JsonValue::Kind::kArray;
  if (good) {
    for (const JsonValue& item : array->items) {
      good = good && item.IsString() && IsPlainName(item.text);
      names.push_back(item.text);
    }
  }
  if (!good) {
    throw FormatError(
        "{}: \"{}\" is no list of file names, so the interrupted conversion cannot be finished. "
        "Remove the folder {} and "
        "check which files are complete (ingot check).",
        path.string(), key, path.parent_path().string());
  }
  return names;
}

}  // namespace

void FolderTransaction::SetStepHookForTest(std::function<void(const std::string&)> hook) {
  StepHook() = std::move(hook);
}

FolderTransaction::FolderTransaction(const fs::path& dir)
    : dir_(dir), staging_(dir / kStagingName), files_(staging_ / "files") {
  lock_ = Lock(dir_);
  try {
    if (fs::exists(staging_ / "commit.json")) {
      const JsonValue list = ReadJsonObject(staging_ / "commit.json", kMaxListBytes);
      replace_ = ReadNames(list, "replace", staging_ / "commit.json");
      remove_ = ReadNames(list, "remove", staging_ / "commit.json");
      RollForward();
      rolled_forward_ = true;
    } else {
      Discard();
    }
  } catch (...) {
    close(lock_);
    throw;
  }
}

FolderTransaction::~FolderTransaction() {
  std::error_code ignored;
  if (!fs::exists(staging_ / "commit.json", ignored)) Discard();
  if (lock_ >= 0) close(lock_);
}

void FolderTransaction::Discard() {
  std::error_code ignored;
  fs::remove_all(staging_, ignored);
}

void FolderTransaction::Begin() {
  replace_.clear();
  remove_.clear();
  std::error_code error;
  fs::create_directories(files_, error);
  if (error) {
    throw ResourceError(
        "{}: cannot write into the folder: {}. Make it writable (chmod u+w) or convert into "
        "another "
        "folder with -o.",
        dir_.string(), error.message());
  }
}

void FolderTransaction::Replace(const std::string& name) {
  if (!IsPlainName(name)) throw InternalError("transaction: bad file name {}", name);
  if (std::find(replace_.begin(), replace_.end(), name) == replace_.end()) replace_.push_back(name);
}

void FolderTransaction::Remove(const std::string& name) {
  if (!IsPlainName(name)) throw InternalError("transaction: bad file name {}", name);
  remove_.push_back(name);
}

void FolderTransaction::Commit() {
  Step("staged");
  SyncFolder(files_);
  std::erase_if(remove_, [&](const std::string& name) {
    return std::find(replace_.begin(), replace_.end(), name) != replace_.end();
  });
  WriteFileAtomically(staging_ / "commit.json", ListText(replace_, remove_));
  Step("list");
  RollForward();
}

void FolderTransaction::RollForward() {
  for (const std::string& name : replace_) {
    if (!fs::exists(fs::symlink_status(files_ / name))) continue;  // done before the interruption
    Step("rename " + name);
    std::error_code error;
    fs::rename(files_ / name, dir_ / name, error);
    if (error) {
      throw ResourceError(
          "{}: cannot replace the file: {}. Make the folder writable and run the same command "
          "again to "
          "finish.",
          (dir_ / name).string(), error.message());
    }
  }
  for (const std::string& name : remove_) {
    Step("remove " + name);
    std::error_code error;
    fs::remove(dir_ / name, error);
    if (error) {
      throw ResourceError(
          "{}: cannot remove the old file: {}. Make the folder writable and run the same command "
          "again "
          "to finish.",
          (dir_ / name).string(), error.message());
    }
  }
  SyncFolder(dir_);
  Step("unlist");
  fs::remove(staging_ / "commit.json");
  SyncFolder(staging_);
  Step("discard");
  Discard();
}

}  // namespace ingot
