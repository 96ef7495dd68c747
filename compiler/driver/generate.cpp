// weir generate: a trained model goes on with texts.

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "compiler/driver/command.h"
#include "compiler/driver/flags.h"
#include "compiler/driver/load.h"
#include "compiler/driver/program.h"
#include "compiler/driver/stream.h"
#include "compiler/driver/tensors.h"
#include "runtime/generation/run.h"
#include "runtime/training/checkpoint.h"

namespace weir {

namespace {

runtime::GenerationRequest requestFromFlags() {
  runtime::GenerationRequest request;
  request.prompts = absl::GetFlag(FLAGS_prompt);
  request.prompt_file = absl::GetFlag(FLAGS_prompt_file);
  request.samples = absl::GetFlag(FLAGS_samples);
  request.tokens = absl::GetFlag(FLAGS_tokens);
  request.sampling.temperature = absl::GetFlag(FLAGS_temperature);
  request.sampling.top_k = absl::GetFlag(FLAGS_top_k);
  request.sampling.top_p = absl::GetFlag(FLAGS_top_p);
  request.sampling.seed = absl::GetFlag(FLAGS_seed);
  request.state = absl::GetFlag(FLAGS_state);
  request.save_state = absl::GetFlag(FLAGS_save_state);
  return request;
}

/// Tokens that are read at once: none for short prompts, whose program would take longer to compile
/// than to do without.
int64_t chunkFor(const std::vector<std::string>& prompts) {
  if (isGiven("chunk")) return absl::GetFlag(FLAGS_chunk);
  size_t shortest = prompts[0].size();
  for (const std::string& prompt : prompts) shortest = std::min(shortest, prompt.size());
  const int64_t chunk = absl::GetFlag(FLAGS_chunk);
  return static_cast<int64_t>(shortest) >= chunk ? chunk : 0;
}

absl::Status run(const Arguments& arguments) {
  runtime::GenerationRequest request = requestFromFlags();
  absl::StatusOr<std::vector<std::string>> prompts = runtime::PromptsOf(request);
  if (!prompts.ok()) return prompts.status();
  // Known to be wrong before a minute of compiling.
  if (auto sampler = runtime::Sampler::Create(request.sampling); !sampler.ok())
    return sampler.status();
  absl::StatusOr<std::unique_ptr<Workspace>> workspace = Workspace::create();
  if (!workspace.ok()) return workspace.status();
  absl::StatusOr<LoadedModel> loaded = loadModel(**workspace, arguments[0]);
  if (!loaded.ok()) return loaded.status();
  if (absl::Status status = checkReadsText(*loaded); !status.ok()) return status;
  std::string checkpoint = absl::GetFlag(FLAGS_checkpoint);
  absl::StatusOr<runtime::Vocabulary> vocabulary = vocabularyOf(**workspace, *loaded, checkpoint);
  if (!vocabulary.ok()) return vocabulary.status();
  for (const std::string& prompt : *prompts) {
    if (auto tokens = vocabulary->Encode(prompt); !tokens.ok()) return tokens.status();
  }

  absl::StatusOr<StreamSettings> settings = streamSettings(*loaded);
  if (!settings.ok()) return settings.status();
  settings->batch = static_cast<int64_t>(prompts->size()) * request.samples;
  settings->chunk = chunkFor(*prompts);
  absl::StatusOr<ProgramSource> source = streamSource(**workspace, *loaded, *settings);
  if (!source.ok()) return source.status();
  CompileTimes times;
  absl::StatusOr<RunningProgram> program =
      startSource(**workspace, *source, &times, streamMetadata(*loaded, *vocabulary));
  if (!program.ok()) return program.status();
  runtime::Session& session = *program->session;
  absl::Status status = checkpoint.empty()
                            ? runtime::InitializeVariables(session, request.sampling.seed)
                            : loadParameters(session, checkpoint);
  if (!status.ok()) return status;
  std::FILE* log = absl::GetFlag(FLAGS_quiet) ? nullptr : stderr;
  if (log) std::fprintf(log, "%s\n", times.str().c_str());
  return runtime::RunGeneration(session, *vocabulary, request, stdout, log);
}

}  // namespace

Command generateCommand() {
  return {
      "generate",
      "MODEL --checkpoint=FILE --prompt=TEXT",
      "goes on with texts, with the parameters of a checkpoint",
      "The text goes to standard output, speed and memory to standard error. Several --prompt,\n"
      "or --samples, make several texts at once; each of their lines then begins with the text's\n"
      "number. The same seed gives the same text. A model whose attention has no end looks back\n"
      "on --context tokens at most. A file of --save_state lets another run (--state) go on as\n"
      "if there had been no stop. Without --checkpoint the parameters are the initial ones of\n"
      "--seed.",
      "weir generate runs/shakespeare/experiment.mlir "
      "--checkpoint=runs/shakespeare/best.safetensors --prompt=ROMEO: --tokens=500\n"
      "weir generate model.mlir --checkpoint=best.safetensors --prompt_file=book.txt --tokens=0 "
      "--save_state=book.safetensors\n"
      "weir generate model.mlir --checkpoint=best.safetensors --state=book.safetensors "
      "--samples=1 --temperature=0.8 --top_k=20",
      {"checkpoint",   "prompt", "prompt_file", "tokens",  "temperature", "top_k",
       "top_p",        "seed",   "samples",     "context", "state",       "save_state",
       "chunk",        "data",   "precision",   "set",     "threads",     "isa",
       "matrix_chunk", "plugin", "experiment",  "model",   "quiet",       "cache"},
      1,
      1,
      run};
}

}  // namespace weir
