// SPDX-License-Identifier: Apache-2.0
// The folder of an unfinished run, "OUT.partial", and its journal. Publish() turns it into OUT by
// one rename, so OUT is either absent (or empty) or whole.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "quant/journal.h"

namespace ingot {

class WorkFolder {
 public:
  // Errors: UserError when OUT exists and is not empty, or when an unfinished run with another
  // fingerprint is there; ResourceError when the folder cannot be created.
  WorkFolder(const std::filesystem::path& out_dir, const std::string& fingerprint);

  const std::filesystem::path& dir() const { return dir_; }
  Journal& journal() { return *journal_; }
  const Journal& journal() const { return *journal_; }
  bool resumed() const { return journal_->resumed(); }
  void Publish();
  // Removes the folder unless a block is finished in it. The object is spent afterwards.
  void Discard();

 private:
  std::filesystem::path out_dir_, dir_;
  std::unique_ptr<Journal> journal_;
};

}  // namespace ingot
