// SPDX-License-Identifier: Apache-2.0
// Threads that run handlers, with a bounded queue in front.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace ingot::server {

class HttpWorkers {
 public:
  HttpWorkers(int threads, size_t max_queued);
  ~HttpWorkers();  // Stop

  bool Submit(std::function<void()> task);  // false: the queue is full, or stopped
  // Waits for tasks that run; those that wait are dropped.
  void Stop();
  size_t queued() const;

 private:
  void Loop();
  const size_t max_queued_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace ingot::server
