// SPDX-License-Identifier: Apache-2.0
// `ingot serve` as a child process on a free port of this machine. Test code only.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "raw_client.h"

namespace ingot::server {

class ServedProcess {
 public:
  // `args` behind "serve". The logs go to files in `dir`. `max_files`: how many it may have open.
  ServedProcess(const std::string& program, std::vector<std::string> args,
                const std::filesystem::path& dir, int max_files = 0)
      : log_(dir / "serve.err"), out_(dir / "serve.out") {
    std::filesystem::create_directories(dir);
    std::filesystem::remove(log_);  // an earlier server's, which names its port
    args.insert(args.begin(), {program, "serve", "--host", "127.0.0.1", "--port", "0"});
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(::open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), 2);
      ::dup2(::open(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), 1);
      const rlimit files{static_cast<rlim_t>(max_files), static_cast<rlim_t>(max_files)};
      if (max_files > 0) ::setrlimit(RLIMIT_NOFILE, &files);
      ::execv(program.c_str(), argv.data());
      ::_exit(127);
    }
    Eventually([&] { return FindPort() || !alive(); }, std::chrono::seconds(120));
  }
  ~ServedProcess() {
    if (pid_ > 0) Stop(SIGKILL);
  }
  ServedProcess(const ServedProcess&) = delete;
  ServedProcess& operator=(const ServedProcess&) = delete;

  int port() const { return port_; }  // 0: it did not start
  std::string pid() const { return std::to_string(pid_); }
  bool alive() const { return pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == 0; }
  std::string log() const { return TextOf(log_); }
  std::string access_log() const { return TextOf(out_); }
  // The exit code, or 128 plus the signal.
  int Stop(int signal) {
    ::kill(pid_, signal);
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  std::string Ask(const std::string& bytes,
                  std::chrono::milliseconds limit = std::chrono::seconds(120)) const {
    RawClient client(port_);
    if (!client.Send(bytes)) return client.Receive({}, std::chrono::seconds(5));
    return client.ReceiveResponse(limit);
  }
  // The sum over the labels of one metric; -1 when it is not there.
  double Metric(const std::string& name) const {
    std::istringstream text(Ask(Get("/metrics", "Connection: close\r\n")));
    double sum = 0;
    bool found = false;
    for (std::string line; std::getline(text, line);) {
      if (!line.starts_with(name) || (line[name.size()] != '{' && line[name.size()] != ' '))
        continue;
      sum += std::atof(line.c_str() + line.rfind(' '));
      found = true;
    }
    return found ? sum : -1;
  }
  // Nothing runs or waits any more and no page is in use.
  bool Idle(std::chrono::milliseconds limit = std::chrono::seconds(60)) const {
    return Eventually(
        [&] {
          return Metric("vllm:num_requests_running") == 0 &&
                 Metric("vllm:num_requests_waiting") == 0 &&
                 Metric("vllm:kv_cache_usage_perc") == 0;
        },
        limit);
  }

 private:
  static std::string TextOf(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  bool FindPort() {
    const std::string text = log();
    if (text.find("ready after") == std::string::npos) return false;
    const size_t at = text.find("http://127.0.0.1:");
    if (at == std::string::npos) return false;
    port_ = std::atoi(text.c_str() + at + 17);
    return port_ > 0;
  }
  const std::string log_, out_;
  pid_t pid_ = -1;
  int port_ = 0;
};

// The body of a whole response.
inline std::string BodyOf(const std::string& response) {
  const size_t head = response.find("\r\n\r\n");
  return head == std::string::npos ? "" : response.substr(head + 4);
}

inline std::string Base64(std::string_view bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) {
      group = group << 8 | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0u);
    }
    for (size_t k = 0; k < 4; ++k) {
      text += i + k > bytes.size() ? '=' : kDigits[group >> (18 - 6 * k) & 63];
    }
  }
  return text;
}

}  // namespace ingot::server
