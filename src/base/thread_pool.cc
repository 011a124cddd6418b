// SPDX-License-Identifier: Apache-2.0
#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"

namespace ingot {
namespace {

thread_local bool inside_parallel_for = false;

// How long a thread looks for work before it sleeps. The next piece of a forward pass mostly comes
// within this time, and waking a sleeping thread takes about as long. Much longer would hold a core
// that another program could use.
constexpr auto kLookFor = std::chrono::microseconds(60);

// Each thread's part is taken in this many pieces, so that the others can help one that has lost its
// core to another program.
constexpr size_t kPieces = 4;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

// Waits until `ready` for a short while; yields its core to whoever wants it. False: not ready yet.
template <typename Ready>
bool LookFor(Ready ready) {
  using Clock = std::chrono::steady_clock;
  for (int i = 0; i < 64; ++i) {
    if (ready()) return true;
    Pause();
  }
  for (const auto end = Clock::now() + kLookFor; Clock::now() < end;) {
    for (int i = 0; i < 16; ++i) {
      if (ready()) return true;
      Pause();
    }
    sched_yield();
  }
  return ready();
}

// A job is open while pieces of it are left. Workers join an open job; the caller closes it when
// all pieces are taken and then waits only for those who have joined: a worker that has not woken
// up in time is not missed.
class Pool {
 public:
  explicit Pool(int threads) : parts_(static_cast<size_t>(threads)) {
    for (size_t i = 1; i < parts_.size(); ++i) workers_.emplace_back([this, i] { Work(i); });
  }
  ~Pool() {
    stopping_.store(true);
    Signal();
    for (auto& worker : workers_) worker.join();
  }

  // False when another thread is running a job.
  bool Run(size_t count, size_t grain, RangeBody body) {
    const std::unique_lock only(run_mutex_, std::try_to_lock);
    if (!only) return false;
    count_ = count;
    grain_ = grain;
    body_ = &body;
    error_ = nullptr;
    const size_t units = (count + grain - 1) / grain, n = parts_.size();
    for (size_t i = 0; i < n; ++i) {
      Part& part = parts_[i];
      part.end = units * (i + 1) / n;
      part.piece = std::max<size_t>(1, (part.end - units * i / n) / kPieces);
      part.next.store(units * i / n, std::memory_order_relaxed);
    }
    state_.store(kOpen);
    Signal();
    TakePieces(0);
    state_.fetch_and(~kOpen);
    const auto left = [this] { return state_.load() == 0; };
    if (!LookFor(left)) {
      for (uint32_t joined = state_.load(); joined != 0; joined = state_.load())
        state_.wait(joined);
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    return true;
  }

 private:
  static constexpr uint32_t kOpen = 1u << 31;  // the other bits count the workers that have joined

  // Units [next, end) of one thread are still to be taken.
  struct alignas(64) Part {
    std::atomic<size_t> next = 0;
    size_t end = 0, piece = 1;
  };

  void Signal() {
    signal_.fetch_add(1);
    signal_.notify_all();
  }

  bool Join() {
    for (uint32_t state = state_.load(); (state & kOpen) != 0;) {
      if (state_.compare_exchange_weak(state, state + 1)) return true;
    }
    return false;
  }
  void Leave() {
    if (state_.fetch_sub(1) == 1) state_.notify_all();
  }

  // The thread's own part, then what others have left.
  void TakePieces(size_t index) {
    inside_parallel_for = true;
    try {
      for (size_t i = 0; i < parts_.size(); ++i) {
        Part& part = parts_[(index + i) % parts_.size()];
        for (size_t first = part.next.fetch_add(part.piece); first < part.end;
             first = part.next.fetch_add(part.piece)) {
          const size_t last = std::min(first + part.piece, part.end);
          (*body_)(first * grain_, std::min(last * grain_, count_));
        }
      }
    } catch (...) {
      const std::lock_guard lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
      for (Part& part : parts_) part.next.store(part.end);  // nobody needs to go on
    }
    inside_parallel_for = false;
  }

  void Work(size_t index) {
    for (uint32_t seen = 0;;) {
      if (!LookFor([&] { return signal_.load() != seen; })) signal_.wait(seen);
      seen = signal_.load();
      if (stopping_.load()) return;
      if (!Join()) continue;
      TakePieces(index);
      Leave();
    }
  }

  std::vector<Part> parts_;
  std::vector<std::thread> workers_;
  std::mutex run_mutex_, error_mutex_;
  std::atomic<uint32_t> signal_ = 0;  // changes with every job
  std::atomic<uint32_t> state_ = 0;
  std::atomic<bool> stopping_ = false;
  const RangeBody* body_ = nullptr;
  std::exception_ptr error_;
  size_t count_ = 0, grain_ = 1;
};

int DefaultThreads() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

std::mutex pool_mutex;
std::unique_ptr<Pool> pool;
std::atomic<int> pool_threads = 0;

}  // namespace

int NumThreads() {
  int threads = pool_threads.load(std::memory_order_relaxed);
  if (threads != 0) return threads;
  const std::lock_guard lock(pool_mutex);
  if (pool_threads.load() == 0) pool_threads.store(DefaultThreads());
  return pool_threads.load();
}

void SetNumThreads(int count) {
  if (count < 1 || count > 1024) {
    throw UserError("--threads {}: expected a number from 1 to 1024.", count);
  }
  const std::lock_guard lock(pool_mutex);
  pool.reset();
  pool_threads.store(count);
}

void ParallelFor(size_t count, size_t grain, RangeBody body) {
  if (count == 0) return;
  const int threads = NumThreads();
  if (threads == 1 || inside_parallel_for || count <= grain) {
    body(0, count);
    return;
  }
  Pool* current = nullptr;
  {
    const std::lock_guard lock(pool_mutex);
    if (!pool) pool = std::make_unique<Pool>(threads);
    current = pool.get();
  }
  // Whoever finds the threads busy does its work alone.
  if (!current->Run(count, std::max<size_t>(grain, 1), body)) body(0, count);
}

}  // namespace ingot
