// SPDX-License-Identifier: Apache-2.0
// The fields that chat and completion requests share. Private to the request parsers.
#pragma once

#include "server/api_types.h"
#include "server/json_fields.h"

namespace ingot::server {

// Everything of CommonFields. `is_chat`: logprobs is left to the caller, guided decoding may be
// replaced by tools.
CommonFields ReadCommonFields(Fields& fields, const ParseLimits& limits, bool is_chat);

// response_format, structured_outputs and the guided_* family; at most one of them.
StructuredOutput ReadStructuredOutput(Fields& fields);

// logprobs or prompt_logprobs within --max-logprobs; -1 means the whole vocabulary.
int64_t CheckLogprobs(const char* name, int64_t value, const ParseLimits& limits);

}  // namespace ingot::server
