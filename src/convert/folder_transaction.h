// SPDX-License-Identifier: Apache-2.0
// A change of several files of one folder that happens as a whole. New files are staged in
// DIR/.ingot-convert/files; then DIR/.ingot-convert/commit.json appears at once, listing what
// replaces what; from that moment the change only rolls forward: files are renamed, obsolete ones
// removed, the list removed last. Whoever opens the folder next finishes or discards what a dead
// process left:
//   no commit.json  -> nothing in DIR itself was touched; the staged files are discarded
//   commit.json     -> the remaining renames and removals are done
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ingot {

inline constexpr std::string_view kStagingName = ".ingot-convert";

class FolderTransaction {
 public:
  // Takes the folder's lock, then finishes or discards an earlier transaction. Errors:
  // ResourceError (lock held by another process, no permission), FormatError (a commit list that
  // this program did not write).
  explicit FolderTransaction(const std::filesystem::path& dir);
  ~FolderTransaction();  // without Commit the staged files are removed
  FolderTransaction(const FolderTransaction&) = delete;
  FolderTransaction& operator=(const FolderTransaction&) = delete;

  // True when the constructor completed an interrupted change.
  bool rolled_forward() const { return rolled_forward_; }
  // Makes the staging folder. Errors: ResourceError naming the folder (not writable, disk full).
  void Begin();
  const std::filesystem::path& files() const {
    return files_;
  }  // where new files go, under their final names

  void Replace(const std::string& name);  // files()/name becomes DIR/name
  void Remove(const std::string& name);   // DIR/name goes away (unless it is also replaced)
  void Commit();

  // Called with the name of each step ("staged", "list", "rename ...") before it happens: fault
  // tests end the process there.
  static void SetStepHookForTest(std::function<void(const std::string&)> hook);

 private:
  void RollForward();
  void Discard();
  std::filesystem::path dir_, staging_, files_;
  std::vector<std::string> replace_, remove_;
  int lock_ = -1;
  bool rolled_forward_ = false;
};

}  // namespace ingot
