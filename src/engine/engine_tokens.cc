// SPDX-License-Identifier: Apache-2.0
// What a chosen token does: text, stop conditions, events, figures, the garbage watch.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "engine/engine_core.h"

namespace ingot {
namespace {

double SecondsBetween(EngineClock::time_point from, EngineClock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

bool Contains(const std::vector<int32_t>& ids, int32_t id) {
  return std::ranges::find(ids, id) != ids.end();
}

std::string Joined(const std::vector<std::string>& texts) {
  std::string joined;
  for (const std::string& text : texts) joined += (joined.empty() ? "" : "; ") + text;
  return joined;
}

}  // namespace

RequestEvent EngineCore::EventOf(const Choice& choice) const {
  return {.choice = choice.index,
          .usage = {.prompt_tokens = choice.request->n_prompt(),
                    .cached_tokens = choice.request->cached_tokens,
                    .completion_tokens = choice.n_output()}};
}

void EngineCore::Deliver(RequestState* request, RequestEvent event) const {
  if (request->prompt_logprobs && !request->prompt_reported && event.choice == 0 &&
      event.end.value_or(EndReason::kStop) != EndReason::kAbort &&
      event.end.value_or(EndReason::kStop) != EndReason::kError) {
    event.prompt_logprobs = request->prompt_logprobs;
    request->prompt_reported = true;
  }
  try {
    request->sink(std::move(event));
  } catch (const std::exception& error) {
    LogWarning("request {}: its receiver failed: {}", request->request.id, error.what());
  }
}

void EngineCore::CountLatency(Choice* choice) {
  const auto now = EngineClock::now();
  if (choice->first_token == EngineClock::time_point{}) {
    choice->first_token = now;
    if (choice->index == 0)
      stats_.histograms.time_to_first_token.Add(
          SecondsBetween(choice->request->request.arrival, now));
  } else {
    stats_.histograms.inter_token.Add(SecondsBetween(choice->last_token, now));
  }
  choice->last_token = now;
  ++stats_.generation_tokens;
}

// The token that ends an answer shows no text, unless a stop token is to be included.
std::optional<EndReason> EngineCore::Advance(Choice* choice, int32_t token, RequestEvent* event) {
  const RequestState& request = *choice->request;
  const RequestSampling& sampling = request.request.sampling;
  std::optional<EndReason> end;
  if (Contains(request.stop_ids, token)) {
    end = EndReason::kStop;
    if (!Contains(request.quiet_stop_ids, token)) event->stop_reason = token;
  } else if (choice->grammar && choice->grammar->IsFinished()) {
    end = EndReason::kStop;
  } else if (choice->n_output() >= request.max_tokens) {
    end = EndReason::kLength;
  }
  const bool silent = Contains(request.stop_ids, token) && !sampling.include_stop_str_in_output;
  std::string piece = silent ? "" : choice->decoder.Push(token);
  if (end) piece += choice->decoder.Finish();
  if (choice->watch) choice->watch->AddText(piece);
  if (choice->stops.empty()) {
    event->text = std::move(piece);
  } else if (choice->n_output() <= sampling.min_tokens) {
    event->text = choice->stops.Pass(piece);
  } else {
    StopText::Result result = choice->stops.Push(piece);
    event->text = std::move(result.text);
    if (result.stop) {
      event->stop_reason = choice->stops.stop(*result.stop);
      return EndReason::kStop;
    }
  }
  if (end) event->text += choice->stops.Finish();
  return end;
}

void EngineCore::ReportGarbage(const Choice& choice, const GarbageReport& report, bool ended_for_it,
                               RequestEvent* event) {
  GarbageCounts& counts = stats_.garbage;
  for (const GarbageSign sign : report.signs) {
    counts.bad_logits += sign == GarbageSign::kBadLogits ? 1 : 0;
    counts.entropy += sign == GarbageSign::kEntropy ? 1 : 0;
    counts.broken_utf8 += sign == GarbageSign::kBrokenText ? 1 : 0;
    counts.control_tokens += sign == GarbageSign::kControlTokens ? 1 : 0;
    counts.scripts += sign == GarbageSign::kScripts ? 1 : 0;
    counts.repetition += sign == GarbageSign::kRepetition ? 1 : 0;
  }
  ++counts.requests;
  counts.requests_ended += ended_for_it ? 1 : 0;
  event->garbage = report.reasons;
  LogWarning("request {}: answer {} looks like garbage: {}{}", choice.request->request.id,
             choice.index, Joined(report.reasons), ended_for_it ? "; ended" : "");
}

// True when the answer was ended for being garbage.
bool EngineCore::WatchToken(const SampleTask& task, std::optional<EndReason> end,
                            RequestEvent* event) {
  Choice& choice = *task.choice;
  if (!choice.watch) return false;
  const bool ends_turn = Contains(choice.request->stop_ids, task.sampled.token);
  if (!ends_turn) {
    choice.watch->Add(task.sampled.token, task.entropy, task.sampled.bad_logits,
                      tokenizer_.IsSpecial(task.sampled.token));
  }
  const bool look =
      end || (options_.end_garbage && (choice.watch->Due() || task.sampled.bad_logits > 0));
  if (!look) return false;
  const GarbageReport report = choice.watch->Judge(end == EndReason::kStop);
  if (report.verdict != GarbageVerdict::kGarbage) return false;
  const bool ends = options_.end_garbage && !end;
  ReportGarbage(choice, report, ends, event);
  if (ends) event->error = "the answer was ended: " + Joined(report.reasons);
  return ends;
}

void EngineCore::Accept(SampleTask* task) {
  Choice* choice = task->choice;
  RequestEvent event;
  if (!task->error.empty()) {
    event = EventOf(*choice);
    event.error = task->error;
    event.impossible = task->impossible;
    return End(choice, EndReason::kError, std::move(event));
  }
  const int32_t token = task->sampled.token;
  choice->tokens.push_back(token);
  event = EventOf(*choice);
  event.tokens.push_back(token);
  event.logprobs = std::move(task->logprobs);
  CountLatency(choice);
  // The end of a turn is outside of the grammar.
  const bool stops = Contains(choice->request->stop_ids, token);
  if (choice->grammar && !stops && !choice->grammar->Accept(token)) {
    event.error = fmt::format("the grammar refused token {}, which it had allowed", token);
    return End(choice, EndReason::kError, std::move(event));
  }
  std::optional<EndReason> end = Advance(choice, token, &event);
  if (WatchToken(*task, end, &event)) end = EndReason::kError;
  if (end) return End(choice, *end, std::move(event));
  Deliver(choice->request, std::move(event));
  DropFeatures(choice->request);
}

void EngineCore::CountEnd(const Choice& choice, EndReason reason) {
  EngineHistograms& histograms = stats_.histograms;
  uint64_t* const counters[] = {&stats_.ended_stop, &stats_.ended_length, &stats_.ended_abort,
                                &stats_.ended_error};
  ++*counters[static_cast<size_t>(reason)];
  const auto now = EngineClock::now();
  const RequestState& request = *choice.request;
  const int64_t n_output = choice.n_output();
  if (reason == EndReason::kAbort || reason == EndReason::kError || !request.scheduled) return;
  histograms.e2e.Add(SecondsBetween(request.request.arrival, now));
  histograms.queue.Add(SecondsBetween(request.request.arrival, request.first_scheduled));
  histograms.inference.Add(SecondsBetween(request.first_scheduled, now));
  histograms.prompt_tokens.Add(static_cast<double>(request.n_prompt()));
  histograms.generation_tokens.Add(static_cast<double>(n_output));
  if (n_output == 0) return;
  const double decode = SecondsBetween(choice.first_token, choice.last_token);
  histograms.prefill.Add(SecondsBetween(request.first_scheduled, choice.first_token));
  histograms.decode.Add(decode);
  if (n_output > 1)
    histograms.time_per_output_token.Add(decode / static_cast<double>(n_output - 1));
}

void EngineCore::End(Choice* choice, EndReason reason, RequestEvent event) {
  RequestState* request = choice->request;
  if (!dead_) scheduler_.Remove(choice);
  choice->state = ChoiceState::kEnded;
  CountEnd(*choice, reason);
  event.end = reason;
  event.last = request->AllEnded();
  const bool last = event.last;
  if (last) {
    int64_t longest = 0;
    for (const auto& one : request->choices) longest = std::max(longest, one->n_output());
    stats_.histograms.max_generation_tokens.Add(static_cast<double>(longest));
    if (on_last_) on_last_();
  }
  Deliver(request, std::move(event));
  if (last) {
    requests_.erase(request->ticket);
  } else {
    DropFeatures(request);
  }
}

// All open choices, those that were not even made too.
void EngineCore::EndRequest(RequestState* request, EndReason reason, const std::string& error) {
  if (job_ && job_->ticket == request->ticket) job_.reset();
  if (wish_ && wish_->ticket == request->ticket) wish_.reset();
  MarkStarted(request);
  if (!request->forked) {
    request->forked = true;
    for (int64_t i = 1; i < request->request.n; ++i) {
      request->choices.push_back(
          std::make_unique<Choice>(request, i, runner_->pool(), tokenizer_, PrefixChain("", {})));
    }
  }
  std::vector<Choice*> open;
  for (const auto& choice : request->choices) {
    if (choice->state != ChoiceState::kEnded) open.push_back(choice.get());
  }
  for (Choice* choice : open) {
    RequestEvent event = EventOf(*choice);
    event.error = error;
    if (reason != EndReason::kError) event.text = choice->stops.Finish();
    End(choice, reason, std::move(event));
  }
}

}  // namespace ingot
