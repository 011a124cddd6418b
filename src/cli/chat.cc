// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "cli/chat.h"

#include <istream>
#include <ostream>
#include <string>

#include "base/error.h"
#include "base/interrupt.h"

namespace ingot::cli {
namespace {

constexpr char kHelp[] =
    "Type a question. Commands:\n"
    "  /image FILE   add a picture to the next question\n"
    "  /video FILE   add a video (or a folder of frames)\n"
    "  /reset        forget the conversation\n"
    "  /help         this text\n"
    "  /quit         leave (also Ctrl-D); Ctrl-C ends an answer\n";

class Chat {
 public:
  Chat(Engine& engine, const AnswerParams& params, Conversation opening, std::ostream& out,
       std::ostream& notes)
      : engine_(engine), params_(params), out_(out), notes_(notes) {
    for (Message& message : opening) {
      if (message.role == "user") {
        pending_ = std::move(message.parts);
      } else {
        system_.push_back(std::move(message));
      }
    }
    conversation_ = system_;
  }

  // False ends the conversation.
  bool Line(const std::string& line) {
    if (line == "/quit" || line == "/exit") return false;
    if (line == "/help") {
      notes_ << kHelp << std::flush;
    } else if (line == "/reset") {
      conversation_ = system_;
      pending_.clear();
      notes_ << "The conversation begins anew.\n" << std::flush;
    } else if (line.starts_with("/image ")) {
      Attach(Part::Image(line.substr(7)));
    } else if (line.starts_with("/video ")) {
      Attach(Part::Video(line.substr(7)));
    } else if (line.starts_with("/")) {
      notes_ << "There is no command " << line.substr(0, line.find(' ')) << ".\n"
             << kHelp << std::flush;
    } else if (!line.empty()) {
      Ask(line);
    }
    return true;
  }

 private:
  void Attach(Part part) {
    if (!std::filesystem::exists(part.path)) {
      notes_ << part.path.string() << " does not exist.\n" << std::flush;
      return;
    }
    pending_.push_back(std::move(part));
  }

  void Ask(const std::string& question) {
    Message turn{"user", pending_, ""};
    turn.parts.push_back(Part::Text(question));
    conversation_.push_back(std::move(turn));
    try {
      const Answer answer =
          engine_.Ask(engine_.Prepare(conversation_), params_, [&](std::string_view piece) {
            out_ << piece << std::flush;
            return true;
          });
      out_ << "\n" << std::flush;
      conversation_.push_back({"assistant", {Part::Text(answer.text)}, ""});
      pending_.clear();
      if (answer.reason == FinishReason::kLength) notes_ << "(cut at --max-tokens)\n" << std::flush;
      ++params_.sampling.seed;  // the same question again may be answered differently
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kInternal) throw;
      conversation_.pop_back();
      pending_.clear();
      notes_ << error.what() << "\n" << std::flush;
    }
  }

  Engine& engine_;
  AnswerParams params_;
  std::ostream& out_;
  std::ostream& notes_;
  Conversation system_, conversation_;
  std::vector<Part> pending_;
};

}  // namespace

void RunChat(Engine& engine, const AnswerParams& params, Conversation opening, std::istream& in,
             std::ostream& out, std::ostream& notes) {
  Chat chat(engine, params, std::move(opening), out, notes);
  notes << "/help lists the commands.\n" << std::flush;
  for (std::string line;;) {
    notes << "> " << std::flush;
    if (!std::getline(in, line)) break;
    ClearInterrupt();  // Ctrl-C ended an earlier answer, not this one
    if (!chat.Line(line)) break;
  }
}

}  // namespace ingot::cli
