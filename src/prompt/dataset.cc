// SPDX-License-Identifier: Apache-2.0
#include "prompt/dataset.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/error.h"
#include "base/files.h"
#include "prompt/picture_files.h"
#include "prompt/record.h"

namespace ingot {
namespace {

using json = nlohmann::ordered_json;
namespace fs = std::filesystem;

// Collects samples and problems, and knows when enough samples are there.
class Collector {
 public:
  explicit Collector(const DatasetOptions& options) : options_(options) {}

  bool full() const {
    return options_.max_samples > 0 &&
           static_cast<int64_t>(dataset_.samples.size()) >= options_.max_samples;
  }
  void Problem(std::string where, std::string what) {
    dataset_.problems.push_back({std::move(where), std::move(what)});
  }
  void Add(Sample sample, const std::string& where) {
    if (sample.id.empty()) sample.id = where;
    if (!ids_.insert(sample.id).second) {
      Problem(where, fmt::format("the id \"{}\" was used before", sample.id));
      return;
    }
    dataset_.samples.push_back(std::move(sample));
  }

  Dataset Finish(const fs::path& path, const char* what) {
    dataset_.description = fmt::format("{} {} of {}", dataset_.samples.size(), what, path.string());
    if (dataset_.samples.empty()) {
      if (!dataset_.problems.empty()) RequireNoProblems(dataset_);
      throw UserError(
          "{}: no {} found. Give a folder of pictures (JPEG, PNG, WebP, GIF, BMP), TextVQA's JSON "
          "or JSON "
          "lines of messages.",
          path.string(), what);
    }
    return std::move(dataset_);
  }

 private:
  const DatasetOptions& options_;
  Dataset dataset_;
  std::unordered_set<std::string> ids_;
};

// What the parser found, without the library's own name for it ("[json.exception...] ").
std::string JsonTrouble(const json::exception& error) {
  const std::string_view text = error.what();
  const size_t end = text.find("] ");
  return std::string(
      text.starts_with("[json.") && end != std::string_view::npos ? text.substr(end + 2) : text);
}

json ParseJsonFile(const fs::path& path, uint64_t limit) {
  try {
    return json::parse(ReadFile(path, limit));
  } catch (const json::exception& error) {
    throw UserError("{}: not valid JSON: {}. (JSON lines need the extension .jsonl)", path.string(),
                    JsonTrouble(error));
  }
}

std::string ParseSafely(const std::function<void()>& parse) {
  try {
    parse();
  } catch (const RecordProblem& problem) {
    return problem.what;
  } catch (const json::exception& error) {
    return fmt::format("not valid JSON: {}", JsonTrouble(error));
  }
  return "";
}

std::vector<fs::path> FoldersFor(const fs::path& file, const DatasetOptions& options) {
  std::vector<fs::path> folders;
  if (!options.images.empty()) folders.push_back(options.images);
  folders.push_back(file.parent_path());
  return folders;
}

// TextVQA's pictures: the folder that was named, else images/ beside the file, else the file's
// folder.
fs::path TextVqaFolder(const fs::path& file, const DatasetOptions& options) {
  if (!options.images.empty()) return options.images;
  const fs::path beside = file.has_parent_path() ? file.parent_path() : fs::path(".");
  std::error_code ignored;
  return fs::is_directory(beside / "images", ignored) ? beside / "images" : beside;
}

Sample TextVqaSample(const json& row, const PictureIndex& pictures) {
  if (!row.is_object()) throw RecordProblem{"not a JSON object"};
  const std::string image_id = ParseId(row, "image_id");
  if (image_id.empty() || !row.contains("question") || !row["question"].is_string()) {
    throw RecordProblem{"without \"image_id\" or \"question\""};
  }
  std::string problem;
  const fs::path picture = pictures.Find(image_id, &problem);
  if (picture.empty()) throw RecordProblem{problem};
  const std::string defect = PictureDefect(picture);
  if (!defect.empty()) throw RecordProblem{fmt::format("picture {} {}", picture.string(), defect)};
  Message turn{.role = "user",
               .parts = {Part::Image(picture), Part::Text(row["question"])},
               .extra_json = {}};
  return {.id = ParseId(row, "question_id"),
          .conversation = {std::move(turn)},
          .answers = ParseAnswers(row)};
}

Dataset TextVqaRows(const fs::path& path, const json& rows, const DatasetOptions& options) {
  const PictureIndex pictures(TextVqaFolder(path, options));
  Collector collector(options);
  for (size_t i = 0; i < rows.size() && !collector.full(); ++i) {
    const std::string where = fmt::format("{}: data[{}]", path.filename().string(), i);
    const std::string problem =
        ParseSafely([&] { collector.Add(TextVqaSample(rows[i], pictures), where); });
    if (!problem.empty()) collector.Problem(where, problem);
  }
  return collector.Finish(path, "questions");
}

// A bare list of messages, as an OpenAI client sends it.
bool IsOneConversation(const json& parsed) {
  return parsed.is_array() && !parsed.empty() && parsed[0].is_object() &&
         parsed[0].contains("role");
}

Dataset RecordArray(const fs::path& path, const json& records, const DatasetOptions& options) {
  const std::vector<fs::path> folders = FoldersFor(path, options);
  Collector collector(options);
  for (size_t i = 0; i < records.size() && !collector.full(); ++i) {
    const std::string where = fmt::format("{}: record {}", path.filename().string(), i + 1);
    const std::string problem =
        ParseSafely([&] { collector.Add(ParseRecord(records[i], folders), where); });
    if (!problem.empty()) collector.Problem(where, problem);
  }
  return collector.Finish(path, "conversations");
}

bool IsTextVqa(const json& parsed) {
  return parsed.is_object() && parsed.contains("data") && parsed["data"].is_array();
}

}  // namespace

Dataset LoadPictureFolder(const fs::path& dir, const DatasetOptions& options) {
  Collector collector(options);
  for (const fs::path& path : ListFiles(dir)) {
    if (collector.full()) break;
    const std::string name = path.filename().string();
    if (name.starts_with(".")) continue;
    const std::string defect = PictureDefect(path);
    if (!defect.empty()) {
      // Lists, notes and archives beside the pictures are nobody's mistake.
      if (HasPictureExtension(path)) collector.Problem(path.string(), defect);
      continue;
    }
    Message turn{.role = "user",
                 .parts = {Part::Image(path), Part::Text(options.question)},
                 .extra_json = {}};
    collector.Add({.id = name, .conversation = {std::move(turn)}, .answers = {}}, name);
  }
  return collector.Finish(dir, "pictures");
}

Dataset LoadTextVqa(const fs::path& path, const DatasetOptions& options) {
  const json parsed = ParseJsonFile(path, options.max_file_bytes);
  if (!IsTextVqa(parsed)) {
    throw UserError("{}: not TextVQA's layout: expected an object with a list \"data\"",
                    path.string());
  }
  return TextVqaRows(path, parsed["data"], options);
}

Dataset LoadMessageLines(const fs::path& path, const DatasetOptions& options) {
  const std::string content = ReadFile(path, options.max_file_bytes);
  const std::vector<fs::path> folders = FoldersFor(path, options);
  Collector collector(options);
  std::string_view rest = content;
  if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);  // byte order mark
  for (int64_t number = 1; !rest.empty() && !collector.full(); ++number) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}:{}", path.filename().string(), number);
    const std::string problem =
        ParseSafely([&] { collector.Add(ParseRecord(json::parse(line), folders), where); });
    if (!problem.empty()) collector.Problem(where, problem);
  }
  return collector.Finish(path, "conversations");
}

