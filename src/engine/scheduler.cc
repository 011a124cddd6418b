// SPDX-License-Identifier: Apache-2.0
#include "engine/scheduler.h"

#include <algorithm>
#include <tuple>

#include "base/error.h"

namespace ingot {

bool Scheduler::Before::operator()(const Choice* a, const Choice* b) const {
  const auto key = [this](const Choice* choice) {
    const int64_t priority =
        policy == SchedulingPolicy::kPriority ? choice->request->request.priority : 0;
    return std::tuple(priority, choice->request->ticket, choice->index);
  };
  return key(a) < key(b);
}

Scheduler::Scheduler(KvPool* pool, const ServeOptions& options)
    : options_(options), before_{options.policy}, prefixes_(pool), waiting_(before_) {}

void Scheduler::AddWaiting(Choice* choice) {
  choice->state = ChoiceState::kWaiting;
  waiting_.insert(choice);
}

void Scheduler::InsertRunning(Choice* choice) {
  choice->state = ChoiceState::kRunning;
  running_.insert(std::lower_bound(running_.begin(), running_.end(), choice, before_), choice);
}

bool Scheduler::AddFork(Choice* choice, const Choice& source) {
  if (n_running() >= options_.max_num_seqs) {
    AddWaiting(choice);
    return false;
  }
  choice->kv = source.kv.Fork();
  choice->kept_pages = source.kept_pages;
  InsertRunning(choice);
  return true;
}

bool Scheduler::UsesPrefixes(const Choice& choice) const {
  // Logits of the whole prompt come only from computing the whole prompt.
  const bool all_logits =
      choice.request->request.sampling.prompt_logprobs && !choice.request->prompt_reported;
  return options_.prefix_caching && !all_logits;
}

void Scheduler::GivePagesBack(Choice* choice) {
  if (options_.prefix_caching && choice->kv.length() > 0) {
    choice->chain.Extend(choice->tokens);
    prefixes_.Keep(choice->chain.hashes(), choice->kv, choice->kept_pages, /*partial=*/true);
  }
  choice->kept_pages = 0;
  choice->kv.Clear();
}

void Scheduler::Remove(Choice* choice) {
  waiting_.erase(choice);
  std::erase(running_, choice);
  std::erase_if(plan_, [&](const PlannedStep& step) { return step.choice == choice; });
  GivePagesBack(choice);
  choice->state = ChoiceState::kEnded;
}

void Scheduler::Preempt(Choice* choice) {
  std::erase(running_, choice);
  GivePagesBack(choice);
  AddWaiting(choice);
  ++preemptions_;
}

int64_t Scheduler::Outstanding() const {
  int64_t n_pages = 0;
  for (const Choice* choice : running_) n_pages += choice->kv.PagesFor(choice->Remaining());
  return n_pages;
}

bool Scheduler::StartIfRoom(Choice* choice) {
  const int64_t limit = static_cast<int64_t>(choice->tokens.size()) - 1;  // one gives the logits
  if (UsesPrefixes(*choice)) {
    choice->chain.Extend(choice->tokens);
    prefixes_.Adopt(choice->chain.hashes(), limit, &choice->kv);
    choice->kept_pages = choice->kv.length() / kKvPageTokens;
  }
  // Some room for those that run already: otherwise the next steps would end in preemption.
  const int64_t spare = n_running() == 0 ? 0 : 1 + n_running() / 8;
  const int64_t needed = choice->kv.PagesFor(choice->Remaining());
  if (prefixes_.Available() - Outstanding() < needed + spare) {
    choice->kept_pages = 0;
    choice->kv.Clear();
    return false;
  }
  waiting_.erase(choice);
  InsertRunning(choice);
  return true;
}

void Scheduler::Admit(const ReadyFn& ready) {
  for (auto next = waiting_.begin();
       next != waiting_.end() && n_running() < options_.max_num_seqs;) {
    Choice* choice = *next++;
    int64_t cached = 0;
    if (UsesPrefixes(*choice)) {
      choice->chain.Extend(choice->tokens);
      cached =
          prefixes_.Match(choice->chain.hashes(), static_cast<int64_t>(choice->tokens.size()) - 1);
    }
    if (!ready(*choice, cached)) continue;
    if (!StartIfRoom(choice)) break;  // nobody overtakes for lack of memory
  }
}

bool Scheduler::MakePages(Choice* choice, int64_t n_tokens) {
  while (!prefixes_.MakeRoom(choice->kv.PagesFor(n_tokens))) {
    Choice* last = running_.back();
    Preempt(last);
    if (last == choice) return false;
  }
  if (!choice->kv.Reserve(n_tokens)) throw InternalError("pages were made and are not there");
  return true;
}

const std::vector<PlannedStep>& Scheduler::Plan(int64_t prefill_tokens) {
  plan_.clear();
  const auto n_decodes =
      std::ranges::count_if(running_, [](const Choice* c) { return c->Remaining() == 1; });
  int64_t prompt_left = std::min(prefill_tokens, options_.max_num_batched_tokens - n_decodes);
  // Victims of MakePages come from the end: planned ones are never among them.
  for (size_t i = 0; i < running_.size(); ++i) {
    Choice* choice = running_[i];
    const int64_t remaining = choice->Remaining();
    const int64_t n = remaining == 1 ? 1 : std::min(remaining, prompt_left);
    if (n <= 0) continue;
    if (!MakePages(choice, n)) break;  // it was the last one
    if (remaining > 1) prompt_left -= n;
    plan_.push_back({.choice = choice, .n_tokens = n, .completes = n == remaining});
  }
  return plan_;
}

void Scheduler::Computed(Choice* choice) {
  if (!options_.prefix_caching || choice->kv.length() / kKvPageTokens <= choice->kept_pages) return;
  choice->chain.Extend(choice->tokens);
  choice->kept_pages =
      prefixes_.Keep(choice->chain.hashes(), choice->kv, choice->kept_pages, /*partial=*/false);
}

bool Scheduler::HasDecode() const {
  return std::ranges::any_of(running_, [](const Choice* c) { return c->n_output() > 0; });
}

void Scheduler::Check() const {
  for (const Choice* choice : waiting_) {
    if (choice->kv.length() != 0 || !choice->kv.pages().empty())
      throw InternalError("a waiting choice holds pages");
    if (choice->state != ChoiceState::kWaiting) throw InternalError("a waiting choice says no");
  }
  if (!std::ranges::is_sorted(running_, before_))
    throw InternalError("running choices are out of order");
  if (n_running() > options_.max_num_seqs) throw InternalError("too many choices run");
  int64_t n_tokens = 0;
  for (const PlannedStep& step : plan_) n_tokens += step.n_tokens;
  if (n_tokens > options_.max_num_batched_tokens) throw InternalError("the step is too large");
  prefixes_.Check();
}

}  // namespace ingot
