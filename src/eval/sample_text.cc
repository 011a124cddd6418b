// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "eval/sample_text.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/sha256.h"
#include "eval/metrics.h"

namespace ingot {
namespace {

constexpr uint64_t kMaxSmallFile = 4u << 20;  // the JSON files that steer a model

const Message* LastUserTurn(const Conversation& conversation) {
  for (auto it = conversation.rbegin(); it != conversation.rend(); ++it) {
    if (it->role == "user") return &*it;
  }
  return nullptr;
}

// Fields with their lengths, so that no two lists of fields read the same.
class Digest {
 public:
  void Add(std::string_view field) {
    text_ += fmt::format("{}:", field.size());
    text_ += field;
  }
  std::string Hex() const { return Sha256Hex(std::as_bytes(std::span(text_))); }

 private:
  std::string text_;
};

void AddFileState(const std::filesystem::path& path, Digest* digest) {
  digest->Add(path.filename().string());
  digest->Add(std::to_string(std::filesystem::file_size(path)));
  digest->Add(std::to_string(std::filesystem::last_write_time(path).time_since_epoch().count()));
}

}  // namespace

std::string QuestionOf(const Conversation& conversation) {
  const Message* turn = LastUserTurn(conversation);
  std::string text;
  if (turn == nullptr) return text;
  for (const Part& part : turn->parts) {
    if (part.kind != Part::Kind::kText) continue;
    if (!text.empty()) text += '\n';
    text += part.text;
  }
  return text;
}

std::vector<Part> PicturesOf(const Conversation& conversation) {
  std::vector<Part> pictures;
  for (const Message& message : conversation) {
    for (const Part& part : message.parts) {
      if (part.kind != Part::Kind::kText) pictures.push_back(part);
    }
  }
  return pictures;
}

std::string KindOf(const Conversation& conversation) {
  return QuestionKind(QuestionOf(conversation),
                      static_cast<int64_t>(PicturesOf(conversation).size()));
}

void AppendInstruction(Conversation* conversation, const std::string& instruction) {
  if (instruction.empty()) return;
  for (auto message = conversation->rbegin(); message != conversation->rend(); ++message) {
    if (message->role != "user") continue;
    for (auto part = message->parts.rbegin(); part != message->parts.rend(); ++part) {
      if (part->kind != Part::Kind::kText) continue;
      part->text += "\n" + instruction;
      return;
    }
    message->parts.push_back(Part::Text(instruction));
    return;
  }
}

std::string FingerprintOf(const Conversation& conversation) {
  Digest digest;
  for (const Message& message : conversation) {
    digest.Add(message.role);
    digest.Add(message.extra_json);
    for (const Part& part : message.parts) {
      digest.Add(std::to_string(static_cast<int>(part.kind)));
      digest.Add(part.text);
      digest.Add(part.path.string());
      if (part.bytes) digest.Add(*part.bytes);
      if (!part.sampled) continue;
      for (const auto& frame : part.sampled->frames) digest.Add(frame.string());
      for (const int64_t index : part.sampled->indices) digest.Add(std::to_string(index));
      digest.Add(fmt::format("{}", part.sampled->fps));
    }
  }
  return digest.Hex();
}

std::string FingerprintOf(const ModelReader& reader) {
  Digest digest;
  for (const std::filesystem::path& path : ListFiles(reader.dir())) {
    if (path.extension() != ".json" && path.extension() != ".jinja") continue;
    if (std::filesystem::file_size(path) <= kMaxSmallFile) {
      digest.Add(path.filename().string());
      digest.Add(ReadFile(path, kMaxSmallFile));
    } else {
      AddFileState(path, &digest);
    }
  }
  for (const auto& file : reader.files()) AddFileState(file->path(), &digest);
  return digest.Hex();
}

std::vector<std::string> DistinctAnswers(const std::vector<std::string>& answers) {
  std::vector<std::string> distinct;
  for (const std::string& answer : answers) {
    if (std::find(distinct.begin(), distinct.end(), answer) == distinct.end()) {
      distinct.push_back(answer);
    }
  }
  return distinct;
}

}  // namespace ingot