Dataset LoadDataset(const fs::path& path, const DatasetOptions& options) {
  std::error_code error;
  if (fs::is_directory(path, error)) return LoadPictureFolder(path, options);
  if (!fs::exists(path, error)) throw UserError("{}: no such file or folder", path.string());
  const std::string extension = path.extension().string();
  if (extension == ".jsonl" || extension == ".ndjson") return LoadMessageLines(path, options);
  if (extension == ".json") {
    const json parsed = ParseJsonFile(path, options.max_file_bytes);
    if (IsTextVqa(parsed)) return TextVqaRows(path, parsed["data"], options);
    if (IsOneConversation(parsed)) {
      return RecordArray(path, json::array({json{{"messages", parsed}}}), options);
    }
    if (parsed.is_array()) return RecordArray(path, parsed, options);
    if (parsed.is_object() && (parsed.contains("messages") || parsed.contains("conversations"))) {
      return RecordArray(path, json::array({parsed}), options);
    }
    throw UserError(
        "{}: neither TextVQA's layout (an object with a list \"data\"), nor an object with "
        "\"messages\", nor a list of records or messages",
        path.string());
  }
  throw UserError("{}: expected a folder of pictures, TextVQA's .json, or messages as .jsonl",
                  path.string());
}

void RequireNoProblems(const Dataset& dataset) {
  if (dataset.problems.empty()) return;
  constexpr size_t kShown = 10;
  std::string list;
  for (size_t i = 0; i < std::min(kShown, dataset.problems.size()); ++i) {
    list += fmt::format("\n  {}: {}", dataset.problems[i].where, dataset.problems[i].what);
  }
  if (dataset.problems.size() > kShown)
    list += fmt::format("\n  and {} more", dataset.problems.size() - kShown);
  throw UserError("{} problem(s) in the data; mend them or leave these samples out:{}",
                  dataset.problems.size(), list);
}

}  // namespace ingot
