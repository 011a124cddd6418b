// SPDX-License-Identifier: Apache-2.0
// Tests of the command line: spelling rules, values, defaults, messages.
#include "cli/parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "cli/command.h"

namespace ingot::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ErrorOf(const std::vector<std::string>& args) {
  try {
    ParseCommandLine(args);
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

TEST(ParserTest, NoArgumentsAskForHelp) { EXPECT_EQ(ParseCommandLine({}).command->name, "help"); }

TEST(ParserTest, HelpOfACommandFromAnyPlace) {
  const Invocation invocation = ParseCommandLine({"version", "--json", "-h"});
  EXPECT_EQ(invocation.command->name, "help");
  EXPECT_EQ(invocation.options.Text("COMMAND"), "version");
}

TEST(ParserTest, GlobalOptionsBeforeAndAfterTheCommand) {
  for (const auto& args : {std::vector<std::string>{"--threads", "3", "version"},
                           std::vector<std::string>{"version", "--threads=3"}}) {
    EXPECT_EQ(ParseCommandLine(args).options.Integer("--threads"), 3);
  }
}

TEST(ParserTest, FlagsTakeTrueAndFalse) {
  EXPECT_TRUE(ParseCommandLine({"version", "--json"}).options.Flag("--json"));
  EXPECT_TRUE(ParseCommandLine({"version", "--json", "True"}).options.Flag("--json"));
  EXPECT_FALSE(ParseCommandLine({"version", "--json", "False"}).options.Flag("--json"));
  EXPECT_FALSE(ParseCommandLine({"version", "--json=false"}).options.Flag("--json"));
  EXPECT_FALSE(ParseCommandLine({"version"}).options.Flag("--json"));
  EXPECT_THAT(ErrorOf({"version", "--json=maybe"}), HasSubstr("expected True or False"));
}

TEST(ParserTest, UnknownNamesComeWithTheNearest) {
  EXPECT_THAT(ErrorOf({"versoin"}), HasSubstr("the nearest is 'version'"));
  EXPECT_THAT(ErrorOf({"version", "--jsn"}), HasSubstr("the nearest is --json"));
  EXPECT_THAT(ErrorOf({"version", "--xyzzyplugh"}), HasSubstr("unknown option --xyzzyplugh."));
}

TEST(ParserTest, ChoicesAndNumbersAreChecked) {
  EXPECT_THAT(ErrorOf({"version", "--progress", "loud"}), HasSubstr("expected one of: auto, bar"));
  EXPECT_THAT(ErrorOf({"version", "--threads", "two"}), HasSubstr("expected a whole number"));
  EXPECT_THAT(ErrorOf({"version", "--threads"}), HasSubstr("--threads"));
  EXPECT_THAT(ErrorOf({"completion"}), HasSubstr("SHELL is missing"));
  EXPECT_THAT(ErrorOf({"version", "surplus"}), HasSubstr("surplus"));
}

TEST(ParserTest, SingleValuedOptionsTakeTheLast) {
  EXPECT_EQ(ParseCommandLine({"version", "--threads", "1", "--threads", "2"})
                .options.Integer("--threads"),
            2);
}

TEST(ParserTest, TheOriginalWorkflowsLines) {
  if (FindCommand("quantize") == nullptr || FindCommand("convert") == nullptr) {
    GTEST_SKIP() << "quantize or convert is not part of this build";
  }
  const Invocation quantize = ParseCommandLine(
      {"quantize", "--model_path", "A", "--calib_images", "B", "--save_directory", "C", "--w_bit",
       "8", "--a_bit", "8", "--device_type", "cpu", "--trust_remote_code", "True"});
  EXPECT_EQ(quantize.command->name, "quantize");
  EXPECT_EQ(quantize.notes.size(), 2u);  // the device and remote code
  const Invocation full = ParseCommandLine(
      {"quantize", "--model_path", "A", "--save_directory", "C", "--anti_method", "m2",
       "--act_method", "1", "--open_outlier", "True", "--is_dynamic", "True", "--is_lowbit",
       "False", "--co_sparse", "False", "--fraction", "0.01", "--use_sigma", "False",
       "--sigma_factor", "3.0", "--torch_dtype", "bfloat16", "--part_file_size", "4"});
  EXPECT_TRUE(full.options.Flag("--is-dynamic"));
  const Invocation convert = ParseCommandLine(
      {"convert", "--original_dir", "A/", "--quant_dir", "B/", "--target_type", "310"});
  EXPECT_EQ(convert.command->name, "convert");
}

TEST(ParserTest, Conversions) {
  EXPECT_EQ(ParseInteger("-12", "x"), -12);
  EXPECT_EQ(ParseNumber("1e-2", "x"), 0.01);
  EXPECT_EQ(ParseBytes("5GB", "x"), 5000000000u);
  EXPECT_EQ(ParseBytes("2 GiB", "x"), 2147483648u);
  EXPECT_EQ(ParseBytes("512", "x"), 512u);
  EXPECT_THROW(ParseBytes("-1GB", "x"), UserError);
  EXPECT_THROW(ParseBytes("5 apples", "x"), UserError);
  EXPECT_THROW(ParseNumber("nan", "x"), UserError);
  EXPECT_THROW(ParseInteger("99999999999999999999", "x"), UserError);
}

TEST(ParserTest, OptionsOutsideTheTableAreDefects) {
  const Invocation invocation = ParseCommandLine({"version"});
  EXPECT_THROW(invocation.options.Text("--nothing"), InternalError);
  EXPECT_THROW(invocation.options.Integer("--threads"), InternalError);
}

}  // namespace
}  // namespace ingot::cli
