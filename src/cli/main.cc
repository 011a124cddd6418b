// SPDX-License-Identifier: Apache-2.0
// The program: parse, run one subcommand, turn every error into one line and an exit code. This is
// the only place that catches errors.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <vector>

#include "base/coded_error.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/progress.h"
#include "base/thread_pool.h"
#include "cli/command.h"
#include "cli/parser.h"

namespace ingot::cli {
namespace {

void ApplyGlobalOptions(const Options& options) {
  if (options.Flag("--quiet")) SetLogLevel(LogLevel::kWarning);
  if (options.Flag("--verbose")) SetLogLevel(LogLevel::kDebug);
  if (options.Flag("--quiet") && !options.Has("--progress")) {
    SetProgressStyle(ProgressStyle::kNone);
  } else {
    SetProgressStyle(ParseProgressStyle(options.Text("--progress")));
  }
  if (options.Has("--threads")) {
    const int64_t threads = options.Integer("--threads");
    if (threads < 1 || threads > 1024) {
      throw UserError("--threads is {}; expected a number from 1 to 1024.", threads);
    }
    SetNumThreads(static_cast<int>(threads));
  }
}

// What a subcommand printed must have arrived: a full disk behind `ingot inspect > file` is an
// error.
int FlushOutput(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  throw ResourceError("standard output: cannot be written. Is the disk full or the reader gone?");
}

int Report(ErrorKind kind, std::string message, int code = 0) {
  for (char& c : message) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  message = PrintableLines(message);
  std::fflush(stdout);
  std::fprintf(stderr, "ingot: %s: %s\n", kind == ErrorKind::kInterrupted ? "interrupted" : "error",
               message.c_str());
  return code != 0 ? code : ExitCode(kind);
}

int Main(const std::vector<std::string>& args) {
  try {
    const Invocation invocation = ParseCommandLine(args);
    ApplyGlobalOptions(invocation.options);
    for (const std::string& note : invocation.notes) LogOnceText(LogLevel::kNote, note);
    const int code = FlushOutput(invocation.command->run(invocation.options));
    return args.empty() ? ExitCode(ErrorKind::kUser) : code;
  } catch (const CodedError& error) {
    return Report(error.kind(), error.what(), error.exit_code());
  } catch (const Error& error) {
    return Report(error.kind(), error.what());
  } catch (const std::bad_alloc&) {
    return Report(ErrorKind::kResource,
                  "not enough memory. Close other programs or use a machine with more memory.");
  } catch (const std::filesystem::filesystem_error& error) {
    return Report(ErrorKind::kResource, error.what());
  } catch (const std::exception& error) {
    return Report(ErrorKind::kInternal,
                  std::string(error.what()) + ". This is a defect of ingot; please report it.");
  }
}

}  // namespace
}  // namespace ingot::cli

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is a write error, not a sudden death
  std::signal(SIGXFSZ, SIG_IGN);  // and so is a limit on the size of files (ulimit -f)
  ingot::InstallInterruptHandler();
  return ingot::cli::Main(std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
}
