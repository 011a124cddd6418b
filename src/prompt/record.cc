// SPDX-License-Identifier: Apache-2.0
#include "prompt/record.h"

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "prompt/data_url.h"
#include "prompt/picture_files.h"

namespace ingot {
namespace {

using json = nlohmann::ordered_json;
using Folders = std::vector<std::filesystem::path>;

template <typename... Args>
[[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) {
  throw RecordProblem{fmt::format(format, std::forward<Args>(args)...)};
}

std::string TextOf(const json& value, std::string_view what) {
  if (!value.is_string()) Fail("{} is a {}, expected a text", what, value.type_name());
  return value.get<std::string>();
}

std::filesystem::path Resolve(const std::string& given, const Folders& folders) {
  std::filesystem::path path = given.starts_with("file://") ? given.substr(7) : given;
  if (path.empty()) Fail("an empty path of a picture or video");
  if (path.is_absolute()) return path;
  std::error_code ignored;
  for (const std::filesystem::path& folder : folders) {
    if (std::filesystem::exists(folder / path, ignored)) return folder / path;
  }
  return folders.front() / path;
}

Part ImagePart(const std::string& source, const Folders& folders) {
  if (source.starts_with("http://") || source.starts_with("https://")) {
    Fail("a picture at {}: data sets are read from disk only. Download it and name the file",
         source.substr(0, 80));
  }
  if (source.starts_with("data:")) {
    std::string bytes;
    if (!DecodeDataUrl(source, &bytes)) Fail("a data: picture that is not base64");
    return Part::ImageBytes("data: picture", std::move(bytes));
  }
  Part part = Part::Image(Resolve(source, folders));
  const std::string defect = PictureDefect(part.path);
  if (!defect.empty()) Fail("picture {} {}", part.path.string(), defect);
  return part;
}

// A video is a file, a folder of frames, or a list of frame pictures ("fps" frames a second,
// default 2).
Part VideoPart(const json& source, const json& holder, const Folders& folders) {
  if (source.is_string()) {
    Part part = Part::Video(Resolve(source.get<std::string>(), folders));
    std::error_code ignored;
    if (!std::filesystem::exists(part.path, ignored))
      Fail("video {} does not exist", part.path.string());
    return part;
  }
  if (!source.is_array() || source.empty())
    Fail("video is a {}, expected a path or a list of frames", source.type_name());
  SampledFrames sampled{.frames = {}, .indices = {}, .fps = 2.0};
  if (holder.contains("fps")) {
    if (!holder["fps"].is_number() || !(holder["fps"].get<double>() > 0))
      Fail("fps is no positive number");
    sampled.fps = holder["fps"].get<double>();
  }
  for (const json& frame : source) {
    sampled.indices.push_back(static_cast<int64_t>(sampled.indices.size()));
    sampled.frames.push_back(ImagePart(TextOf(frame, "a frame"), folders).path);
    if (sampled.frames.back() == "data: picture") Fail("a frame of a video must be a file");
  }
  Part part = Part::Video(sampled.frames.front());
  part.sampled = std::make_shared<const SampledFrames>(std::move(sampled));
  return part;
}

// A field's value: {"image": "x"} and {"image_url": {"url": "x"}} alike.
const json& Inner(const json& value) {
  return value.is_object() && value.contains("url") ? value.at("url") : value;
}

Part ContentPart(const json& part, const Folders& folders) {
  if (!part.is_object())
    Fail("a part of the content is a {}, expected an object with \"type\"", part.type_name());
  const std::string type = part.contains("type") ? TextOf(part["type"], "the type of a part") : "";
  for (const char* key : {"image", "image_url"}) {
    if (part.contains(key) && (type.empty() || type == "image" || type == "image_url")) {
      return ImagePart(TextOf(Inner(part[key]), key), folders);
    }
  }
  for (const char* key : {"video", "video_url"}) {
    if (part.contains(key) && (type.empty() || type == "video" || type == "video_url")) {
      return VideoPart(Inner(part[key]), part, folders);
    }
  }
  if (part.contains("text") && (type.empty() || type == "text"))
    return Part::Text(TextOf(part["text"], "text"));
  Fail("a part of type \"{}\" without what it should hold; expected text, image or video", type);
}

Message ParseMessage(const json& turn, const Folders& folders) {
  if (!turn.is_object() || !turn.contains("role")) Fail("a message without \"role\"");
  Message message{.role = TextOf(turn["role"], "role"), .parts = {}, .extra_json = {}};
  json extra = json::object();
  for (const auto& [key, value] : turn.items()) {
    if (key == "role") continue;
    if (key != "content") {
      extra[key] = value;
    } else if (value.is_string()) {
      message.parts.push_back(Part::Text(value.get<std::string>()));
    } else if (value.is_array()) {
      for (const json& part : value) message.parts.push_back(ContentPart(part, folders));
    } else if (!value.is_null()) {
      Fail("content is a {}, expected a text or a list of parts", value.type_name());
    }
  }
  if (!extra.empty()) message.extra_json = extra.dump();
  return message;
}

Message ParseShareGptTurn(const json& turn) {
  if (!turn.is_object() || !turn.contains("from") || !turn.contains("value")) {
    Fail("an entry of conversations without \"from\" and \"value\"");
  }
  const std::string from = TextOf(turn["from"], "from");
  const std::string role = from == "human" ? "user" : from == "gpt" ? "assistant" : from;
  return {.role = role, .parts = {Part::Text(TextOf(turn["value"], "value"))}, .extra_json = {}};
}

Conversation ParseTurns(const json& record, const Folders& folders) {
  Conversation conversation;
  for (const char* key : {"messages", "conversations"}) {
    if (!record.contains(key)) continue;
    const json& turns = record[key];
    if (!turns.is_array() || turns.empty()) Fail("{} is no list of turns, or empty", key);
    for (const json& turn : turns) {
      conversation.push_back(turn.is_object() && turn.contains("from")
                                 ? ParseShareGptTurn(turn)
                                 : ParseMessage(turn, folders));
    }
    return conversation;
  }
  for (const char* key : {"question", "prompt"}) {
    if (!record.contains(key)) continue;
    return {{.role = "user", .parts = {Part::Text(TextOf(record[key], key))}, .extra_json = {}}};
  }
  Fail("none of \"messages\", \"conversations\", \"question\" and \"prompt\" is there");
}

// "image": "x" or ["x", "y"], "images": the same.
std::vector<Part> PartsBeside(const json& record, bool video, const Folders& folders) {
  std::vector<Part> parts;
  const std::array<const char*, 2> keys = {video ? "video" : "image", video ? "videos" : "images"};
  for (const char* key : keys) {
    if (!record.contains(key) || record[key].is_null()) continue;
    const json list = record[key].is_array() ? record[key] : json::array({record[key]});
    for (const json& entry : list) {
      parts.push_back(video ? VideoPart(entry, record, folders)
                            : ImagePart(TextOf(Inner(entry), key), folders));
    }
  }
  return parts;
}

// Splits texts at `mark`, putting the next of `parts` there. Returns how many marks there were.
size_t PlaceAtMarks(Conversation* conversation, std::string_view mark,
                    const std::vector<Part>& parts) {
  size_t n_marks = 0;
  for (Message& message : *conversation) {
    std::vector<Part> placed;
    for (Part& part : message.parts) {
      size_t at = 0;
      const std::string text = part.text;
      for (size_t next;
           part.kind == Part::Kind::kText && (next = text.find(mark, at)) != std::string::npos;) {
        if (next > at) placed.push_back(Part::Text(text.substr(at, next - at)));
        if (n_marks < parts.size()) placed.push_back(parts[n_marks]);
        ++n_marks;
        at = next + mark.size();
      }
      if (at == 0) {
        placed.push_back(std::move(part));
      } else if (at < text.size()) {
        placed.push_back(Part::Text(text.substr(at)));
      }
    }
    message.parts = std::move(placed);
  }
  return n_marks;
}

void PlaceBeside(Conversation* conversation, bool video, const std::vector<Part>& parts) {
  if (parts.empty()) return;
  const std::string_view mark = video ? "<video>" : "<image>";
  const size_t n_marks = PlaceAtMarks(conversation, mark, parts);
  if (n_marks == parts.size()) return;
  if (n_marks != 0) Fail("{} {} marks in the texts for {} file(s)", n_marks, mark, parts.size());
  for (Message& message : *conversation) {
    if (message.role != "user") continue;
    message.parts.insert(message.parts.begin(), parts.begin(), parts.end());
    return;
  }
  Fail("pictures, but no user turn");
}

// The text of a last turn of the assistant, which is taken off.
void TakeLastAnswer(Sample* sample) {
  if (sample->conversation.back().role != "assistant") return;
  std::string text;
  for (const Part& part : sample->conversation.back().parts) text += part.text;
  if (sample->answers.empty() && !text.empty()) sample->answers.push_back(std::move(text));
  sample->conversation.pop_back();
}

}  // namespace

std::string ParseId(const json& record, const char* field) {
  if (!record.contains(field)) return "";
  const json& value = record[field];
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return value.dump();
  Fail("{} is a {}, expected a text or an integer", field, value.type_name());
}

std::vector<std::string> ParseAnswers(const json& record) {
  std::vector<std::string> answers;
  for (const char* key : {"answers", "answer"}) {
    if (!record.contains(key) || record[key].is_null()) continue;
    const json& value = record[key];
    if (!value.is_array()) return {value.is_number() ? value.dump() : TextOf(value, key)};
    for (const json& answer : value) {
      // VQA v2 lists {"answer": "..."} objects.
      const bool object = answer.is_object() && answer.contains("answer");
      answers.push_back(TextOf(object ? answer["answer"] : answer, key));
    }
    return answers;
  }
  return answers;
}

Sample ParseRecord(const json& record, const Folders& folders) {
  if (!record.is_object()) Fail("a {}, expected a JSON object", record.type_name());
  Sample sample{.id = ParseId(record, "id"),
                .conversation = ParseTurns(record, folders),
                .answers = ParseAnswers(record)};
  for (const bool video : {false, true}) {
    PlaceBeside(&sample.conversation, video, PartsBeside(record, video, folders));
  }
  TakeLastAnswer(&sample);
  const bool asks = !sample.conversation.empty() && (sample.conversation.back().role == "user" ||
                                                     sample.conversation.back().role == "tool");
  if (!asks) Fail("the conversation does not end with a user turn");
  return sample;
}

}  // namespace ingot
