// SPDX-License-Identifier: Apache-2.0
// Samples for calibration, comparison and evaluation: a folder of pictures, TextVQA's JSON, or JSON
// lines of messages. A data set is a list of conversations; pictures are opened only when a sample
// is used. Bad lines and missing pictures are collected with their line numbers instead of ending
// the run, so that the caller decides.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "prompt/conversation.h"

namespace ingot {

struct Sample {
  std::string id;             // file name, question_id or "line 12"; unique inside a data set
  Conversation conversation;  // ends with a user turn
  std::vector<std::string> answers;  // reference answers; empty when the data has none
};

struct DatasetProblem {
  std::string where;  // "questions.jsonl:12", "picture folder"
  std::string what;   // what was found, what was expected
};

struct Dataset {
  std::vector<Sample> samples;
  std::vector<DatasetProblem> problems;
  std::string description;  // "64 pictures of calib/", for reports
};

inline constexpr char kDefaultQuestion[] = "Please describe this picture in detail.";

struct DatasetOptions {
  std::string question = kDefaultQuestion;  // for folders of pictures
  // Where pictures are looked for. "": TextVQA beside the JSON file or in images/ there, messages
  // relative to their file (which also serves when this folder has no such picture).
  std::filesystem::path images;
  int64_t max_samples = 0;               // 0: all; the first ones in order
  uint64_t max_file_bytes = 256u << 20;  // of a JSON or JSON lines file
};

// Decides by what `path` is: a folder, *.jsonl (or *.ndjson), or *.json (TextVQA, or an array of
// message records). Errors of all four: UserError when the file is of no known layout or nothing in
// it can be used.
Dataset LoadDataset(const std::filesystem::path& path, const DatasetOptions& options = {});

// The pictures directly inside `dir`, names sorted bytewise, one sample each.
Dataset LoadPictureFolder(const std::filesystem::path& dir, const DatasetOptions& options = {});
// {"data": [{"question", "image_id", "question_id", "answers"}]}; the picture of an image_id has
// any of the known extensions.
Dataset LoadTextVqa(const std::filesystem::path& json, const DatasetOptions& options = {});
// One record a line, see docs of ParseRecord in prompt/record.h.
Dataset LoadMessageLines(const std::filesystem::path& jsonl, const DatasetOptions& options = {});

// Throws UserError listing the first problems when there are any.
void RequireNoProblems(const Dataset& dataset);

}  // namespace ingot
