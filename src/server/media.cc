// SPDX-License-Identifier: Apache-2.0
#include "server/media.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/files.h"
#include "prompt/data_url.h"
#include "server/api_error.h"
#include "server/media_fetch.h"

namespace ingot::server {
namespace {

// "%41" is "A". False when a percent sign stands alone or makes a zero byte.
bool PercentDecode(std::string_view text, std::string* out) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      *out += text[i];
      continue;
    }
    if (i + 2 >= text.size() || digit(text[i + 1]) < 0 || digit(text[i + 2]) < 0) return false;
    *out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
    i += 2;
  }
  return out->find('\0') == std::string::npos;
}

class FileHandle {
 public:
  explicit FileHandle(int fd) : fd_(fd) {}
  ~FileHandle() {
    if (fd_ >= 0) close(fd_);
  }
  FileHandle(const FileHandle&) = delete;
  FileHandle& operator=(const FileHandle&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// At most `limit` bytes of an open regular file; false when it has more or cannot be read.
bool ReadAll(int fd, size_t limit, std::string* out) {
  struct stat info{};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return false;
  if (static_cast<uint64_t>(info.st_size) > limit) return false;
  out->resize(static_cast<size_t>(info.st_size));
  size_t at = 0;
  while (at < out->size()) {
    const ssize_t n = read(fd, out->data() + at, out->size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    at += static_cast<size_t>(n);
  }
  out->resize(at);
  return true;
}

}  // namespace

TemporaryFile::TemporaryFile(std::string_view bytes) {
  std::string name = (std::filesystem::temp_directory_path() / "ingot-video-XXXXXX").string();
  const FileHandle file(mkostemp(name.data(), O_CLOEXEC));
  if (file.get() < 0) {
    throw ResourceError("a temporary file cannot be made: {}", std::strerror(errno));
  }
  path_ = name;
  while (!bytes.empty()) {
    const ssize_t n = write(file.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      unlink(name.c_str());
      throw ResourceError("a video cannot be written to a temporary file: {}",
                          std::strerror(errno));
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

TemporaryFile::~TemporaryFile() { unlink(path_.c_str()); }

MediaLoader::MediaLoader(MediaOptions options) : options_(std::move(options)) {
  if (options_.allowed_local_path.empty()) return;
  std::error_code error;
  local_root_ = std::filesystem::canonical(options_.allowed_local_path, error);
  local_name_ = std::filesystem::absolute(options_.allowed_local_path).lexically_normal();
  if (error || !std::filesystem::is_directory(local_root_)) {
    throw UserError("--allowed-local-media-path {}: no such folder",
                    options_.allowed_local_path.string());
  }
}

// The root may be spelled as the option spells it, which may be through symbolic links.
std::filesystem::path MediaLoader::InsideRoot(const std::string& path) const {
  const std::filesystem::path normal = std::filesystem::path(path).lexically_normal();
  for (const std::filesystem::path& root : {local_root_, local_name_}) {
    const std::filesystem::path inside = normal.lexically_relative(root);
    if (!inside.empty() && inside != "." && *inside.begin() != "..") return inside;
  }
  return {};
}

// No symbolic link is followed below the root: each component is opened from the one before.
std::string MediaLoader::ReadLocal(const std::string& url, size_t limit,
                                   const std::string& what) const {
  if (local_root_.empty()) {
    throw BadRequest("", "{}: file URLs are not allowed. Start the server with "
                     "--allowed-local-media-path.", what);
  }
  const auto refuse = [&] {
    return BadRequest("", "{}: the file is not one below --allowed-local-media-path, or larger "
                      "than {} bytes.", what, limit);
  };
  std::string path;
  std::string_view rest = std::string_view(url).substr(std::strlen("file://"));
  if (rest.starts_with("localhost/")) rest.remove_prefix(std::strlen("localhost"));
  if (!rest.starts_with('/') || !PercentDecode(rest, &path)) throw refuse();
  const std::filesystem::path inside = InsideRoot(path);
  if (inside.empty()) throw refuse();
  int parent = open(local_root_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  for (auto part = inside.begin(); part != inside.end() && parent >= 0; ++part) {
    const bool last = std::next(part) == inside.end();
    const int flags = last ? O_RDONLY | O_NONBLOCK : O_PATH | O_DIRECTORY;
    const FileHandle above(parent);
    parent = openat(above.get(), part->c_str(), flags | O_NOFOLLOW | O_CLOEXEC);
  }
  const FileHandle file(parent);
  std::string bytes;
  if (file.get() < 0 || !ReadAll(file.get(), limit, &bytes)) throw refuse();
  return bytes;
}

std::string MediaLoader::ReadDataUrl(std::string_view url, size_t limit,
                                     const std::string& what) const {
  if (url.size() / 4 * 3 > limit + 64) {
    throw BadRequest("", "{}: larger than the limit of {} bytes.", what, limit);
  }
  std::string bytes;
  if (!DecodeDataUrl(url, &bytes, /*strict=*/true) || bytes.empty()) {
    throw BadRequest("", "{}: the data URL is not of the form data:TYPE;base64,DATA with valid "
                     "base64.", what);
  }
  return bytes;
}

namespace {

bool IsRemote(std::string_view url) {
  return !url.starts_with("data:") && !url.starts_with("file://");
}

}  // namespace

bool NeedsNetwork(std::span<const ChatMessage> messages) {
  for (const ChatMessage& message : messages) {
    for (const MediaPart& part : message.parts) {
      if (!part.url.empty() && IsRemote(part.url)) return true;
      if (std::ranges::any_of(part.frames, IsRemote)) return true;
    }
  }
  return false;
}

std::string MediaLoader::Fetch(const std::string& url, bool video, const std::string& what,
                               MediaBudget* budget) const {
  const size_t limit = std::min(video ? kMaxVideoBytes : kMaxImageBytes, budget->bytes);
  std::string bytes;
  if (url.starts_with("data:")) {
    bytes = ReadDataUrl(url, limit, what);
  } else if (url.starts_with("file://")) {
    bytes = ReadLocal(url, limit, what);
  } else {
    if (--budget->remote < 0) {
      throw BadRequest("messages", "More than {} pictures to be fetched in one request.",
                       MediaBudget().remote);
    }
    const auto timeout = video ? options_.video_timeout : options_.image_timeout;
    bytes = FetchUrl(url, options_, limit,
                     std::min(budget->deadline, std::chrono::steady_clock::now() + timeout), what);
  }
  budget->bytes -= bytes.size();
  return bytes;
}

Part MediaLoader::LoadFrames(std::span<const std::string> urls, double fps,
                             const std::string& what, MediaBudget* budget) const {
  auto sampled = std::make_shared<SampledFrames>();
  for (size_t i = 0; i < urls.size(); ++i) {
    const std::string name = fmt::format("{}, frame {}", what, i + 1);
    std::string bytes = Fetch(urls[i], /*video=*/false, name, budget);
    sampled->frames.emplace_back(name);
    sampled->bytes.push_back(std::make_shared<const std::string>(std::move(bytes)));
  }
  sampled->indices.resize(urls.size());
  std::iota(sampled->indices.begin(), sampled->indices.end(), 0);
  sampled->fps = fps;
  sampled->total_frames = static_cast<int64_t>(urls.size());
  Part part;
  part.kind = Part::Kind::kVideo;
  part.path = what;
  part.sampled = std::move(sampled);
  return part;
}

namespace {

// "data:video/jpeg;base64,AAAA,BBBB": the pictures of a video in one URL, as vLLM takes them.
std::vector<std::string> FramesOfDataUrl(const std::string& url) {
  constexpr std::string_view kPrefix = "data:video/jpeg;base64,";
  std::vector<std::string> frames;
  if (!url.starts_with(kPrefix)) return frames;
  for (size_t at = kPrefix.size(); at <= url.size();) {
    const size_t end = std::min(url.find(',', at), url.size());
    frames.push_back("data:image/jpeg;base64," + url.substr(at, end - at));
    at = end + 1;
  }
  return frames;
}

}  // namespace

Part MediaLoader::LoadPart(const MediaPart& part, const std::string& what, MediaBudget* budget,
                           LoadedConversation* out) const {
  switch (part.kind) {
    case MediaPart::Kind::kText:
      return Part::Text(part.text);
    case MediaPart::Kind::kImage:
      return Part::ImageBytes(what, Fetch(part.url, /*video=*/false, what, budget));
    case MediaPart::Kind::kFrames:
      return LoadFrames(part.frames, part.fps, what, budget);
    case MediaPart::Kind::kVideo:
      break;
  }
  constexpr size_t kMaxFrames = 768;
  if (const std::vector<std::string> frames = FramesOfDataUrl(part.url); !frames.empty()) {
    if (frames.size() > kMaxFrames) {
      throw BadRequest("", "{}: more than {} pictures.", what, kMaxFrames);
    }
    return LoadFrames(frames, 2.0, what, budget);
  }
  out->files.push_back(
      std::make_unique<TemporaryFile>(Fetch(part.url, /*video=*/true, what, budget)));
  return Part::Video(out->files.back()->path());
}

void MediaLoader::CheckCounts(std::span<const ChatMessage> messages) const {
  int64_t images = 0, videos = 0;
  for (const ChatMessage& message : messages) {
    for (const MediaPart& part : message.parts) {
      images += part.kind == MediaPart::Kind::kImage;
      videos += part.kind == MediaPart::Kind::kVideo || part.kind == MediaPart::Kind::kFrames;
    }
  }
  const auto check = [](int64_t found, int64_t limit, const char* what) {
    if (found <= limit) return;
    throw BadRequest("messages", "At most {} {}(s) may be provided in one prompt, found {}. The "
                     "limit is --limit-mm-per-prompt.", limit, what, found);
  };
  check(images, options_.max_images, "image");
  check(videos, options_.max_videos, "video");
}

LoadedConversation MediaLoader::Load(std::span<const ChatMessage> messages) const {
  CheckCounts(messages);
  LoadedConversation out;
  MediaBudget budget;
  int n = 0;
  for (const ChatMessage& message : messages) {
    Message turn{.role = message.role, .parts = {}, .extra_json = message.extra_json};
    for (const MediaPart& part : message.parts) {
      if (part.kind != MediaPart::Kind::kText) ++n;
      const char* kind = part.kind == MediaPart::Kind::kImage ? "picture" : "video";
      const std::string what = fmt::format("{} {} of the request", kind, n);
      turn.parts.push_back(LoadPart(part, what, &budget, &out));
    }
    out.conversation.push_back(std::move(turn));
  }
  return out;
}

}  // namespace ingot::server
