// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "eval/prediction_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"

namespace ingot {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMaxLogBytes = 1u << 30;

}  // namespace

std::string PredictionLine(const Prediction& prediction) {
  const Json json = {{"key", prediction.key},
                     {"id", prediction.id},
                     {"kind", prediction.kind},
                     {"question", prediction.question},
                     {"prediction", prediction.text},
                     {"references", prediction.references},
                     {"vqa", prediction.vqa},
                     {"exact", prediction.exact},
                     {"anls", prediction.anls},
                     {"finish_reason", prediction.finish_reason},
                     {"prompt_tokens", prediction.prompt_tokens},
                     {"output_tokens", prediction.output_tokens},
                     {"seconds", prediction.seconds}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Prediction ParsePrediction(const std::string& line, const std::string& where) {
  try {
    const Json json = Json::parse(line);
    Prediction prediction;
    json.at("key").get_to(prediction.key);
    json.at("id").get_to(prediction.id);
    json.at("kind").get_to(prediction.kind);
    json.at("question").get_to(prediction.question);
    json.at("prediction").get_to(prediction.text);
    json.at("references").get_to(prediction.references);
    json.at("vqa").get_to(prediction.vqa);
    json.at("exact").get_to(prediction.exact);
    json.at("anls").get_to(prediction.anls);
    json.at("finish_reason").get_to(prediction.finish_reason);
    json.at("prompt_tokens").get_to(prediction.prompt_tokens);
    json.at("output_tokens").get_to(prediction.output_tokens);
    json.at("seconds").get_to(prediction.seconds);
    return prediction;
  } catch (const Json::exception& error) {
    throw FormatError(
        "{}: is no prediction of ingot eval ({}). Remove the line, or choose another folder with "
        "-o.",
        where, error.what());
  }
}

PredictionLog::PredictionLog(const std::filesystem::path& path) : path_(path) {
  uint64_t whole = 0;  // bytes of whole lines
  if (std::filesystem::exists(path)) {
    const std::string content = ReadFile(path, kMaxLogBytes);
    int64_t number = 1;
    for (size_t end; (end = content.find('\n', whole)) != std::string::npos; whole = end + 1) {
      const std::string line = content.substr(whole, end - whole);
      const Prediction found = ParsePrediction(line, fmt::format("{}:{}", path.string(), number++));
      by_key_[found.key] = found;
    }
  }
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0 || ::ftruncate(fd_, static_cast<off_t>(whole)) != 0 ||
      ::lseek(fd_, 0, SEEK_END) < 0) {
    throw ResourceError("{}: cannot be written ({}).", path.string(), std::strerror(errno));
  }
}

PredictionLog::~PredictionLog() {
  if (fd_ >= 0) ::close(fd_);
}

const Prediction* PredictionLog::Find(const std::string& key) const {
  const auto it = by_key_.find(key);
  return it == by_key_.end() ? nullptr : &it->second;
}

void PredictionLog::Append(const Prediction& prediction) {
  const std::string line = PredictionLine(prediction) + "\n";
  size_t done = 0;
  while (done < line.size()) {
    const ssize_t wrote = ::write(fd_, line.data() + done, line.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      throw ResourceError("{}: cannot be written ({}).", path_.string(), std::strerror(errno));
    }
    done += static_cast<size_t>(wrote);
  }
  by_key_[prediction.key] = prediction;
}

}  // namespace ingot
