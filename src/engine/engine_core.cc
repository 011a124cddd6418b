// SPDX-License-Identifier: Apache-2.0
// Requests in, pictures, batches. What happens to chosen tokens is engine_tokens.cc.
#include "engine/engine_core.h"

#include <algorithm>
#include <random>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace ingot {
namespace {

constexpr int64_t kSmallestPiece = 16;   // prompt tokens of a step beside running streams
constexpr int64_t kFirstPiece = 32;      // while the speed is not known yet
constexpr int64_t kSmallestAlone = 128;  // when no stream is running
constexpr double kLearningRate = 0.3;

double SecondsBetween(EngineClock::time_point from, EngineClock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

uint64_t RandomSeed() {
  thread_local std::mt19937_64 random(std::random_device{}());
  return random();
}

// vllm-project/vllm: vllm/sampling_params.py, SamplingParams.update_from_tokenizer: the word as it
// is, and behind a space when that is a word of its own.
std::vector<std::vector<int32_t>> EncodeBadWords(const Tokenizer& tokenizer,
                                                 const std::vector<std::string>& words) {
  std::vector<std::vector<int32_t>> encoded;
  for (const std::string& word : words) {
    const std::string bare = word.substr(std::min(word.find_first_not_of(' '), word.size()));
    std::vector<int32_t> plain = tokenizer.EncodeUser(bare);
    const std::vector<int32_t> spaced = tokenizer.EncodeUser(" " + bare);
    if (plain.empty()) throw UserError("bad_words must not contain an empty word");
    const bool own = !spaced.empty() && spaced[0] != plain[0] && spaced.size() == plain.size();
    encoded.push_back(std::move(plain));
    if (own) encoded.push_back(spaced);
  }
  return encoded;
}

std::vector<uint32_t> MaskOfIds(const std::vector<int32_t>& ids, int64_t vocab) {
  std::vector<uint32_t> mask;
  if (ids.empty()) return mask;
  mask.resize(static_cast<size_t>((vocab + 31) / 32));
  for (const int32_t id : ids) mask[static_cast<size_t>(id) / 32] |= 1u << (id % 32);
  return mask;
}

void CheckOptions(const ServeOptions& options) {
  if (options.max_num_seqs < 1) throw UserError("max_num_seqs must be at least 1");
  if (options.max_num_batched_tokens < options.max_num_seqs) {
    throw UserError("max_num_batched_tokens ({}) must be at least max_num_seqs ({})",
                    options.max_num_batched_tokens, options.max_num_seqs);
  }
  if (options.max_stall_ms < 1) throw UserError("the stall bound must be at least 1 ms");
}

// Pages bound the longest sequence; one is left over for a copy of a shared last page.
ServeOptions Effective(ServeOptions options, const ModelFacts& facts, const KvPool& pool) {
  CheckOptions(options);
  const int64_t most = (pool.max_pages() - 1) * kKvPageTokens;
  if (most < kKvPageTokens)
    throw ResourceError("{} pages of keys and values are too few to serve; give more memory",
                        pool.max_pages());
  const int64_t model = facts.max_positions > 0 ? facts.max_positions : most;
  if (options.max_model_len > model) {
    throw UserError(
        "--max-model-len {} is more than the {} tokens of the model. Lower it, or leave it out.",
        options.max_model_len, model);
  }
  if (options.max_model_len > most) {
    throw ResourceError(
        "max_model_len {} needs more memory for keys and values than there is: {} pages of {} "
        "tokens take {} at most. Lower max_model_len or raise the memory share",
        options.max_model_len, pool.max_pages(), kKvPageTokens, most);
  }
  if (options.max_model_len == 0) options.max_model_len = std::min(model, most);
  return options;
}

}  // namespace

EngineCore::EngineCore(ModelRunner* runner, const Tokenizer& tokenizer, const ServeOptions& options)
    : runner_(runner),
      tokenizer_(tokenizer),
      options_(Effective(options, runner->facts(), *runner->pool())),
      scheduler_(runner->pool(), options_),
      picture_cache_(options.picture_cache_bytes) {
  stats_.histograms = EngineHistograms(options_.max_model_len);
}

std::unique_ptr<RequestState> EngineCore::Prepare(Request request, EventSink sink) const {
  const ModelFacts& facts = runner_->facts();
  CheckRequestSampling(request.sampling, facts.vocab_limit);
  if (request.n < 1) throw UserError("n must be at least 1, got {}", request.n);
  const int64_t n_prompt = request.prompt.n_tokens();
  if (n_prompt == 0) throw UserError("the prompt has no tokens");
  const bool generates = request.sampling.max_tokens.value_or(1) > 0;
  const int64_t room = options_.max_model_len - n_prompt;
  if (room < (generates ? 1 : 0)) {
    throw UserError(
        "the prompt has {} tokens, and prompt and answer together may have {}. Shorten the prompt "
        "or use smaller pictures",
        n_prompt, options_.max_model_len);
  }
  for (const int32_t token : request.prompt.ids) {
    if (token < 0 || token >= facts.vocab)
      throw UserError("the prompt has token id {}, the vocabulary has {} tokens", token,
                      facts.vocab);
  }

  auto state = std::make_unique<RequestState>();
  state->positions = runner_->Positions(request.prompt);
  if (request.pictures.empty()) request.pictures = PictureIdsOf(request.prompt);
  std::vector<int64_t> images, videos;
  for (const Grid& grid : request.prompt.images.grids)
    images.push_back(runner_->PictureTokens(grid));
  for (const Grid& grid : request.prompt.videos.grids)
    videos.push_back(runner_->PictureTokens(grid));
  state->pictures = FindPictures(request.prompt, images, videos, request.pictures);
  state->features.resize(state->pictures.size());

  RequestSampling& sampling = request.sampling;
  if (!sampling.seed) sampling.seed = options_.deterministic ? 0 : RandomSeed();
  if (!sampling.ignore_eos) {
    state->stop_ids = facts.stop_ids;
    state->quiet_stop_ids = facts.stop_ids;
  }
  state->stop_ids.insert(state->stop_ids.end(), sampling.stop_token_ids.begin(),
                         sampling.stop_token_ids.end());
  std::ranges::sort(state->stop_ids);
  state->bad_words = EncodeBadWords(tokenizer_, sampling.bad_words);
  state->allowed = MaskOfIds(sampling.allowed_token_ids, facts.vocab_limit);
  state->max_tokens = std::min(sampling.max_tokens.value_or(room), room);
  if (sampling.prompt_logprobs) {
    state->prompt_logprobs = std::make_shared<PromptLogprobs>();
    state->prompt_logprobs->resize(static_cast<size_t>(n_prompt));
  }
  state->request = std::move(request);
  state->sink = std::move(sink);
  PrefixChain chain(state->request.cache_salt, state->pictures);
  if (options_.prefix_caching) chain.Extend(state->request.prompt.ids);
  state->choices.push_back(
      std::make_unique<Choice>(state.get(), 0, runner_->pool(), tokenizer_, std::move(chain)));
  if (options_.watch_garbage) state->choices[0]->watch.emplace(facts.vocab_limit);
  return state;
}

void EngineCore::Add(std::unique_ptr<RequestState> request) {
  RequestState* state = request.get();
  last_ticket_ = state->ticket;
  stats_.histograms.params_n.Add(static_cast<double>(state->request.n));
  stats_.histograms.params_max_tokens.Add(static_cast<double>(state->max_tokens));
  requests_.emplace(state->ticket, std::move(request));
  scheduler_.AddWaiting(state->choices[0].get());
}

void EngineCore::MarkStarted(RequestState* request) {
  if (request->scheduled) return;
  request->scheduled = true;
  request->first_scheduled = EngineClock::now();
  started_.push_back(request->ticket);
}

std::vector<uint64_t> EngineCore::TakeStarted() { return std::exchange(started_, {}); }

// ---- pictures ----

bool EngineCore::PicturesReady(Choice* choice, int64_t cached_tokens) {
  RequestState& request = *choice->request;
  bool ready = true, changed = false;
  for (size_t i = 0; i < request.pictures.size(); ++i) {
    const PicturePlace& place = request.pictures[i];
    if (place.end <= cached_tokens || request.features[i]) continue;
    request.features[i] = picture_cache_.Find(place.id);
    if (request.features[i]) {
      ++stats_.picture_queries;
      ++stats_.picture_hits;
      changed = true;
      continue;
    }
    ready = false;
    if (!wish_) wish_ = {request.ticket, i};
  }
  if (changed) PlaceFeatures(&request);
  return ready;
}

void EngineCore::PlaceFeatures(RequestState* request) const {
  request->visual.clear();
  for (size_t i = 0; i < request->pictures.size(); ++i) {
    if (!request->features[i]) continue;
    for (const PictureRows& rows : request->pictures[i].rows) {
      request->visual.push_back({.first = rows.first,
                                 .count = rows.count,
                                 .source = request->features[i].get(),
                                 .source_row = rows.row});
    }
  }
}

// A request keeps the tower's output only while a prompt is being read: it is large.
void EngineCore::DropFeatures(RequestState* request) const {
  const bool reading = std::ranges::any_of(request->choices, [&](const auto& choice) {
    return choice->state != ChoiceState::kEnded && choice->kv.length() < request->n_prompt();
  });
  if (reading || request->pictures.empty()) return;
  request->visual.clear();
  std::ranges::fill(request->features, nullptr);
}

double EngineCore::SliceSeconds() const {
  const double bound = static_cast<double>(options_.max_stall_ms) * 1e-3;
  return scheduler_.HasDecode() ? bound / 2 : 2 * bound;
}

bool EngineCore::RunVision() {
  if (!job_ && wish_) {
    RequestState& request = *requests_.at(wish_->ticket);
    const PicturePlace& place = request.pictures[wish_->picture];
    MarkStarted(&request);
    job_ = {wish_->ticket, wish_->picture,
            runner_->StartPicture(request.request.prompt, place.video, place.index)};
  }
  if (!job_) return false;
  const auto start = EngineClock::now();
  const bool done = job_->run->RunSlice(SliceSeconds());
  stats_.model_seconds += SecondsBetween(start, EngineClock::now());
  if (!done) return true;
  RequestState& request = *requests_.at(job_->ticket);
  request.features[job_->picture] = job_->run->Take();
  ++stats_.picture_queries;
  picture_cache_.Insert(request.pictures[job_->picture].id, request.features[job_->picture]);
  PlaceFeatures(&request);
  job_.reset();
  return true;
}

// ---- steps ----

int64_t EngineCore::PromptTokensOfStep() const {
  const bool streams = scheduler_.HasDecode();
  if (options_.prefill_chunk > 0 && streams) return options_.prefill_chunk;
  const int64_t smallest = streams ? kSmallestPiece : kSmallestAlone;
  if (prompt_token_seconds_ <= 0) return streams ? kFirstPiece : kSmallestAlone;
  const double most = static_cast<double>(options_.max_num_batched_tokens);
  const auto n = static_cast<int64_t>(std::min(SliceSeconds() / prompt_token_seconds_, most));
  return std::max(n / 32 * 32, smallest);
}

void EngineCore::Learn(const std::vector<PlannedStep>& plan, double seconds) {
  int64_t n_tokens = 0, n_prompt = 0;
  for (const PlannedStep& step : plan) {
    n_tokens += step.n_tokens;
    if (step.n_tokens > 1) n_prompt += step.n_tokens;
  }
  const auto learn = [](double* mean, double value) {
    *mean = *mean <= 0 ? value : *mean + kLearningRate * (value - *mean);
  };
  if (n_prompt == 0) {
    learn(&decode_seconds_, seconds);
  } else if (n_prompt >= kSmallestPiece) {
    const double rest = n_tokens > n_prompt ? std::min(decode_seconds_, seconds / 2) : 0;
    learn(&prompt_token_seconds_, (seconds - rest) / static_cast<double>(n_prompt));
  }
  ++stats_.steps;
  stats_.histograms.iteration_tokens.Add(static_cast<double>(n_tokens));
}

bool EngineCore::Step() {
  const auto start = EngineClock::now();
  const bool streams = scheduler_.HasDecode();
  wish_.reset();
  scheduler_.Admit(
      [this](Choice& choice, int64_t cached) { return PicturesReady(&choice, cached); });
  const std::vector<PlannedStep> plan = scheduler_.Plan(PromptTokensOfStep());
  if (!plan.empty()) RunPlan(plan);
  // RunPlan may have ended the request that wished.
  if (wish_ && !requests_.contains(wish_->ticket)) wish_.reset();
  const bool worked = RunVision() || !plan.empty();
  idle_steps_ = worked || requests_.empty() ? 0 : idle_steps_ + 1;
  if (idle_steps_ > 2)
    throw InternalError("{} requests wait and none can be started", requests_.size());
  const double seconds = SecondsBetween(start, EngineClock::now());
  stats_.busy_seconds += seconds;
  if (streams) stats_.longest_slice_seconds = std::max(stats_.longest_slice_seconds, seconds);
  return worked || !requests_.empty();
}

// The request's first batch.
void EngineCore::Start(RequestState* request, const Choice& choice) {
  MarkStarted(request);
  if (std::exchange(request->prompt_counted, true)) return;
  request->cached_tokens = choice.kv.length();
  stats_.prompt_tokens += static_cast<uint64_t>(request->n_prompt());
  stats_.cached_prompt_tokens += static_cast<uint64_t>(request->cached_tokens);
  if (!options_.prefix_caching) return;
  stats_.prefix_queries += static_cast<uint64_t>(request->n_prompt());
  stats_.prefix_hits += static_cast<uint64_t>(request->cached_tokens);
}

void EngineCore::CollectPromptLogprobs(RequestState* request, int64_t slot,
                                       std::span<const float> logits) {
  const auto next = static_cast<size_t>(slot + 1);
  if (next >= request->prompt_logprobs->size()) return;
  const int32_t token = request->request.prompt.ids[next];
  // Padding rows never count, and a placeholder of a picture may be one of them.
  const auto real =
      logits.first(static_cast<size_t>(std::max<int64_t>(runner_->facts().vocab_limit, token + 1)));
  (*request->prompt_logprobs)[next] =
      LogprobsOf(real, token, *request->request.sampling.prompt_logprobs);
}

SequenceStep EngineCore::MakeStep(const PlannedStep& planned) {
  Choice* choice = planned.choice;
  RequestState* request = choice->request;
  const int64_t first = choice->kv.length(), end = first + planned.n_tokens;
  for (size_t i = 0; i < request->pictures.size(); ++i) {
    const PicturePlace& place = request->pictures[i];
    if (place.first < end && place.end > first && !request->features[i])
      throw InternalError("request {}: picture {} is read before it went through the tower",
                          request->request.id, i + 1);
  }
  SequenceStep step{.sequence = &choice->kv,
                    .tokens = std::span(choice->tokens)
                                  .subspan(static_cast<size_t>(choice->kv.length()),
                                           static_cast<size_t>(planned.n_tokens)),
                    .positions = &request->positions,
                    .visual = request->visual,
                    .last_logits = planned.completes && request->max_tokens > 0};
  if (request->prompt_logprobs && !request->prompt_reported && choice->index == 0) {
    step.each_logits = [this, request](int64_t slot, std::span<const float> logits) {
      CollectPromptLogprobs(request, slot, logits);
    };
  }
  return step;
}

void EngineCore::Fork(RequestState* request) {
  request->forked = true;
  const Choice& source = *request->choices[0];
  for (int64_t i = 1; i < request->request.n; ++i) {
    auto choice = std::make_unique<Choice>(request, i, runner_->pool(), tokenizer_, source.chain);
    if (options_.watch_garbage) choice->watch.emplace(runner_->facts().vocab_limit);
    scheduler_.AddFork(choice.get(), source);
    request->choices.push_back(std::move(choice));
  }
}

// The choices that get a token from this row: the one that computed it, and those that share its
// prompt and start now.
void EngineCore::AddTasks(const PlannedStep& planned, std::span<const float> row) {
  RequestState* request = planned.choice->request;
  tasks_.push_back({.choice = planned.choice, .logits = row});
  if (request->forked) return;
  Fork(request);
  for (size_t i = 1; i < request->choices.size(); ++i) {
    if (request->choices[i]->state == ChoiceState::kRunning)
      tasks_.push_back({.choice = request->choices[i].get(), .logits = row});
  }
}

void EngineCore::RunPlan(const std::vector<PlannedStep>& plan) {
  const auto start = EngineClock::now();
  steps_.clear();
  for (const PlannedStep& planned : plan) {
    Start(planned.choice->request, *planned.choice);
    steps_.push_back(MakeStep(planned));
  }
  const auto model_start = EngineClock::now();
  const std::span<const float> logits = runner_->Run(steps_);
  stats_.model_seconds += SecondsBetween(model_start, EngineClock::now());
  const auto vocab = static_cast<size_t>(runner_->facts().vocab),
             real = static_cast<size_t>(runner_->facts().vocab_limit);
  tasks_.clear();
  std::vector<RequestState*> prompt_only;
  size_t row = 0;
  for (const PlannedStep& planned : plan) {
    scheduler_.Computed(planned.choice);
    if (!planned.completes) continue;
    RequestState* request = planned.choice->request;
    if (request->max_tokens == 0) {
      prompt_only.push_back(request);
      continue;
    }
    AddTasks(planned, logits.subspan(row++ * vocab, real));
  }
  RunSampleTasks(tasks_);
  Learn(plan, SecondsBetween(start, EngineClock::now()));
  for (SampleTask& task : tasks_) Accept(&task);
  for (RequestState* request : prompt_only) EndRequest(request, EndReason::kLength, "");
}

// ---- control ----

void EngineCore::Cancel(uint64_t ticket) {
  const auto found = requests_.find(ticket);
  if (found != requests_.end()) EndRequest(found->second.get(), EndReason::kAbort, "");
}

void EngineCore::EndAll(EndReason reason, const std::string& error) {
  while (!requests_.empty()) EndRequest(requests_.begin()->second.get(), reason, error);
}

void EngineCore::Die(const std::string& error) {
  dead_ = true;
  EndAll(EndReason::kError, error);
}

bool EngineCore::ResetPrefixCache() {
  if (scheduler_.n_running() > 0) return false;
  scheduler_.prefixes().Clear();
  return true;
}

void EngineCore::FillStats(EngineStats* stats) const {
  *stats = stats_;
  const KvPool& pool = *runner_->pool();
  stats->running = scheduler_.n_running();
  stats->waiting = scheduler_.n_waiting();
  stats->kv_pages = pool.max_pages();
  stats->kv_pages_cached = scheduler_.prefixes().n_idle();
  stats->kv_pages_used = pool.pages_in_use() - stats->kv_pages_cached;
  stats->picture_cache_bytes = picture_cache_.bytes();
  stats->picture_cache_entries = picture_cache_.size();
  stats->preemptions = scheduler_.preemptions();
}

void EngineCore::Check() const {
  scheduler_.Check();
  if (!requests_.empty()) return;
  const PrefixCache& prefixes = scheduler_.prefixes();
  if (runner_->pool()->pages_in_use() != prefixes.n_pages() ||
      prefixes.n_idle() != prefixes.n_pages())
    throw InternalError("{} pages in use, {} of them cached, and no request",
                        runner_->pool()->pages_in_use(), prefixes.n_pages());
}

}  // namespace ingot
