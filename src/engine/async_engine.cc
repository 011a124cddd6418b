// SPDX-License-Identifier: Apache-2.0
// The thread around EngineCore: an inbox under a mutex, one loop, a published copy of the figures.
#include "engine/async_engine.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "engine/engine.h"
#include "engine/engine_core.h"
#include "engine/memory_plan.h"
#include "engine/qwen_runner.h"

namespace ingot {
namespace {

int64_t PromptBytes(const Request& request) {
  const PreparedPrompt& prompt = request.prompt;
  return static_cast<int64_t>((prompt.images.patches.size() + prompt.videos.patches.size()) *
                                  sizeof(float) +
                              prompt.ids.size() * sizeof(int32_t));
}

}  // namespace

class AsyncEngine::Impl {
 public:
  Impl(std::unique_ptr<ModelRunner> runner, const Tokenizer& tokenizer, const ServeOptions& options,
       MemoryPlan memory)
      : runner_(std::move(runner)),
        core_(runner_.get(), tokenizer, options),
        memory_(std::move(memory)) {
    core_.FillStats(&stats_);
    // Whoever has the last event sees figures that know of it.
    core_.OnLast([this] {
      std::lock_guard lock(mutex_);
      core_.FillStats(&stats_);
    });
    thread_ = std::thread([this] { Loop(); });
  }
  ~Impl() { Stop(); }

  Submitted Submit(Request request, EventSink sink) {
    const int64_t bytes = PromptBytes(request);
    {
      std::lock_guard lock(mutex_);
      if (const auto refused = Refusal(bytes)) return {.status = *refused};
    }
    std::unique_ptr<RequestState> state = core_.Prepare(std::move(request), std::move(sink));
    std::lock_guard lock(mutex_);
    if (const auto refused = Refusal(bytes)) return {.status = *refused};
    const uint64_t ticket = ++last_ticket_;
    state->ticket = ticket;
    queued_.emplace(ticket, bytes);
    queued_bytes_ += bytes;
    ++alive_;
    // A std::function must be copyable.
    inbox_.push_back([this, shared = std::make_shared<std::unique_ptr<RequestState>>(
                                std::move(state))] { core_.Add(std::move(*shared)); });
    wake_.notify_one();
    return {.ticket = ticket};
  }

  void Cancel(uint64_t ticket) {
    Post([this, ticket] { core_.Cancel(ticket); });
  }

  bool ResetPrefixCache() {
    return Ask([this] { return core_.ResetPrefixCache(); });
  }
  void ResetPictureCache() {
    Ask([this] {
      core_.ResetPictureCache();
      return true;
    });
  }

  EngineStats Stats() const {
    std::lock_guard lock(mutex_);
    EngineStats stats = stats_;
    stats.waiting = std::max(stats.waiting, static_cast<int64_t>(queued_.size()));
    return stats;
  }
  bool healthy() const {
    std::lock_guard lock(mutex_);
    return death_.empty();
  }
  std::string death_reason() const {
    std::lock_guard lock(mutex_);
    return death_;
  }
  const MemoryPlan& memory() const { return memory_; }
  const ServeOptions& options() const { return core_.options(); }

  bool Drain(std::chrono::milliseconds at_most) {
    std::unique_lock lock(mutex_);
    draining_ = true;
    return idle_.wait_for(lock, at_most, [this] { return alive_ == 0 || !death_.empty(); }) &&
           alive_ == 0;
  }

  void Stop() {
    {
      std::lock_guard lock(mutex_);
      draining_ = stopping_ = true;
      wake_.notify_one();
    }
    std::lock_guard joining(join_mutex_);
    if (thread_.joinable()) thread_.join();
  }

 private:
  // Under the mutex.
  std::optional<SubmitStatus> Refusal(int64_t bytes) const {
    if (!death_.empty()) return SubmitStatus::kDead;
    if (draining_) return SubmitStatus::kStopping;
    const bool full = static_cast<int64_t>(queued_.size()) >= options().max_waiting ||
                      (!queued_.empty() && queued_bytes_ + bytes > options().max_waiting_bytes);
    return full ? std::optional(SubmitStatus::kQueueFull) : std::nullopt;
  }

  void Post(std::function<void()> command) {
    std::lock_guard lock(mutex_);
    inbox_.push_back(std::move(command));
    wake_.notify_one();
  }

  // Runs `question` on the engine thread; false when that has ended.
  bool Ask(const std::function<bool()>& question) {
    struct Reply {
      bool done = false, value = false;
    };
    const auto answer = std::make_shared<Reply>();
    std::unique_lock lock(mutex_);
    if (stopping_ || !death_.empty()) return false;
    inbox_.push_back([this, answer, question] {
      const bool value = question();
      std::lock_guard inner(mutex_);
      *answer = {.done = true, .value = value};
      answered_.notify_all();
    });
    wake_.notify_one();
    answered_.wait(lock, [&] { return answer->done || loop_ended_; });
    return answer->done && answer->value;
  }

