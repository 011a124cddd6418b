// SPDX-License-Identifier: Apache-2.0
// The engine without its thread: requests come in, Step does a bounded piece of work, events go
// out. AsyncEngine runs it on a thread; tests run it step by step.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/model_runner.h"
#include "engine/picture_cache.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "engine/serve_options.h"
#include "engine/stats.h"
#include "engine/token_step.h"

namespace ingot {

class EngineCore {
 public:
  // `runner` and `tokenizer` outlive this. Errors: UserError on impossible options; ResourceError
  // when the pool is too small for one sequence.
  EngineCore(ModelRunner* runner, const Tokenizer& tokenizer, const ServeOptions& options);

  // Checks a request and prepares what takes time. Any thread. Errors: UserError when it can never
  // be served.
  std::unique_ptr<RequestState> Prepare(Request request, EventSink sink) const;

  // From here on: the engine thread.
  void Add(std::unique_ptr<RequestState> request);
  void Cancel(uint64_t ticket);
  void EndAll(EndReason reason, const std::string& error);
  // After a failed step, when nothing here can be trusted any more: all requests end with an error
  // event, and pages go back when this is destroyed.
  void Die(const std::string& error);
  // One batch and one slice of a picture, as far as there is work. False: there was none.
  bool Step();
  int64_t n_requests() const { return static_cast<int64_t>(requests_.size()); }
  uint64_t last_ticket() const { return last_ticket_; }  // of Add
  bool ResetPrefixCache();                               // false while something runs
  void ResetPictureCache() { picture_cache_.Clear(); }

  // Called before the last event of a request is delivered, when what it held is given back.
  void OnLast(std::function<void()> hook) { on_last_ = std::move(hook); }
  // Requests (ticket) that left the queue or ended since the last call, for the bound of the queue.
  std::vector<uint64_t> TakeStarted();
  void FillStats(EngineStats* stats) const;
  const ServeOptions& options() const { return options_; }  // as they took effect
  void Check() const;  // throws InternalError when an invariant does not hold (tests)

 private:
  struct VisionJob {
    uint64_t ticket;
    size_t picture;
    std::unique_ptr<PictureRun> run;
  };
  struct Wish {  // a picture that somebody waits for
    uint64_t ticket;
    size_t picture;
  };

  bool PicturesReady(Choice* choice, int64_t cached_tokens);
  void PlaceFeatures(RequestState* request) const;
  void DropFeatures(RequestState* request) const;
  bool RunVision();
  int64_t PromptTokensOfStep() const;
  double SliceSeconds() const;

  void RunPlan(const std::vector<PlannedStep>& plan);
  void Start(RequestState* request, const Choice& choice);
  SequenceStep MakeStep(const PlannedStep& planned);
  void CollectPromptLogprobs(RequestState* request, int64_t slot, std::span<const float> logits);
  void Fork(RequestState* request);
  void AddTasks(const PlannedStep& planned, std::span<const float> row);
  void Learn(const std::vector<PlannedStep>& plan, double seconds);

  void Accept(SampleTask* task);
  // Text and reason of a choice that got `token`; nullopt: it goes on.
  std::optional<EndReason> Advance(Choice* choice, int32_t token, RequestEvent* event);
  bool WatchToken(const SampleTask& task, std::optional<EndReason> end, RequestEvent* event);
  void ReportGarbage(const Choice& choice, const GarbageReport& report, bool ended_for_it,
                     RequestEvent* event);
  void CountEnd(const Choice& choice, EndReason reason);
  void CountLatency(Choice* choice);
  void End(Choice* choice, EndReason reason, RequestEvent event);
  void EndRequest(RequestState* request, EndReason reason, const std::string& error);
  void Deliver(RequestState* request, RequestEvent event) const;
  RequestEvent EventOf(const Choice& choice) const;
  void MarkStarted(RequestState* request);

  ModelRunner* runner_;
  const Tokenizer& tokenizer_;
  ServeOptions options_;
  Scheduler scheduler_;
  PictureCache picture_cache_;
  std::map<uint64_t, std::unique_ptr<RequestState>> requests_;
  std::vector<uint64_t> started_;
  std::optional<VisionJob> job_;
  std::optional<Wish> wish_;

  // Kept between steps so that they do not allocate.
  std::vector<SequenceStep> steps_;
  std::vector<SampleTask> tasks_;

  double prompt_token_seconds_ = 0;  // running mean; 0: not known yet
  double decode_seconds_ = 0;        // of a step without prompts
  int idle_steps_ = 0;
  uint64_t last_ticket_ = 0;
  bool dead_ = false;
  std::function<void()> on_last_;
  EngineStats stats_;
};

}  // namespace ingot
