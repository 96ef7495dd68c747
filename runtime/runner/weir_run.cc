// weir_run: runs a compiled program without a compiler. See --help.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "runtime/runner/runner.h"

namespace {

std::vector<std::string>& Prompts() {
  static auto* prompts = new std::vector<std::string>;
  return *prompts;
}

}  // namespace

ABSL_FLAG(std::string, entry, "", "entry point to run: eval, train_step, ...");
ABSL_FLAG(bool, list, false, "show what the program holds");
ABSL_FLAG(bool, init, false, "initialize the variables first, from --seed");
ABSL_FLAG(int64_t, seed, 1, "seed of --init and of --generate");
ABSL_FLAG(std::string, params, "", "safetensors with variables, read before the run");
ABSL_FLAG(std::string, inputs, "", "safetensors with the entry point's inputs, by name");
ABSL_FLAG(std::string, outputs, "", "safetensors for the outputs");
ABSL_FLAG(std::string, params_out, "", "safetensors for all variables after the run");
ABSL_FLAG(int64_t, repeat, 1, "how often to run the entry point");
ABSL_FLAG(int, threads, 0, "threads; 0 for all cores");
ABSL_FLAG(std::string, isa, "", "code to use: avx2, avx512, amx; empty for the best there is");
ABSL_FLAG(std::string, machine_isa, "",
          "as if the machine had nothing beyond this level: will the program run there?");
ABSL_FLAG(
    bool, stream, false,
    "read --inputs of any length by a program for streams, after --state or from the beginning");
ABSL_FLAG(bool, all_outputs, false, "--stream: outputs of all tokens, not of the last alone");
ABSL_FLAG(bool, profile, false, "report the time of each kernel");
ABSL_FLAG(bool, generate, false, "go on with texts; the program must be one for streams");
ABSL_FLAG(std::string, checkpoint, "", "the same as --params");
// Abseil keeps the last value of a flag that is repeated; this one keeps all.
ABSL_FLAG(std::string, prompt, "", "--generate: a text to go on with; repeatable").OnUpdate([] {
  std::string prompt = absl::GetFlag(FLAGS_prompt);
  if (!prompt.empty()) Prompts().push_back(std::move(prompt));
});
ABSL_FLAG(std::string, prompt_file, "", "--generate: a file with a text to go on with");
ABSL_FLAG(int64_t, tokens, 200, "--generate: tokens to add to each text");
ABSL_FLAG(double, temperature, 1, "--generate: divides logits; 0 takes the likeliest token");
ABSL_FLAG(int64_t, top_k, 0, "--generate: draw from so many likeliest tokens; 0: all");
ABSL_FLAG(double, top_p, 1,
          "--generate: draw from the fewest likeliest tokens whose probabilities add up to this");
ABSL_FLAG(int64_t, samples, 1, "--generate: texts for each prompt");
ABSL_FLAG(std::string, state, "", "--stream, --generate: safetensors with the state to go on from");
ABSL_FLAG(std::string, save_state, "",
          "--stream, --generate: safetensors for the state at the end");
ABSL_FLAG(bool, quiet, false, "--generate: no figures of speed and memory");

namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  return 1;
}

weir::runtime::StreamRequest Stream(const weir::runtime::RunnerOptions& options) {
  weir::runtime::StreamRequest request;
  request.inputs = options.inputs;
  request.outputs = options.outputs;
  request.all_outputs = absl::GetFlag(FLAGS_all_outputs);
  request.state = absl::GetFlag(FLAGS_state);
  request.save_state = absl::GetFlag(FLAGS_save_state);
  return request;
}

int Generate(const weir::runtime::RunnerOptions& options) {
  weir::runtime::GenerationRequest request;
  request.prompts = Prompts();
  request.prompt_file = absl::GetFlag(FLAGS_prompt_file);
  request.samples = absl::GetFlag(FLAGS_samples);
  request.tokens = absl::GetFlag(FLAGS_tokens);
  request.sampling.temperature = absl::GetFlag(FLAGS_temperature);
  request.sampling.top_k = absl::GetFlag(FLAGS_top_k);
  request.sampling.top_p = absl::GetFlag(FLAGS_top_p);
  request.sampling.seed = absl::GetFlag(FLAGS_seed);
  request.state = absl::GetFlag(FLAGS_state);
  request.save_state = absl::GetFlag(FLAGS_save_state);
  absl::Status status = weir::runtime::GenerateWithProgram(
      options, request, stdout, absl::GetFlag(FLAGS_quiet) ? nullptr : stderr);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Runs an entry point of a compiled program on tensors from files, reads streams of tokens, "
      "or goes "
      "on with texts.\n\n"
      "  weir_run model.weir --list\n"
      "  weir_run model.weir --entry=eval --params=best.safetensors --inputs=batch.safetensors "
      "--outputs=out.safetensors\n"
      "  weir_run model.weir --init --entry=train_step --inputs=batch.safetensors --repeat=20 "
      "--profile\n"
      "  weir_run model.weir --params=best.safetensors --stream --inputs=tokens.safetensors "
      "--save_state=state.safetensors\n"
      "  weir_run shakespeare.weir --generate --checkpoint=best.safetensors --prompt=ROMEO: "
      "--tokens=500\n");
  std::vector<char*> arguments = absl::ParseCommandLine(argc, argv);
  // `bazel run` starts programs elsewhere; paths are meant from where the user stands.
  if (const char* directory = std::getenv("BUILD_WORKING_DIRECTORY")) {
    if (::chdir(directory) != 0) {
      return Fail(absl::NotFoundError(absl::StrCat("cannot change to '", directory, "'")));
    }
  }
  if (arguments.size() != 2) {
    return Fail(absl::InvalidArgumentError("name one program file; see --help"));
  }
  if (absl::GetFlag(FLAGS_list)) {
    absl::StatusOr<weir::runtime::Program> program = weir::runtime::LoadProgram(arguments[1]);
    if (!program.ok()) return Fail(program.status());
    std::fputs(weir::runtime::DescribeProgram(*program).c_str(), stdout);
    return 0;
  }
  weir::runtime::RunnerOptions options;
  options.program = arguments[1];
  options.entry_point = absl::GetFlag(FLAGS_entry);
  options.initialize = absl::GetFlag(FLAGS_init);
  options.seed = absl::GetFlag(FLAGS_seed);
  options.params = absl::GetFlag(FLAGS_params);
  options.inputs = absl::GetFlag(FLAGS_inputs);
  options.outputs = absl::GetFlag(FLAGS_outputs);
  options.params_out = absl::GetFlag(FLAGS_params_out);
  options.repeat = absl::GetFlag(FLAGS_repeat);
  options.threads = absl::GetFlag(FLAGS_threads);
  options.isa = absl::GetFlag(FLAGS_isa);
  options.machine_isa = absl::GetFlag(FLAGS_machine_isa);
  options.profile = absl::GetFlag(FLAGS_profile);
  if (!absl::GetFlag(FLAGS_checkpoint).empty()) options.params = absl::GetFlag(FLAGS_checkpoint);
  if (absl::GetFlag(FLAGS_generate)) return Generate(options);
  absl::StatusOr<std::string> report = absl::GetFlag(FLAGS_stream)
                                           ? weir::runtime::StreamProgram(options, Stream(options))
                                           : weir::runtime::RunProgram(options);
  if (!report.ok()) return Fail(report.status());
  std::fputs(report->c_str(), stdout);
  return 0;
}
