// SPDX-License-Identifier: Apache-2.0
#include "vision/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/error.h"
#include "base/interrupt.h"

extern char** environ;

namespace ingot::vision {
namespace {

constexpr size_t kErrorTail = 4096;
constexpr int kPollMilliseconds = 200;  // how soon Ctrl-C and the time limit are noticed

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() { Close(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  void Set(int fd) { Close(), fd_ = fd; }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

void OpenPipe(Fd* read_end, Fd* write_end) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) {
    throw ResourceError("no pipe to a child process: {}", std::strerror(errno));
  }
  read_end->Set(fds[0]);
  write_end->Set(fds[1]);
}

// Kills (with its process group) and reaps the child unless Wait() has.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  ~Child() {
    if (pid_ <= 0) return;
    kill(-pid_, SIGKILL);
    kill(pid_, SIGKILL);
    Reap();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // The wait status when the child has ended; false while it runs.
  bool TryWait(int* status) {
    const pid_t result = waitpid(pid_, status, WNOHANG);
    if (result == 0 || (result < 0 && errno == EINTR)) return false;
    pid_ = -1;
    return true;
  }

 private:
  void Reap() {
    int status;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
  }
  pid_t pid_;
};

// Actions and attributes of posix_spawn with automatic destruction.
struct SpawnSetup {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  SpawnSetup() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnSetup() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
};

pid_t Spawn(const std::vector<std::string>& argv, int out, int err, const std::string& remedy) {
  std::vector<char*> raw;
  for (const std::string& arg : argv) raw.push_back(const_cast<char*>(arg.c_str()));
  raw.push_back(nullptr);
  SpawnSetup setup;
  posix_spawn_file_actions_addopen(&setup.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&setup.actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&setup.actions, err, STDERR_FILENO);
  // Own process group (Ctrl-C is ours to handle), default signals, nothing blocked.
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&setup.attributes, &all);
  posix_spawnattr_setsigmask(&setup.attributes, &none);
  posix_spawnattr_setpgroup(&setup.attributes, 0);
  posix_spawnattr_setflags(&setup.attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  const int error =
      posix_spawnp(&pid, raw[0], &setup.actions, &setup.attributes, raw.data(), environ);
  if (error != 0) {
    throw ResourceError("cannot run {}: {}. {}", argv[0], std::strerror(error), remedy);
  }
  return pid;
}

// Keeps the tail of what the child complains, printable (its messages quote file content).
void AppendErrors(std::span<const uint8_t> bytes, std::string* errors) {
  for (uint8_t byte : bytes) {
    const bool printable = byte >= 0x20 && byte < 0x7f;
    *errors += printable ? static_cast<char>(byte) : (byte == '\n' ? ' ' : '?');
  }
  if (errors->size() > kErrorTail) errors->erase(0, errors->size() - kErrorTail);
}

using Clock = std::chrono::steady_clock;

void CheckTime(const std::string& program, Clock::time_point deadline, double limit) {
  if (InterruptRequested()) throw InterruptedError("interrupted while {} was running", program);
  if (Clock::now() > deadline) {
    throw ResourceError(
        "{} was stopped after the time limit of {:.0f} s. Use a shorter video or raise the limit.",
        program, limit);
  }
}

// Reads what is there; false at the end of the stream.
template <typename Consume>
bool ReadSome(int fd, std::span<uint8_t> buffer, const Consume& consume) {
  const ssize_t n = read(fd, buffer.data(), buffer.size());
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  if (n > 0) consume(std::span<const uint8_t>(buffer.data(), static_cast<size_t>(n)));
  return n > 0;
}

}  // namespace

ChildResult RunChild(const std::vector<std::string>& argv, double timeout_seconds,
                     const std::string& remedy,
                     const std::function<void(std::span<const uint8_t>)>& on_output) {
  Fd out_read, out_write, err_read, err_write;
  OpenPipe(&out_read, &out_write);
  OpenPipe(&err_read, &err_write);
  fcntl(out_read.get(), F_SETPIPE_SZ, 1 << 20);  // a wish; frames are large
  Child child(Spawn(argv, out_write.get(), err_write.get(), remedy));
  out_write.Close();
  err_write.Close();

  ChildResult result;
  std::vector<uint8_t> buffer(1 << 18);
  const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                           std::chrono::duration<double>(timeout_seconds));
  while (out_read.get() >= 0 || err_read.get() >= 0) {
    CheckTime(argv[0], deadline, timeout_seconds);
    std::array<pollfd, 2> polls = {
        {{out_read.get(), POLLIN, 0}, {err_read.get(), POLLIN, 0}}};  // -1 is skipped
    if (poll(polls.data(), polls.size(), kPollMilliseconds) <= 0) continue;
    if (polls[0].revents != 0 && !ReadSome(out_read.get(), buffer, on_output)) out_read.Close();
    if (polls[1].revents != 0 && !ReadSome(err_read.get(), buffer, [&](auto bytes) {
          AppendErrors(bytes, &result.errors);
        })) {
      err_read.Close();
    }
  }
  int status = 0;
  while (!child.TryWait(&status)) {
    CheckTime(argv[0], deadline, timeout_seconds);
    poll(nullptr, 0, 5);
  }
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

}  // namespace ingot::vision
