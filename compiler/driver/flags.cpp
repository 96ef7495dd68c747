#include "compiler/driver/flags.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "compiler/driver/command.h"

// Names are those of the command line, where `--stop-after` and `--stop_after` are the same.
ABSL_FLAG(std::vector<std::string>, set, {},
          "KEY=VALUE: an option of the model (width=128) or a setting of the experiment "
          "(optimizer.lr=1e-3, task.batch=8, precision=f64); repeatable");
ABSL_FLAG(std::vector<std::string>, plugin, {},
          "a plugin (.mlir or .so), or a folder of them, besides the plugin path; repeatable");
ABSL_FLAG(std::string, experiment, "", "the experiment, if the file holds several");
ABSL_FLAG(std::string, model, "", "the model, if the file holds several");
ABSL_FLAG(int64_t, steps, 0, "short for --set train.steps=N");
ABSL_FLAG(int64_t, seed, 1, "short for --set seed=N");
ABSL_FLAG(int, threads, 0, "threads to run on; 0 for all cores");
ABSL_FLAG(std::string, data, "", "the task's data file; short for --set task.data=FILE");
ABSL_FLAG(std::string, out, "", "where the result goes");
ABSL_FLAG(bool, resume, false, "go on from the checkpoint in --out; without one, begin");
ABSL_FLAG(bool, quiet, false, "no progress");
ABSL_FLAG(bool, profile, false, "time each kernel, and list them at the end");
ABSL_FLAG(bool, timing, false, "print where the time of compiling went, on stderr");
ABSL_FLAG(std::string, cache, "",
          "the folder of what was compiled before, or off; empty for that of the environment's "
          "WEIR_CACHE, or else $XDG_CACHE_HOME/weir or ~/.cache/weir");
ABSL_FLAG(std::string, isa, "",
          "instruction set: avx2, avx512 or amx; `weir compile --emit=program` also takes a list, "
          "as avx2,avx512; empty for the best that this machine has");
ABSL_FLAG(std::string, matrix_chunk, "auto",
          "tokens of a chunk where scans with matrix states become products; 0: they stay scans; "
          "auto: by cost, scan by scan");
ABSL_FLAG(std::string, checkpoint, "", "safetensors with the parameters");
ABSL_FLAG(std::string, params, "", "safetensors with the parameters, by path");
ABSL_FLAG(
    std::string, inputs, "",
    "safetensors with the inputs by name; optional: `state.<path>` (first states), `segments` "
    "(ids of packed documents), `cotangent` (of the output; ones if absent) and `cotangent.<path>` "
    "(of last states; zeros)");
ABSL_FLAG(std::string, outputs, "",
          "safetensors for `output` and `state.<path>` (the last states)");
ABSL_FLAG(
    std::string, gradients, "",
    "safetensors for the gradients of sum(output * cotangent), with cotangents of last states "
    "where given: parameters under their paths, "
    "`input.<name>` and `state.<path>`");
ABSL_FLAG(std::string, precision, "f32", "f32, bf16 or f64");
ABSL_FLAG(std::string, stop_after, "",
          "the level to print: expanded, specialized, sequence, differentiated, optimized, "
          "dispatched, planned, tiled, kernels, llvm or asm");
ABSL_FLAG(std::string, emit, "", "program: a file that runs without a compiler, with weir_run");
ABSL_FLAG(std::string, entry, "",
          "what is compiled: train (init, train_step and eval; the default where the file has an "
          "experiment), run, or stream (init, reset, step and prefill); for `weir bench`, which "
          "entry point is run: train_step (the default there), eval, step or prefill");
ABSL_FLAG(std::string, kernel, "", "print this kernel only");
ABSL_FLAG(int64_t, batch, 0, "sequences in a batch; 0 for the task's, or 1");
ABSL_FLAG(int64_t, length, 0, "length of a sequence; 0 for the task's, or 128");
ABSL_FLAG(int64_t, features, 8, "features of the layer's inputs");
ABSL_FLAG(std::string, only, "", "kinds of checks, separated by commas; empty for all");
ABSL_FLAG(std::string, device, "cpu", "devices to check on, separated by commas; there is cpu");
ABSL_FLAG(bool, memory, true, "plan the memory too, which takes as long as compiling half-way");
ABSL_FLAG(bool, tasks, false, "list tasks instead");
ABSL_FLAG(std::vector<std::string>, prompt, {}, "a text to go on with; repeatable");
ABSL_FLAG(std::string, prompt_file, "", "a file with a text to go on with");
ABSL_FLAG(int64_t, tokens, 200, "tokens to add to each text");
ABSL_FLAG(double, temperature, 1, "divides logits; 0 takes the likeliest token, always");
ABSL_FLAG(int64_t, top_k, 0, "draw from so many likeliest tokens; 0: all");
ABSL_FLAG(double, top_p, 1,
          "draw from the fewest likeliest tokens whose probabilities add up to this");
ABSL_FLAG(int64_t, samples, 1, "texts for each prompt");
ABSL_FLAG(int64_t, context, 0,
          "tokens that attention looks back on at most; 0 for the task's, or 256");
ABSL_FLAG(int64_t, chunk, 256, "tokens of a prompt that are read at once; 0: one by one");
ABSL_FLAG(bool, segments, false, "rows hold several documents: there is an input `segments`");
ABSL_FLAG(int64_t, warmup, 2, "runs before the first that is timed");
ABSL_FLAG(int64_t, repeats, 10, "times that are taken, of which the median counts");
ABSL_FLAG(std::string, clock, "wall",
          "wall, or cpu: the process's processor time, on one thread, for machines that do other "
          "work meanwhile");
