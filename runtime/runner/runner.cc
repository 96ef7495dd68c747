#include "runtime/runner/runner.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/data/vocabulary.h"
#include "runtime/device/cpu/cpu_device.h"
#include "runtime/program/session.h"
#include "runtime/training/checkpoint.h"

namespace weir::runtime {
namespace {

// Seconds and calls of each kernel.
class Profile {
 public:
  void Add(const LaunchTime& time) {
    Entry& entry = entries_[std::string(time.kernel)];
    entry.seconds += time.seconds;
    ++entry.calls;
  }

  std::string Report() const {
    std::vector<std::pair<std::string, Entry>> sorted(entries_.begin(), entries_.end());
    std::sort(sorted.begin(), sorted.end(),
              [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
    double total = 0;
    for (const auto& [name, entry] : sorted) total += entry.seconds;
    std::string text;
    for (const auto& [name, entry] : sorted) {
      absl::StrAppendFormat(&text, "%10.3f ms %5.1f%% %6d calls  %s\n", entry.seconds * 1e3,
                            total > 0 ? 100 * entry.seconds / total : 0.0, entry.calls, name);
    }
    return text;
  }

 private:
  struct Entry {
    double seconds = 0;
    int64_t calls = 0;
  };
  std::map<std::string, Entry> entries_;
};

// Writes every tensor of the file that is a variable. A file with none of them is an error: it is
// the wrong one.
absl::Status ReadVariables(Session& session, const std::string& path) {
  absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open(path);
  if (!file.ok()) return file.status();
  int64_t found = 0;
  for (const SafetensorsEntry& entry : file->entries()) {
    if (session.program().FindVariable(entry.spec.name) < 0) continue;
    ++found;
    absl::StatusOr<HostTensor> value = file->Read(entry.spec.name);
    if (!value.ok()) return value.status();
    absl::Status status = session.WriteVariable(entry.spec.name, *value);
    if (!status.ok())
      return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
  }
  if (found == 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": holds no variable of the program"));
  }
  return absl::OkStatus();
}

absl::Status WriteVariables(const Session& session, const std::string& path) {
  std::vector<HostTensor> tensors;
  for (const Variable& variable : session.program().variables) {
    absl::StatusOr<HostTensor> value = session.ReadVariable(variable.spec.name);
    if (!value.ok()) return value.status();
    tensors.push_back(*std::move(value));
  }
  return WriteSafetensors(path, tensors, {});
}

absl::StatusOr<std::vector<HostTensor>> ReadInputs(const EntryPoint& entry,
                                                   const std::string& path) {
  std::vector<HostTensor> inputs;
  if (entry.inputs.empty()) return inputs;
  if (path.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("'", entry.name, "' needs ",
                                                   entry.inputs[0].ToString(),
                                                   "; name a file of inputs with --inputs"));
  }
  absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open(path);
  if (!file.ok()) return file.status();
  for (const TensorSpec& spec : entry.inputs) {
    absl::StatusOr<HostTensor> input = file->Read(spec.name);
    if (!input.ok()) return input.status();
    inputs.push_back(*std::move(input));
  }
  return inputs;
}

void AppendSpecs(absl::string_view what, const std::vector<TensorSpec>& specs, std::string* text) {
  for (const TensorSpec& spec : specs)
    absl::StrAppend(text, "  ", what, " ", spec.ToString(), "\n");
}

absl::Status RunEntryPoint(Session& session, const RunnerOptions& options, std::string* report) {
  const EntryPoint* entry = session.program().FindEntryPoint(options.entry_point);
  if (entry == nullptr) {
    return absl::NotFoundError(
        absl::StrCat(options.program, ": there is no entry point '", options.entry_point, "'"));
  }
  absl::StatusOr<std::vector<HostTensor>> inputs = ReadInputs(*entry, options.inputs);
  if (!inputs.ok()) return inputs.status();
  Profile profile;
  if (options.profile) session.SetObserver([&](const LaunchTime& time) { profile.Add(time); });
  std::vector<HostTensor> outputs;
  auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < options.repeat; ++i) {
    absl::Status status = session.Run(options.entry_point, *inputs, &outputs);
    if (!status.ok()) return status;
  }
  std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  session.SetObserver(nullptr);
  absl::StrAppendFormat(report, "%s: %d run%s of %.3f ms, %d threads, %s\n", entry->name,
                        options.repeat, options.repeat == 1 ? "" : "s",
                        seconds.count() * 1e3 / static_cast<double>(options.repeat),
                        session.threads(), session.isa());
  for (const HostTensor& output : outputs) {
    if (output.spec().NumElements() != 1) continue;
    absl::StrAppendFormat(report, "%s = %.9g\n", output.spec().name, output.Number(0));
  }
  absl::StrAppend(report, profile.Report());
  if (options.outputs.empty()) return absl::OkStatus();
  return WriteSafetensors(options.outputs, outputs, {});
}

