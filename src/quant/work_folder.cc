// SPDX-License-Identifier: Apache-2.0
#include "quant/work_folder.h"

#include <system_error>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/files.h"
#include "quant/folder_writer.h"
#include "quant/pipeline.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

constexpr char kJournalName[] = "ingot_journal.jsonl";
constexpr uint64_t kMaxJournalBytes = 256u << 20;

bool HasFinishedBlock(const fs::path& journal) {
  const std::string text = ReadFile(journal, kMaxJournalBytes);
  for (size_t at = 0; (at = text.find("{\"done\":\"", at)) != std::string::npos; ++at) {
    if (text.compare(at, 17, "{\"done\":\"prepare\"") != 0) return true;
  }
  return false;
}

void RequireEmpty(const fs::path& out_dir) {
  std::error_code error;
  if (!fs::exists(out_dir, error)) return;
  if (!fs::is_directory(out_dir, error)) {
    throw UserError("{}: exists and is no folder. Choose another output folder.", out_dir.string());
  }
  if (fs::is_empty(out_dir, error) && !error) return;
  if (error) throw UserError("{}: cannot look into the folder: {}.", out_dir.string(), error.message());
  throw UserError("{}: the output folder is not empty. Choose another one, or delete it first.", out_dir.string());
}

// "OUT.partial" must be ours: with a journal, or whole (killed after the journal was removed), or empty. A whole one without
// a journal is written again.
void RequireOwn(const fs::path& dir) {
  if (fs::exists(dir / kJournalName) || fs::is_empty(dir)) return;
  if (!LooksComplete(dir)) {
    throw UserError("{}: the folder for unfinished work exists, but holds no journal of an earlier run. Delete it, or "
                    "choose another output folder.",
                    dir.string());
  }
  for (const auto& file : ListFiles(dir)) fs::remove(file);
}

// An unfinished run of another command that has not finished a block yet (say, it stopped at a bad picture) must not stand
// in the way of the corrected command.
void DropWorthless(const fs::path& dir, const std::string& fingerprint) {
  const fs::path journal = dir / kJournalName;
  if (!fs::exists(journal) || Journal::FingerprintOf(journal) == fingerprint || HasFinishedBlock(journal)) return;
  fs::remove_all(dir);
  fs::create_directories(dir);
}

// Weight files that an interrupted commit had already given their final names go back to the writer.
void TakeBackCommitted(const fs::path& dir) {
  for (const auto& file : ListFiles(dir)) {
    if (file.extension() == ".safetensors") fs::rename(file, AtomicFile::PartialPath(file));
  }
}

}  // namespace

fs::path WorkDir(const fs::path& out_dir) {
  fs::path normal = fs::absolute(out_dir).lexically_normal();
  if (normal.filename().empty()) normal = normal.parent_path();
  return fs::path(normal.string() + ".partial");
}

WorkFolder::WorkFolder(const fs::path& out_dir, const std::string& fingerprint)
    : out_dir_(fs::absolute(out_dir).lexically_normal()), dir_(WorkDir(out_dir)) {
  if (out_dir_.filename().empty()) out_dir_ = out_dir_.parent_path();
  RequireEmpty(out_dir_);
  std::error_code error;
  fs::create_directories(dir_, error);
  if (error) {
    throw ResourceError("{}: cannot create the folder: {}. Choose an output folder that you may write to.",
                        dir_.string(), error.message());
  }
  RequireOwn(dir_);
  DropWorthless(dir_, fingerprint);
  journal_ = std::make_unique<Journal>(dir_ / kJournalName, fingerprint);
  if (journal_->resumed()) TakeBackCommitted(dir_);
}

void WorkFolder::Publish() {
  journal_.reset();
  // Without its journal the folder is complete; a kill between these two lines costs a repeated run, never a wrong folder.
  fs::remove(dir_ / kJournalName);
  std::error_code error;
  fs::rename(dir_, out_dir_, error);
  if (error) {
    throw ResourceError("{}: the finished folder cannot be renamed to {}: {}. Rename it by hand; it is complete.",
                        dir_.string(), out_dir_.string(), error.message());
  }
}

void WorkFolder::Discard() {
  if (journal_ != nullptr && HasFinishedBlock(journal_->path())) return;
  journal_.reset();
  std::error_code ignored;
  fs::remove_all(dir_, ignored);
}

}  // namespace ingot
