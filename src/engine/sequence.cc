// SPDX-License-Identifier: Apache-2.0
#include "engine/sequence.h"

#include <algorithm>
#include <utility>

namespace ingot {
namespace {

SamplingParams ToSamplingParams(const RequestSampling& sampling, int64_t choice) {
  return {.do_sample = true,  // temperature 0 is greedy
          .temperature = sampling.temperature,
          .top_k = std::max<int64_t>(sampling.top_k, 0),
          .top_p = sampling.top_p,
          .min_p = sampling.min_p,
          .repetition_penalty = sampling.repetition_penalty,
          .presence_penalty = sampling.presence_penalty,
          .frequency_penalty = sampling.frequency_penalty,
          .seed = sampling.seed.value_or(0) + static_cast<uint64_t>(choice),
          .logit_bias = sampling.logit_bias};
}

}  // namespace

Choice::Choice(RequestState* owner, int64_t number, KvPool* pool, const Tokenizer& tokenizer,
               PrefixChain prefix)
    : request(owner),
      index(number),
      tokens(owner->request.prompt.ids),
      kv(pool),
      chain(std::move(prefix)),
      // Ids of padding rows are cut off before the sampler sees them (EngineCore).
      sampler(ToSamplingParams(owner->request.sampling, number), owner->request.prompt.ids, 0),
      grammar(owner->request.grammar ? owner->request.grammar->Clone() : nullptr),
      decoder(tokenizer, owner->request.sampling.skip_special_tokens),
      stops(owner->request.sampling.stop, owner->request.sampling.include_stop_str_in_output) {}

int64_t Choice::n_output() const {
  return static_cast<int64_t>(tokens.size()) - request->n_prompt();
}

bool RequestState::AllEnded() const {
  return forked && std::ranges::all_of(choices, [](const auto& choice) {
           return choice->state == ChoiceState::kEnded;
         });
}

}  // namespace ingot
