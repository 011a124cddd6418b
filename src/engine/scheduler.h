// SPDX-License-Identifier: Apache-2.0
// Who computes what in the next step. Choices wait in order of precedence (arrival, or priority and
// then arrival), are admitted when their prompt finds pages, and then get one token each step
// (decode) or a piece of their prompt within the step's budget. When pages run out the last one in
// the order gives its pages back and waits again; what it had computed is recomputed (or found in
// the prefix cache) later.
//
// Invariants (Check verifies them):
// 1. A waiting choice holds no pages.
// 2. At most max_num_seqs choices run; they stand in order of precedence.
// 3. A step has at most max_num_batched_tokens tokens; every decode is in it.
// 4. The first running choice is never preempted for another one, so something always moves.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <vector>

#include "engine/prefix_cache.h"
#include "engine/sequence.h"
#include "engine/serve_options.h"

namespace ingot {

struct PlannedStep {
  Choice* choice = nullptr;
  int64_t n_tokens = 0;
  bool completes = false;  // afterwards a token can be chosen
};

class Scheduler {
 public:
  // `pool` has a limit of pages.
  Scheduler(KvPool* pool, const ServeOptions& options);

  void AddWaiting(Choice* choice);
  // A choice that shares the pages of a running one from the start. False (and it waits) when
  // max_num_seqs are running.
  bool AddFork(Choice* choice, const Choice& source);
  // Takes the choice out and gives its pages back; it is not touched any more.
  void Remove(Choice* choice);

  // Lets waiting choices run. `ready(choice, cached)`: its pictures behind token `cached` are
  // there; a choice that is not ready is passed over.
  using ReadyFn = std::function<bool(Choice& choice, int64_t cached_tokens)>;
  void Admit(const ReadyFn& ready);
  // The next step, at most `prefill_tokens` of it for prompts. Pages for it are reserved.
  const std::vector<PlannedStep>& Plan(int64_t prefill_tokens);
  // The choice's tokens were computed: full pages become findable.
  void Computed(Choice* choice);

  bool HasDecode() const;
  int64_t n_running() const { return static_cast<int64_t>(running_.size()); }
  int64_t n_waiting() const { return static_cast<int64_t>(waiting_.size()); }
  const std::vector<Choice*>& running() const { return running_; }
  uint64_t preemptions() const { return preemptions_; }
  PrefixCache& prefixes() { return prefixes_; }
  const PrefixCache& prefixes() const { return prefixes_; }
  void Check() const;  // throws InternalError when an invariant does not hold (tests)

 private:
  struct Before {
    SchedulingPolicy policy;
    bool operator()(const Choice* a, const Choice* b) const;
  };
  bool UsesPrefixes(const Choice& choice) const;
  // Pages that running choices still need for the tokens they have.
  int64_t Outstanding() const;
  bool StartIfRoom(Choice* choice);
  void InsertRunning(Choice* choice);
  bool MakePages(Choice* choice, int64_t n_tokens);
  void Preempt(Choice* choice);
  void GivePagesBack(Choice* choice);

  ServeOptions options_;
  Before before_;
  PrefixCache prefixes_;
  std::vector<Choice*> running_;  // in order of precedence
  std::set<Choice*, Before> waiting_;
  std::vector<PlannedStep> plan_;
  uint64_t preemptions_ = 0;
};

}  // namespace ingot