// A program with the device it runs on, and its variables as the options say.
struct Opened {
  std::unique_ptr<CpuDevice> device;
  std::unique_ptr<Session> session;
};

absl::StatusOr<Opened> Open(const RunnerOptions& options) {
  absl::StatusOr<Program> program = LoadProgram(options.program);
  if (!program.ok()) return program.status();
  absl::StatusOr<std::unique_ptr<CpuDevice>> device =
      CpuDevice::Create({options.isa, options.machine_isa});
  if (!device.ok()) return device.status();
  Opened opened;
  opened.device = *std::move(device);
  absl::StatusOr<std::unique_ptr<Session>> session =
      Session::Create(*std::move(program), *opened.device, {options.threads});
  if (!session.ok()) return session.status();
  opened.session = *std::move(session);
  if (options.initialize) {
    absl::Status status = InitializeVariables(*opened.session, options.seed);
    if (!status.ok()) return status;
  }
  if (!options.params.empty()) {
    absl::Status status = ReadVariables(*opened.session, options.params);
    if (!status.ok()) return status;
  }
  return opened;
}

}  // namespace

absl::StatusOr<std::string> RunProgram(const RunnerOptions& options) {
  if (options.repeat < 1) return absl::InvalidArgumentError("--repeat must be at least 1");
  absl::StatusOr<Opened> opened = Open(options);
  if (!opened.ok()) return opened.status();
  std::string report;
  if (!options.entry_point.empty()) {
    absl::Status status = RunEntryPoint(*opened->session, options, &report);
    if (!status.ok()) return status;
  }
  if (!options.params_out.empty()) {
    absl::Status status = WriteVariables(*opened->session, options.params_out);
    if (!status.ok()) return status;
  }
  return report;
}

absl::StatusOr<std::string> StreamProgram(const RunnerOptions& options,
                                          const StreamRequest& request) {
  absl::StatusOr<Opened> opened = Open(options);
  if (!opened.ok()) return opened.status();
  return ReadStream(*opened->session, request);
}

absl::Status GenerateWithProgram(const RunnerOptions& options, const GenerationRequest& request,
                                 std::FILE* out, std::FILE* log) {
  if (options.params.empty() && !options.initialize) {
    return absl::InvalidArgumentError(
        "a program has no parameters of its own: give --checkpoint=FILE, or --init for random "
        "ones");
  }
  absl::StatusOr<Opened> opened = Open(options);
  if (!opened.ok()) return opened.status();
  absl::StatusOr<Vocabulary> vocabulary =
      Vocabulary::FromMetadata(opened->session->program().metadata);
  // The checkpoint knows better.
  if (!options.params.empty()) {
    absl::StatusOr<Vocabulary> trained = LoadVocabulary(options.params);
    if (trained.ok() || !absl::IsFailedPrecondition(trained.status()))
      vocabulary = std::move(trained);
  }
  if (absl::IsNotFound(vocabulary.status())) {
    return absl::FailedPreconditionError(absl::StrCat(
        options.program,
        ": neither the program nor the checkpoint says which byte each token stands for; compile "
        "the program with --checkpoint, or with --data, the text it was trained on"));
  }
  if (!vocabulary.ok()) return vocabulary.status();
  return RunGeneration(*opened->session, *vocabulary, request, out, log);
}

std::string DescribeProgram(const Program& program) {
  std::string text;
  for (const EntryPoint& entry : program.entry_points) {
    absl::StrAppend(&text, entry.name, ": ", entry.launches.size(), " launches, arena of ",
                    entry.arena_bytes, " bytes\n");
    AppendSpecs("input ", entry.inputs, &text);
    AppendSpecs("output", entry.outputs, &text);
  }
  absl::StrAppend(&text, "variables:\n");
  const char* const roles[kNumRoles] = {"parameter", "optimizer", "state",
                                        "counter",   "other",     "prepared"};
  for (const Variable& variable : program.variables) {
    absl::StrAppend(&text, "  ", roles[static_cast<int>(variable.role)], " ",
                    variable.spec.ToString(), "\n");
  }
  absl::StrAppend(&text, program.kernels.size(), " kernels\n");
  for (const CodeObject& code : program.code) {
    absl::StrAppend(&text, "  ", code.isa, ": ", code.elf.size(), " bytes of code\n");
  }
  return text;
}

}  // namespace weir::runtime
