// `weir`: one program for a model's whole life. Each subcommand is a file of its own.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "compiler/driver/command.h"
#include "compiler/driver/flags.h"
#include "compiler/support/phase_times.h"

namespace weir {
namespace {

const std::vector<Command>& commands() {
  static const auto* list = new std::vector<Command>{
      trainCommand(),    evalCommand(),    initCommand(),    runCommand(),
      generateCommand(), compileCommand(), inspectCommand(), layersCommand(),
      checkCommand(),    compareCommand(), benchCommand()};
  return *list;
}

const Command* findCommand(const std::string& name) {
  for (const Command& command : commands())
    if (name == command.name) return &command;
  return nullptr;
}

std::string overview() {
  std::string text = "weir: trains and runs sequence models that are written as IR.\n\n";
  for (const Command& command : commands())
    absl::StrAppendFormat(&text, "  weir %-8s %s\n", command.name, command.summary);
  absl::StrAppend(&text, "\nweir COMMAND --help tells more. To begin:\n",
                  "  weir train models/selective_copy_mingru.mlir --out=runs/copy\n");
  return text;
}

int fail(const absl::Status& status) {
  if (!status.message().empty())
    std::fprintf(stderr, "weir: error: %s\n", std::string(status.message()).c_str());
  return 1;
}

absl::Status unknownCommand(const std::string& name) {
  std::string text = absl::StrCat("there is no command '", name, "'; there are");
  for (const Command& command : commands()) absl::StrAppend(&text, " ", command.name);
  return absl::InvalidArgumentError(text);
}

/// `bazel run` starts programs elsewhere; paths are meant from where the user stands.
absl::Status enterWorkingDirectory() {
  for (const char* variable : {"WEIR_WORKING_DIRECTORY", "BUILD_WORKING_DIRECTORY"}) {
    const char* directory = std::getenv(variable);
    // bazelw sets the first for every program it starts, tests too; only `run` sets both.
    if (!directory || !std::getenv("BUILD_WORKING_DIRECTORY")) continue;
    if (::chdir(directory) == 0) return absl::OkStatus();
    return absl::NotFoundError(absl::StrCat("cannot change to '", directory, "'"));
  }
  return absl::OkStatus();
}

int run(std::vector<std::string> words) {
  if (words.empty()) {
    std::fputs(overview().c_str(), stderr);
    return 1;
  }
  std::string name = words[0];
  words.erase(words.begin());
  bool help = name == "help" || name == "--help" || name == "-h";
  if (help && words.empty()) {
    std::fputs(overview().c_str(), stdout);
    return 0;
  }
  if (help) name = words[0];
  const Command* command = findCommand(name);
  if (!command) return fail(unknownCommand(name));
  for (const std::string& word : words) help |= word == "--help" || word == "-h";
  if (help) {
    std::fputs(helpOf(*command).c_str(), stdout);
    return 0;
  }
  if (absl::Status status = enterWorkingDirectory(); !status.ok()) return fail(status);
  absl::StatusOr<Arguments> arguments = parseArguments(*command, words);
  if (!arguments.ok()) return fail(arguments.status());
  if (absl::GetFlag(FLAGS_timing)) PhaseTimes::enable();
  absl::Status status = command->run(*arguments);
  return status.ok() ? 0 : fail(status);
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  return weir::run(std::vector<std::string>(argv + 1, argv + argc));
}
