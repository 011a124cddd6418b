// SPDX-License-Identifier: Apache-2.0
// One record of a JSON or JSON lines data set as a sample. Private to prompt/.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "prompt/dataset.h"

namespace ingot {

// Thrown by the functions below: what is wrong with the record, for the list of problems.
struct RecordProblem {
  std::string what;
};

// Known forms:
//   {"messages": [{"role", "content": text or parts}]}           OpenAI and Hugging Face
//   {"conversations": [{"from": "human", "value": text}]}        LLaVA and Qwen-VL finetuning
//   {"question" or "prompt": text}
// with "id" (text or number), "answer" (text) or "answers" (list), and pictures as parts ({"type":
// "image", "image": path},
// {"type": "image_url", "image_url": {"url": path, file:// or data:}}, the same with video) or as
// "image"/"images"/"video"/ "videos" beside the text, where "<image>" and "<video>" mark their
// places (none: they go before the first user text). Paths are relative to `folders`, the first
// that has the file. A last turn of the assistant becomes the answer.
Sample ParseRecord(const nlohmann::ordered_json& record,
                   const std::vector<std::filesystem::path>& folders);

// TextVQA's answers or a record's: a list of texts, or one text.
std::vector<std::string> ParseAnswers(const nlohmann::ordered_json& record);
// A field that is a text or an integer, as text; "" when absent.
std::string ParseId(const nlohmann::ordered_json& record, const char* field);

}  // namespace ingot
