// SPDX-License-Identifier: Apache-2.0
// What a sample asks, for people and for keys: its question, its pictures, and fingerprints of
// samples and model folders that tell whether an earlier result still holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/model_reader.h"
#include "prompt/conversation.h"
#include "prompt/dataset.h"

namespace ingot {

std::string QuestionOf(const Conversation& conversation);        // text of the last user turn
std::vector<Part> PicturesOf(const Conversation& conversation);  // pictures and videos, in order
std::string KindOf(const Conversation& conversation);

// Adds `instruction` as a new line behind the text of the last user turn ("" = nothing).
void AppendInstruction(Conversation* conversation, const std::string& instruction);

// Hex digests. A sample: roles, texts and picture names. A model: its small files' contents, its
// weight files' names, sizes and times.
std::string FingerprintOf(const Conversation& conversation);
std::string FingerprintOf(const ModelReader& reader);

// References without repetitions, in order.
std::vector<std::string> DistinctAnswers(const std::vector<std::string>& answers);

}  // namespace ingot
