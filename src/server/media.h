// SPDX-License-Identifier: Apache-2.0
// Pictures and videos that requests name by URL. Deny by default: a URL may lead nowhere inside of
// the machine or its network, a file only where the operator said so, and every byte is counted.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "prompt/conversation.h"
#include "server/api_types.h"
#include "server/serve_config.h"

namespace ingot::server {

constexpr size_t kMaxImageBytes = 32u << 20;   // of one encoded picture
constexpr size_t kMaxVideoBytes = 256u << 20;  // of one video
constexpr int kMaxRedirects = 3;

// What all pictures of one request together may take.
struct MediaBudget {
  std::chrono::steady_clock::time_point deadline =
      std::chrono::steady_clock::now() + std::chrono::seconds(60);
  size_t bytes = 256u << 20;
  int remote = 64;  // http and https URLs
};

// True when one of the parts must be fetched from another machine, which may take its time.
bool NeedsNetwork(std::span<const ChatMessage> messages);

// A file that is gone with its last owner.
class TemporaryFile {
 public:
  // Errors: ResourceError when it cannot be written.
  explicit TemporaryFile(std::string_view bytes);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// A conversation whose pictures are in memory, and the files that its videos are in meanwhile.
struct LoadedConversation {
  Conversation conversation;
  std::vector<std::unique_ptr<TemporaryFile>> files;
};

class MediaLoader {
 public:
  // Errors: UserError when allowed_local_path is no folder.
  explicit MediaLoader(MediaOptions options);

  // Loads what the messages name. Blocks while it fetches. Errors: ApiError (400 for what the
  // client can mend). Thread-safe.
  LoadedConversation Load(std::span<const ChatMessage> messages) const;

  // The bytes behind one URL (data:, http:, https:, file:). `what` names it in messages.
  std::string Fetch(const std::string& url, bool video, const std::string& what,
                    MediaBudget* budget) const;

  const MediaOptions& options() const { return options_; }

 private:
  // Relative to the root; empty when the path is not below it.
  std::filesystem::path InsideRoot(const std::string& path) const;
  std::string ReadLocal(const std::string& url, size_t limit, const std::string& what) const;
  std::string ReadDataUrl(std::string_view url, size_t limit, const std::string& what) const;
  Part LoadPart(const MediaPart& part, const std::string& what, MediaBudget* budget,
                LoadedConversation* out) const;
  Part LoadFrames(std::span<const std::string> urls, double fps, const std::string& what,
                  MediaBudget* budget) const;
  void CheckCounts(std::span<const ChatMessage> messages) const;

  MediaOptions options_;
  std::filesystem::path local_root_;  // canonical
  std::filesystem::path local_name_;  // absolute, as the option has it
};

}  // namespace ingot::server
