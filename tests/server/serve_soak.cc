// SPDX-License-Identifier: Apache-2.0
// Mixed load on `ingot serve`: texts, pictures, streams, clients that cancel and leave, more than
// the pages hold, broken requests. Ends with nothing running, all pages free, no file handle more,
// and resident memory within 5 % of what it was after the warm-up.
//   serve_soak PROGRAM MODEL PICTURES [--minutes M]
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "served_process.h"

namespace ingot::server {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;
constexpr int kClients = 6;

std::vector<std::string> LoadPictures(const std::filesystem::path& dir) {
  std::vector<std::string> urls;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const auto& path : files) {
    if (urls.size() == 12) break;
    const std::string type = path.extension() == ".png"                                  ? "png"
                             : path.extension() == ".jpg" || path.extension() == ".jpeg" ? "jpeg"
                                                                                         : "";
    if (type.empty()) continue;
    std::ifstream file(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    urls.push_back("data:image/" + type + ";base64," + Base64(bytes));
  }
  return urls;
}

class Soak {
 public:
  Soak(const ServedProcess& served, std::vector<std::string> pictures)
      : served_(served), pictures_(std::move(pictures)) {}

  void Run(std::chrono::seconds time) {
    const auto end = Clock::now() + time;
    std::vector<std::thread> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.emplace_back([this, i, end] {
        std::mt19937 random(static_cast<uint32_t>(i + round_ * kClients));
        while (Clock::now() < end && served_.alive()) One(random);
      });
    }
    for (std::thread& client : clients) client.join();
    ++round_;
  }

  bool ok() const { return unexpected_ == 0; }
  void Report() {
    std::lock_guard lock(mutex_);
    for (const auto& [what, n] : counts_) std::printf("  %-28s %d\n", what.c_str(), n);
  }

 private:
  static std::string Words(std::mt19937& random, int n) {
    static constexpr const char* kWords[] = {"red", "circle", "what", "is",    "the",    "colour",
                                             "of",  "this",   "left", "large", "number", "count"};
    std::string text;
    for (int i = 0; i < n; ++i) text += std::string(kWords[random() % 12]) + " ";
    return text;
  }

  std::string Request(std::mt19937& random, bool stream) {
    const int tokens = 4 + static_cast<int>(random() % (random() % 4 == 0 ? 300 : 60));
    std::string content = "\"" + Words(random, 3 + static_cast<int>(random() % 60)) + "\"";
    if (random() % 2 == 0 && !pictures_.empty()) {
      content = R"([{"type":"image_url","image_url":{"url":")" +
                pictures_[random() % pictures_.size()] + R"("}},{"type":"text","text":)" + content +
                "}]";
    }
    return Post("/v1/chat/completions",
                R"({"model":"tiny","ignore_eos":true,"max_tokens":)" + std::to_string(tokens) +
                    (random() % 5 == 0 ? R"(,"n":3,"temperature":1.2)" : R"(,"temperature":0)") +
                    (stream ? R"(,"stream":true)" : "") +
                    R"(,"messages":[{"role":"user","content":)" + content + "}]}",
                "Connection: close\r\n");
  }

  void One(std::mt19937& random) {
    RawClient client(served_.port());
    if (!client.connected()) return Count("no connection", false);
    switch (random() % 8) {
      case 0: {  // leaves in the middle of its own request
        const std::string request = Request(random, true);
        client.Send(request.substr(0, request.size() / 2));
        return Count("left while sending", true);
      }
      case 1:  // leaves before there is an answer
        client.Send(Request(random, false));
        std::this_thread::sleep_for(std::chrono::milliseconds(random() % 100));
        if (random() % 2 == 0) client.Reset();
        return Count("left while waiting", true);
      case 2: {  // leaves in the middle of a stream
        client.Send(Request(random, true));
        client.Receive("data: ", 60s);
        std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
        return Count("left while streaming", true);
      }
      case 3: {
        client.Send(Post("/v1/chat/completions", R"({"model":"tiny","messages":5})",
                         "Connection: close\r\n"));
        return Count("refused", StatusOf(client.Receive({}, 60s)) == 400);
      }
      case 4:
      case 5: {
        client.Send(Request(random, true));
        const std::string stream = client.Receive({}, 120s);
        return Count("streamed", stream.find("data: [DONE]") != std::string::npos);
      }
      default: {
        client.Send(Request(random, false));
        const int status = StatusOf(client.Receive({}, 120s));
        return Count("answered", status == 200 || status == 429);
      }
    }
  }

  void Count(const std::string& what, bool expected) {
    std::lock_guard lock(mutex_);
    ++counts_[expected ? what : what + " UNEXPECTED"];
    if (!expected) ++unexpected_;
  }

  const ServedProcess& served_;
  const std::vector<std::string> pictures_;
  int round_ = 0;
  std::mutex mutex_;
  std::map<std::string, int> counts_;
  std::atomic<int> unexpected_{0};
};

bool Check(bool good, const char* what) {
  std::printf("%s: %s\n", good ? "ok" : "FAILED", what);
  return good;
}

int Main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: serve_soak PROGRAM MODEL PICTURES [--minutes M]\n");
    return 2;
  }
  const double minutes = argc > 5 ? std::atof(argv[5]) : 0.4;
  const auto part = std::chrono::seconds(static_cast<int64_t>(minutes * 60 / 2));
  ServedProcess served(argv[1],
                       {argv[2], "--served-model-name", "tiny", "--max-model-len", "768",
                        "--kv-cache-memory-bytes", "2MiB", "--mm-processor-cache-gb", "0.001",
                        "--disable-log-stats", "--disable-uvicorn-access-log"},
                       std::filesystem::temp_directory_path() / "ingot_serve_soak");
  if (served.port() == 0) {
    std::printf("the server did not start:\n%s\n", served.log().c_str());
    return 1;
  }
  const int files = OpenFiles(served.pid());
  Soak soak(served, LoadPictures(argv[3]));
  soak.Run(part);
  bool good = Check(served.Idle(), "idle after the warm-up");
  const int64_t warm = ResidentKilobytes(served.pid());
  soak.Run(part);
  good &= Check(served.Idle(), "nothing running or waiting, all pages free");
  const int64_t end = ResidentKilobytes(served.pid());
  const double preemptions = served.Metric("vllm:num_preemptions_total");
  std::printf("resident: %lld kB after the warm-up, %lld kB at the end; %.0f tokens generated, "
              "%.0f preemptions\n",
              static_cast<long long>(warm), static_cast<long long>(end),
              served.Metric("vllm:generation_tokens_total"), preemptions);
  soak.Report();
  // Seconds are no warm-up: a short run may still fill the caches of malloc.
  const int64_t slack = std::max(warm / 20, minutes < 10 ? int64_t{12} << 10 : int64_t{0});
  good &= Check(end - warm <= slack, "resident memory within 5 %");
  good &= Check(Eventually([&] { return OpenFiles(served.pid()) <= files + 1; }), "file handles");
  good &= Check(preemptions > 0, "requests made room for others");
  good &= Check(served.Metric("ingot:request_errors_total") == 0, "no request failed inside");
  good &= Check(soak.ok(), "every answer as expected");
  good &= Check(served.Stop(SIGTERM) == 0, "ends with 0 after SIGTERM");
  return good ? 0 : 1;
}

}  // namespace
}  // namespace ingot::server

int main(int argc, char** argv) { return ingot::server::Main(argc, argv); }