ABSL_FLAG(bool, kernels, false, "a line for each kernel");
ABSL_FLAG(bool, json, false, "print one JSON object");
ABSL_FLAG(std::string, trace, "",
          "write a Chrome trace of a run, for about:tracing or ui.perfetto.dev");
ABSL_FLAG(std::string, state, "", "safetensors with the state to go on from");
ABSL_FLAG(std::string, save_state, "", "safetensors for the state at the end");

namespace weir {

namespace {

std::set<std::string>& givenFlags() {
  static std::set<std::string> given;
  return given;
}

/// Flags whose values add up.
const std::map<std::string, absl::Flag<std::vector<std::string>>*>& repeatable() {
  static const auto* flags = new std::map<std::string, absl::Flag<std::vector<std::string>>*>{
      {"set", &FLAGS_set}, {"plugin", &FLAGS_plugin}, {"prompt", &FLAGS_prompt}};
  return *flags;
}

std::string shown(std::string flag) {
  std::replace(flag.begin(), flag.end(), '_', '-');
  return absl::StrCat("--", flag);
}

absl::Status unknownFlag(const Command& command, const std::string& name) {
  std::string text = absl::StrCat("'weir ", command.name, "' has no flag '", shown(name), "'");
  if (command.flags.empty()) {
    absl::StrAppend(&text, ", and no others");
  } else {
    absl::StrAppend(&text, "; it has ",
                    absl::StrJoin(command.flags, ", ", [](std::string* out, const char* flag) {
                      absl::StrAppend(out, shown(flag));
                    }));
  }
  return absl::InvalidArgumentError(text);
}

}  // namespace

bool isGiven(const char* flag) { return givenFlags().count(flag) > 0; }

absl::StatusOr<Arguments> parseArguments(const Command& command,
                                         const std::vector<std::string>& words) {
  auto takes = [&](const std::string& name) {
    return std::find(command.flags.begin(), command.flags.end(), name) != command.flags.end();
  };
  Arguments arguments;
  for (size_t i = 0; i < words.size(); ++i) {
    absl::string_view word = words[i];
    if (word == "--") {
      arguments.insert(arguments.end(), words.begin() + i + 1, words.end());
      break;
    }
    if (!absl::ConsumePrefix(&word, "--")) {
      if (word.size() > 1 && word[0] == '-')
        return absl::InvalidArgumentError(
            absl::StrCat("'", words[i], "' is no flag: flags begin with two dashes"));
      arguments.push_back(words[i]);
      continue;
    }
    std::pair<std::string, std::string> parts = absl::StrSplit(word, absl::MaxSplits('=', 1));
    std::string name = parts.first, value = parts.second;
    bool hasValue = absl::StrContains(word, '=');
    std::replace(name.begin(), name.end(), '-', '_');
    if (!takes(name) && absl::StartsWith(name, "no") && takes(name.substr(2)) && !hasValue) {
      name = name.substr(2);
      value = "false";
      hasValue = true;
    }
    absl::CommandLineFlag* flag = takes(name) ? absl::FindCommandLineFlag(name) : nullptr;
    if (!flag) return unknownFlag(command, parts.first);
    if (!hasValue && flag->IsOfType<bool>()) {
      value = "true";
    } else if (!hasValue) {
      if (++i == words.size())
        return absl::InvalidArgumentError(absl::StrCat(shown(name), " needs a value"));
      value = words[i];
    }
    givenFlags().insert(name);
    if (auto it = repeatable().find(name); it != repeatable().end()) {
      std::vector<std::string> values = absl::GetFlag(*it->second);
      values.push_back(value);
      absl::SetFlag(it->second, values);
      continue;
    }
    std::string error;
    if (!flag->ParseFrom(value, &error)) {
      return absl::InvalidArgumentError(
          absl::StrCat(shown(name), " can't be '", value, "'", error.empty() ? "" : ": ", error));
    }
  }
  int count = static_cast<int>(arguments.size());
  if (count < command.least || (command.most >= 0 && count > command.most)) {
    return absl::InvalidArgumentError(
        count < command.least
            ? absl::StrCat("'weir ", command.name, "' lacks an argument: weir ", command.name, " ",
                           command.arguments)
            : absl::StrCat("'weir ", command.name, "' has no use for '", arguments.back(),
                           "': weir ", command.name, " ", command.arguments));
  }
  return arguments;
}

std::string helpOf(const Command& command) {
  std::string text =
      absl::StrCat("weir ", command.name, " ", command.arguments, "\n\n", command.summary, "\n");
  if (*command.details) absl::StrAppend(&text, "\n", command.details, "\n");
  absl::StrAppend(&text, "\nExample:\n");
  for (absl::string_view line : absl::StrSplit(command.example, '\n'))
    absl::StrAppend(&text, "  ", line, "\n");
  if (!command.flags.empty()) absl::StrAppend(&text, "\nFlags:\n");
  for (const char* name : command.flags) {
    const absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
    std::string normal = flag->DefaultValue();
    absl::StrAppend(&text, "  ", shown(name), "\n      ", flag->Help());
    if (!normal.empty() && normal != "0" && normal != "false")
      absl::StrAppend(&text, " (default: ", normal, ")");
    absl::StrAppend(&text, "\n");
  }
  return text;
}

}  // namespace weir
