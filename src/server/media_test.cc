// SPDX-License-Identifier: Apache-2.0
#include "server/media.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>

#include "server/api_error.h"
#include "server/media_fetch.h"

namespace ingot::server {
namespace {

using testing::HasSubstr;

// Answers every connection on a free port of 127.0.0.1 with the same bytes.
class TinyServer {
 public:
  explicit TinyServer(std::string answer) : answer_(std::move(answer)) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 8), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~TinyServer() {
    shutdown(fd_, SHUT_RDWR);
    thread_.join();
    close(fd_);
  }
  std::string Url(const std::string& path = "/x.png") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  int connections() const { return connections_; }

 private:
  void Run() {
    for (;;) {
      const int client = accept(fd_, nullptr, nullptr);
      if (client < 0) return;
      ++connections_;
      char request[4096];
      if (read(client, request, sizeof(request)) > 0) {
        size_t at = 0;
        while (at < answer_.size()) {
          const ssize_t n = send(client, answer_.data() + at, answer_.size() - at, MSG_NOSIGNAL);
          if (n <= 0) break;
          at += static_cast<size_t>(n);
        }
      }
      close(client);
    }
  }
  std::string answer_;
  int fd_ = -1, port_ = 0;
  std::atomic<int> connections_ = 0;
  std::thread thread_;
};

// Takes connections and says nothing.
class SilentServer {
 public:
  SilentServer() {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 8), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~SilentServer() { close(fd_); }
  std::string Url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/x.png"; }

 private:
  int fd_ = -1, port_ = 0;
};

std::string Ok(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\nConnection: close\r\n\r\n" + body;
}

std::string Fetch(const MediaOptions& options, const std::string& url) {
  try {
    MediaBudget budget;
    return MediaLoader(options).Fetch(url, /*video=*/false, "picture 1", &budget);
  } catch (const ApiError& error) {
    return fmt::format("{}: {}", error.status(), error.what());
  }
}

TEST(Media, PrivateAddressesAreNotFetched) {
  const TinyServer server(Ok("secret"));
  const std::string port = server.Url().substr(std::string("http://127.0.0.1").size());
  for (const std::string host :
       {"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433",
        "0x7f000001", "0177.0.0.1", "127.1"}) {
    EXPECT_THAT(Fetch({}, "http://" + host + port), HasSubstr("400: ")) << host;
  }
  EXPECT_EQ(server.connections(), 0);
  MediaOptions open;
  open.allow_private_addresses = true;
  EXPECT_EQ(Fetch(open, server.Url()), "secret");
}

TEST(Media, AddressClasses) {
  const auto is_public = [](const char* text) {
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
      v4.sin_family = AF_INET;
      return IsPublicAddress(&v4);
    }
    EXPECT_EQ(inet_pton(AF_INET6, text, &v6.sin6_addr), 1) << text;
    v6.sin6_family = AF_INET6;
    return IsPublicAddress(&v6);
  };
  for (const char* text : {"8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700::1111", "100.63.0.1",
                           "::ffff:8.8.8.8"}) {
    EXPECT_TRUE(is_public(text)) << text;
  }
  for (const char* text :
       {"0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1",
        "192.168.1.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1",
        "fc00::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001::1",
        "2001:db8::1"}) {
    EXPECT_FALSE(is_public(text)) << text;
  }
}

TEST(Media, DomainsAreAnAllowList) {
  const TinyServer server(Ok("x"));
  MediaOptions options;
  options.allow_private_addresses = true;
  options.allowed_domains = {"images.example"};
  EXPECT_THAT(Fetch(options, server.Url()), HasSubstr("not among the domains"));
  EXPECT_EQ(server.connections(), 0);
  options.allowed_domains = {"127.0.0.1"};
  EXPECT_EQ(Fetch(options, server.Url()), "x");
}

TEST(Media, RedirectsAreCheckedAgain) {
  MediaOptions options;
  options.allow_private_addresses = true;
  const auto redirect = [](const std::string& to) {
    return "HTTP/1.1 302 Found\r\nLocation: " + to + "\r\nContent-Length: 0\r\n\r\n";
  };
  for (const std::string to : {"file:///etc/passwd", "gopher://127.0.0.1/", "ftp://x/"}) {
    const TinyServer server(redirect(to));
    EXPECT_THAT(Fetch(options, server.Url()), HasSubstr("400: ")) << to;
  }
  const TinyServer loop(redirect("/again"));
  EXPECT_THAT(Fetch(options, loop.Url()), HasSubstr("redirects too often"));
  EXPECT_LE(loop.connections(), kMaxRedirects + 1);
  const TinyServer target(Ok("y"));
  const TinyServer to_host(redirect(target.Url()));
  EXPECT_EQ(Fetch(options, to_host.Url()), "y");
  options.allow_redirects = false;
  EXPECT_THAT(Fetch(options, to_host.Url()), HasSubstr("not allowed"));
}

