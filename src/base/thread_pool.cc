// SPDX-License-Identifier: Apache-2.0
#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"

namespace ingot {
namespace {

thread_local bool inside_parallel_for = false;

struct Part {
  size_t begin, end;
};

// Part `index` of `parts` over `count` items in multiples of `grain`.
Part SplitPart(size_t count, size_t grain, size_t parts, size_t index) {
  const size_t units = (count + grain - 1) / grain;
  const size_t first = units * index / parts;
  const size_t last = units * (index + 1) / parts;
  return {std::min(first * grain, count), std::min(last * grain, count)};
}

// Waits are on a condition variable, never spinning: another program may own one of the cores.
class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { Work(static_cast<size_t>(i)); });
  }
  ~Pool() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    start_.notify_all();
    for (auto& worker : workers_) worker.join();
  }

  void Run(size_t count, size_t grain, const std::function<void(size_t, size_t)>& body) {
    std::lock_guard serial(run_mutex_);
    {
      std::lock_guard lock(mutex_);
      count_ = count;
      grain_ = grain;
      body_ = &body;
      error_ = nullptr;
      pending_ = workers_.size();
      ++generation_;
    }
    start_.notify_all();
    RunPart(0);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return pending_ == 0; });
    body_ = nullptr;
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  void RunPart(size_t index) {
    const Part part = SplitPart(count_, grain_, workers_.size() + 1, index);
    if (part.begin >= part.end) return;
    inside_parallel_for = true;
    try {
      (*body_)(part.begin, part.end);
    } catch (...) {
      std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
    inside_parallel_for = false;
  }

  void Work(size_t index) {
    uint64_t seen = 0;
    while (true) {
      {
        std::unique_lock lock(mutex_);
        start_.wait(lock, [&] { return stopping_ || generation_ != seen; });
        if (stopping_) return;
        seen = generation_;
      }
      RunPart(index);
      {
        std::lock_guard lock(mutex_);
        --pending_;
      }
      done_.notify_one();
    }
  }

  std::vector<std::thread> workers_;
  std::mutex run_mutex_, mutex_;
  std::condition_variable start_, done_;
  const std::function<void(size_t, size_t)>* body_ = nullptr;
  std::exception_ptr error_;
  size_t count_ = 0, grain_ = 1, pending_ = 0;
  uint64_t generation_ = 0;
  bool stopping_ = false;
};

int DefaultThreads() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

std::mutex pool_mutex;
std::unique_ptr<Pool> pool;
int pool_threads = 0;

}  // namespace

int NumThreads() {
  std::lock_guard lock(pool_mutex);
  if (pool_threads == 0) pool_threads = DefaultThreads();
  return pool_threads;
}

void SetNumThreads(int count) {
  if (count < 1 || count > 1024) {
    throw UserError("--threads {}: expected a number from 1 to 1024.", count);
  }
  std::lock_guard lock(pool_mutex);
  pool.reset();
  pool_threads = count;
}

void ParallelFor(size_t count, size_t grain, const std::function<void(size_t, size_t)>& body) {
  if (count == 0) return;
  const int threads = NumThreads();
  if (threads == 1 || inside_parallel_for || count <= grain) {
    body(0, count);
    return;
  }
  Pool* current = nullptr;
  {
    std::lock_guard lock(pool_mutex);
    if (!pool) pool = std::make_unique<Pool>(threads);
    current = pool.get();
  }
  current->Run(count, std::max<size_t>(grain, 1), body);
}

}  // namespace ingot