  // Commands in order; false when it is time to stop. Waits while there is nothing to do.
  bool TakeCommands() {
    std::deque<std::function<void()>> commands;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !inbox_.empty() || has_work_; });
      if (stopping_) return false;
      commands.swap(inbox_);
    }
    for (const auto& command : commands) command();
    return true;
  }

  void Publish() {
    const std::vector<uint64_t> started = core_.TakeStarted();
    std::lock_guard lock(mutex_);
    for (const uint64_t ticket : started) {
      const auto found = queued_.find(ticket);
      if (found == queued_.end()) continue;
      queued_bytes_ -= found->second;
      queued_.erase(found);
    }
    core_.FillStats(&stats_);
    alive_ = core_.n_requests() + PendingSubmits();
    if (alive_ == 0) idle_.notify_all();
  }

  // Requests that are still in the inbox: those that were accepted and have not reached the core.
  int64_t PendingSubmits() const {
    return static_cast<int64_t>(last_ticket_ - core_.last_ticket());
  }

  void Loop() {
    try {
      while (TakeCommands()) {
        has_work_ = core_.Step();
        Publish();
      }
      RunInbox();
      core_.EndAll(EndReason::kAbort, "");
      Publish();
    } catch (const std::exception& error) {
      LogText(LogLevel::kError, fmt::format("the engine has failed: {}", error.what()));
      {
        std::lock_guard lock(mutex_);
        death_ = error.what();
        if (death_.empty()) death_ = "unknown";
      }
      RunInbox();
      core_.Die("the engine has failed; the server must be restarted");
      Publish();
    }
    std::lock_guard lock(mutex_);
    loop_ended_ = true;
    idle_.notify_all();
    answered_.notify_all();
  }

  // What came in before nobody could add any more (draining_ or death_ is set).
  void RunInbox() {
    std::deque<std::function<void()>> commands;
    {
      std::lock_guard lock(mutex_);
      commands.swap(inbox_);
    }
    for (const auto& command : commands) command();
  }

  std::unique_ptr<ModelRunner> runner_;
  EngineCore core_;
  MemoryPlan memory_;

  mutable std::mutex mutex_;  // everything below up to the thread
  std::condition_variable wake_, idle_, answered_;
  std::deque<std::function<void()>> inbox_;       // for the engine thread, in order
  std::unordered_map<uint64_t, int64_t> queued_;  // accepted, not started: bytes of the prompt
  int64_t queued_bytes_ = 0;
  int64_t alive_ = 0;  // accepted, not ended
  uint64_t last_ticket_ = 0;
  bool draining_ = false, stopping_ = false, loop_ended_ = false;
  std::string death_;
  EngineStats stats_;

  bool has_work_ = false;  // engine thread only
  std::mutex join_mutex_;
  std::thread thread_;
};

AsyncEngine::AsyncEngine(std::unique_ptr<ModelRunner> runner, const Tokenizer& tokenizer,
                         const ServeOptions& options)
    : impl_(std::make_unique<Impl>(std::move(runner), tokenizer, options, MemoryPlan{})) {}

AsyncEngine::AsyncEngine(const Engine& engine, const ServeOptions& options)
    : AsyncEngine(engine, options, PlanMemory(MemoryFactsOf(engine), options)) {}

AsyncEngine::AsyncEngine(const Engine& engine, const ServeOptions& options,
                         const MemoryPlan& memory)
    : impl_(std::make_unique<Impl>(MakeQwenRunner(engine, memory.kv_pages),
                                   engine.prompts().tokenizer(), options, memory)) {}

AsyncEngine::~AsyncEngine() = default;

Submitted AsyncEngine::Submit(Request request, EventSink sink) {
  return impl_->Submit(std::move(request), std::move(sink));
}
void AsyncEngine::Cancel(uint64_t ticket) { impl_->Cancel(ticket); }
EngineStats AsyncEngine::Stats() const { return impl_->Stats(); }
bool AsyncEngine::healthy() const { return impl_->healthy(); }
std::string AsyncEngine::death_reason() const { return impl_->death_reason(); }
const MemoryPlan& AsyncEngine::memory() const { return impl_->memory(); }
int64_t AsyncEngine::max_model_len() const { return impl_->options().max_model_len; }
const ServeOptions& AsyncEngine::options() const { return impl_->options(); }
bool AsyncEngine::ResetPrefixCache() { return impl_->ResetPrefixCache(); }
void AsyncEngine::ResetPictureCache() { impl_->ResetPictureCache(); }
bool AsyncEngine::Drain(std::chrono::milliseconds at_most) { return impl_->Drain(at_most); }
void AsyncEngine::Stop() { impl_->Stop(); }

}  // namespace ingot
