// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "server/http_workers.h"

#include <utility>

namespace ingot::server {

HttpWorkers::HttpWorkers(int threads, size_t max_queued) : max_queued_(max_queued) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Loop(); });
}

HttpWorkers::~HttpWorkers() { Stop(); }

bool HttpWorkers::Submit(std::function<void()> task) {
  std::lock_guard lock(mutex_);
  if (stopping_ || tasks_.size() >= max_queued_) return false;
  tasks_.push_back(std::move(task));
  ready_.notify_one();
  return true;
}

void HttpWorkers::Stop() {
  std::deque<std::function<void()>> dropped;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped.swap(tasks_);
    ready_.notify_all();
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

size_t HttpWorkers::queued() const {
  std::lock_guard lock(mutex_);
  return tasks_.size();
}

void HttpWorkers::Loop() {
  for (;;) {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      ready_.wait(lock, [&] { return stopping_ || !tasks_.empty(); });
      if (stopping_) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace ingot::server