TEST(Media, SizeTimeAndStatusAreBounded) {
  MediaOptions options;
  options.allow_private_addresses = true;
  options.image_timeout = std::chrono::milliseconds(500);
  const TinyServer large("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nabc");
  EXPECT_THAT(Fetch(options, large.Url()), HasSubstr("larger than the limit"));
  const TinyServer endless("HTTP/1.1 200 OK\r\n\r\n" + std::string(kMaxImageBytes + 1, 'x'));
  EXPECT_THAT(Fetch(options, endless.Url()), HasSubstr("400: "));
  const TinyServer missing("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
  EXPECT_THAT(Fetch(options, missing.Url()), HasSubstr("status 404"));
  const TinyServer broken("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
  EXPECT_THAT(Fetch(options, broken.Url()), HasSubstr("status 500"));
  const TinyServer less("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
  EXPECT_THAT(Fetch(options, less.Url()), HasSubstr("could not be fetched"));
  const TinyServer nothing("");
  EXPECT_THAT(Fetch(options, nothing.Url()), HasSubstr("could not be fetched"));
  const SilentServer silent;
  EXPECT_THAT(Fetch(options, silent.Url()), HasSubstr("did not deliver in time"));
  // Compressed answers are not inflated: what comes is what is bounded.
  const TinyServer gzip(
      "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n"
      "Connection: close\r\n\r\n\x1f\x8b\x08");
  EXPECT_EQ(Fetch(options, gzip.Url()), "\x1f\x8b\x08");
}

TEST(Media, OddUrlsAreRefused) {
  for (const std::string url :
       {"http://user:pw@8.8.8.8/", "http://8.8.8.8\\@127.0.0.1/", "http://a b/", "http://a\tb/",
        "ftp://8.8.8.8/x", "gopher://8.8.8.8/", "javascript:alert(1)", "", "x", "http://",
        "data:image/png,plain", "data:image/png;base64,", "data:image/png;base64,@@@@",
        "data:image/png;base64,AAA", "data:image/png;base64,AA AA", "http://\xe2\x93\xa0/"}) {
    EXPECT_THAT(Fetch({}, url), HasSubstr("400: ")) << url;
  }
  EXPECT_EQ(Fetch({}, "data:text/html;base64,aGk="), "hi");
}

class MediaFileTest : public testing::Test {
 protected:
  MediaFileTest() {
    std::filesystem::create_directories(root_ / "sub");
    std::ofstream(root_ / "sub/a b.png") << "inside";
    std::ofstream(dir_ / "outside.png") << "outside";
    std::filesystem::create_symlink(dir_ / "outside.png", root_ / "link.png");
    std::filesystem::create_directory_symlink(dir_, root_ / "up");
    mkfifo((root_ / "pipe").c_str(), 0600);
    options_.allowed_local_path = root_;
  }
  ~MediaFileTest() override { std::filesystem::remove_all(dir_); }
  std::string Get(const std::string& path) { return Fetch(options_, "file://" + path); }

  const std::filesystem::path dir_ =
      std::filesystem::path(testing::TempDir()) / ("ingot_media_" + std::to_string(getpid()));
  const std::filesystem::path root_ = dir_ / "root";
  MediaOptions options_;
};

TEST_F(MediaFileTest, OnlyBelowTheRoot) {
  const std::string root = root_.string();
  EXPECT_EQ(Get(root + "/sub/a%20b.png"), "inside");
  EXPECT_EQ(Fetch(options_, "file://localhost" + root + "/sub/a%20b.png"), "inside");
  for (const std::string& path :
       {dir_.string() + "/outside.png", root + "/../outside.png", root + "/%2e%2e/outside.png",
        root + "/sub/../../outside.png", root + "/link.png", root + "/up/outside.png",
        root + "/pipe", root + "/sub", root, root + "/missing", std::string("/etc/passwd"),
        std::string("/dev/zero"), std::string("/proc/self/environ"), std::string("etc/passwd"),
        root + "/sub/a%00b", root + "/sub/%zz"}) {
    EXPECT_THAT(Get(path), HasSubstr("400: ")) << path;
  }
  EXPECT_THAT(Fetch({}, "file://" + root + "/sub/a%20b.png"), HasSubstr("not allowed"));
  // The option may name the root through a link; then both spellings are below it.
  const std::string alias = (dir_ / "alias").string();
  std::filesystem::create_directory_symlink(root_, alias);
  EXPECT_THAT(Get(alias + "/sub/a%20b.png"), HasSubstr("400: "));
  options_.allowed_local_path = alias + "/";
  EXPECT_EQ(Get(alias + "/sub/a%20b.png"), "inside");
  EXPECT_EQ(Get(root + "/sub/a%20b.png"), "inside");
  EXPECT_THAT(Get(alias + "/../outside.png"), HasSubstr("400: "));
  EXPECT_THAT(Get(alias + "/link.png"), HasSubstr("400: "));
}

TEST(Media, CountsAreLimited) {
  MediaOptions options;
  options.max_images = 1;
  MediaPart picture;
  picture.kind = MediaPart::Kind::kImage;
  picture.url = "data:image/png;base64,aGk=";
  const ChatMessage message{.role = "user", .parts = {picture, picture}, .extra_json = ""};
  EXPECT_THROW(MediaLoader(options).Load(std::span(&message, 1)), ApiError);
  options.max_images = 2;
  EXPECT_EQ(MediaLoader(options).Load(std::span(&message, 1)).conversation[0].parts.size(), 2u);
}

TEST(Media, VideosOfPictures) {
  MediaPart video;
  video.kind = MediaPart::Kind::kVideo;
  video.url = "data:video/jpeg;base64,aGk=,aG8=";
  const ChatMessage message{.role = "user", .parts = {video}, .extra_json = ""};
  const LoadedConversation loaded = MediaLoader({}).Load(std::span(&message, 1));
  const Part& part = loaded.conversation[0].parts[0];
  ASSERT_TRUE(part.sampled);
  EXPECT_EQ(part.sampled->bytes.size(), 2u);
  EXPECT_EQ(*part.sampled->bytes[1], "ho");
  video.url = "data:video/mp4;base64,aGk=";
  const ChatMessage file{.role = "user", .parts = {video}, .extra_json = ""};
  std::filesystem::path path;
  {
    const LoadedConversation kept = MediaLoader({}).Load(std::span(&file, 1));
    path = kept.conversation[0].parts[0].path;
    EXPECT_TRUE(std::filesystem::exists(path));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace ingot::server
