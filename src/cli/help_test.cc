// SPDX-License-Identifier: Apache-2.0
// Tests of the texts that are made from the option tables, and of the tables themselves.
#include "cli/help.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "cli/command.h"

namespace ingot::cli {
namespace {

using ::testing::HasSubstr;

TEST(HelpTest, EveryCommandIsComplete) {
  for (const Command* command : AllCommands()) {
    SCOPED_TRACE(command->name);
    EXPECT_FALSE(command->summary.empty());
    EXPECT_FALSE(command->description.empty());
    EXPECT_FALSE(command->examples.empty());
    EXPECT_NE(command->run, nullptr);
    for (const Example& example : command->examples) {
      EXPECT_THAT(example.line, HasSubstr("ingot " + command->name));
    }
  }
}

TEST(HelpTest, OptionNamesAreUniqueWithinACommand) {
  for (const Command* command : AllCommands()) {
    std::set<std::string> names;
    const auto add = [&](const std::string& name) {
      EXPECT_TRUE(names.insert(name).second) << command->name << " " << name;
      EXPECT_EQ(name.find('_'), std::string::npos) << name << ": write table names with dashes";
    };
    for (const auto* options : {&command->options, &GlobalOptions()}) {
      for (const Option& option : *options) {
        add(option.name);
        for (const std::string& alias : option.aliases) add(alias);
        EXPECT_EQ(option.kind == Kind::kChoice, !option.choices.empty()) << option.name;
        EXPECT_TRUE(option.hidden || !option.help.empty() || !option.ignored.empty())
            << option.name;
      }
    }
  }
}

TEST(HelpTest, LinesFitATerminal) {
  for (const Command* command : AllCommands()) {
    std::istringstream help(CommandHelp(*command));
    for (std::string line; std::getline(help, line);) {
      if (line.find("ingot ") != std::string::npos) continue;  // example and usage lines stay whole
      EXPECT_LE(line.size(), 100u) << line;
    }
  }
}

TEST(HelpTest, ParagraphsAreWrappedOneByOne) {
  Command command{.name = "x", .summary = "s"};
  command.description = "First.\n\n" + std::string(30, 'a') + " " + std::string(30, 'b') + " " +
                        std::string(30, 'c') + ".";
  EXPECT_NE(CommandHelp(command).find("First.\n\n" + std::string(30, 'a') + " " +
                                      std::string(30, 'b') + "\n" + std::string(30, 'c') + "."),
            std::string::npos)
      << CommandHelp(command);
}

TEST(HelpTest, ManPageAndCompletionsNameEveryCommand) {
  for (const Command* command : AllCommands()) {
    EXPECT_THAT(ProgramHelp(), HasSubstr("  " + command->name));
    EXPECT_THAT(ManPage(), HasSubstr(".SS \"ingot " + command->name));
    EXPECT_THAT(BashCompletion(), HasSubstr("    " + command->name + ")"));
    EXPECT_THAT(ZshCompletion(), HasSubstr("'" + command->name + ":"));
  }
}

}  // namespace
}  // namespace ingot::cli
