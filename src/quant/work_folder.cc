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

}  // namespace ingot
