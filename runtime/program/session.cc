#include "runtime/program/session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weir::runtime {
namespace {

constexpr uint8_t kPoison = 0xff;

// What belongs to the model rather than to one stream through it.
bool IsShared(const Variable& variable) {
  return variable.role == Role::kParameter || variable.role == Role::kOptimizer ||
         variable.role == Role::kPrepared;
}

absl::Status CheckOptions(const SessionOptions& options) {
  if (options.threads >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the number of threads can't be ", options.threads));
}

}  // namespace

Session::Session(Device& device, std::shared_ptr<Shared> shared, const SessionOptions& options)
    : device_(device),
      shared_(std::move(shared)),
      threads_(options.threads > 0 ? options.threads : device.default_threads()),
      poison_(options.poison) {}

absl::StatusOr<std::unique_ptr<Session>> Session::Create(Program program, Device& device,
                                                         const SessionOptions& options) {
  if (absl::Status status = ValidateProgram(program); !status.ok()) return status;
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  auto shared = std::make_shared<Shared>();
  shared->program = std::move(program);
  absl::StatusOr<std::unique_ptr<LoadedCode>> code = device.Load(shared->program);
  if (!code.ok()) return code.status();
  shared->code = *std::move(code);
  for (const Variable& variable : shared->program.variables) {
    shared->variables.emplace_back();
    if (!IsShared(variable)) continue;
    auto memory = device.Allocate(variable.spec.NumBytes());
    if (!memory.ok()) return memory.status();
    shared->memory_bytes += (*memory)->bytes();
    shared->variables.back() = *std::move(memory);
  }
  for (const std::string& constant : shared->program.constants) {
    auto memory = device.Allocate(constant.size());
    if (!memory.ok()) return memory.status();
    absl::Status status =
        device.CopyToDevice((*memory)->address(), constant.data(), constant.size());
    if (!status.ok()) return status;
    shared->memory_bytes += (*memory)->bytes();
    shared->constants.push_back(*std::move(memory));
  }
  return CreateOn(device, std::move(shared), options);
}

absl::StatusOr<std::unique_ptr<Session>> Session::CreateSharing(const Session& other,
                                                                const SessionOptions& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  return CreateOn(other.device_, other.shared_, options);
}

absl::StatusOr<std::unique_ptr<Session>> Session::CreateOn(Device& device,
                                                           std::shared_ptr<Shared> shared,
                                                           const SessionOptions& options) {
  auto session = std::unique_ptr<Session>(new Session(device, std::move(shared), options));
  if (absl::Status status = session->AllocateVariables(); !status.ok()) return status;
  if (absl::Status status = session->AllocateScratch(); !status.ok()) return status;
  return session;
}

absl::StatusOr<std::unique_ptr<DeviceMemory>> Session::AllocateOwn(int64_t bytes) {
  own_memory_bytes_ += bytes;
  return device_.Allocate(bytes);
}

absl::Status Session::AllocateVariables() {
  for (const Variable& variable : program().variables) {
    variables_.emplace_back();
    if (IsShared(variable)) continue;
    auto memory = AllocateOwn(variable.spec.NumBytes());
    if (!memory.ok()) return memory.status();
    variables_.back() = *std::move(memory);
  }
  return absl::OkStatus();
}

absl::Status Session::AllocateScratch() {
  // Entry points run one at a time, so the largest arena and scratch do for all.
  int64_t arena = 0, shared = 0, per_thread = 0;
  for (const EntryPoint& entry : program().entry_points) {
    arena = std::max(arena, entry.arena_bytes);
    shared = std::max(shared, entry.shared_scratch_bytes);
    per_thread = std::max(per_thread, entry.thread_scratch_bytes);
  }
  std::pair<std::unique_ptr<DeviceMemory>*, int64_t> blocks[] = {
      {&arena_, arena}, {&shared_scratch_, shared}, {&thread_scratch_, per_thread * threads_}};
  for (auto& [memory, bytes] : blocks) {
    auto allocated = AllocateOwn(bytes);
    if (!allocated.ok()) return allocated.status();
    *memory = *std::move(allocated);
  }
  return absl::OkStatus();
}

const DeviceMemory& Session::VariableMemory(int64_t index) const {
  const std::unique_ptr<DeviceMemory>& shared = shared_->variables[index];
  return shared ? *shared : *variables_[index];
}

absl::Status Session::WriteVariable(absl::string_view name, const HostTensor& value) {
  int64_t index = program().FindVariable(name);
  if (index < 0) {
    return absl::NotFoundError(absl::StrCat("the program has no variable '", name, "'"));
  }
  const TensorSpec& spec = program().variables[index].spec;
  if (!SameLayout(spec, value.spec())) {
    return absl::InvalidArgumentError(
        absl::StrCat("the program wants ", spec.ToString(), ", not ", value.spec().ToString()));
  }
  if (program().variables[index].role == Role::kParameter) MarkStale();
  return device_.CopyToDevice(VariableMemory(index).address(), value.bytes().data(),
                              spec.NumBytes());
}

void Session::MarkStale() {
  absl::MutexLock lock(&shared_->mutex);
  shared_->stale = true;
}

absl::StatusOr<HostTensor> Session::ReadVariable(absl::string_view name) const {
  int64_t index = program().FindVariable(name);
  if (index < 0) {
    return absl::NotFoundError(absl::StrCat("the program has no variable '", name, "'"));
  }
  HostTensor value(program().variables[index].spec);
  absl::Status status = device_.CopyToHost(value.bytes().data(), VariableMemory(index).address(),
                                           value.spec().NumBytes());
  if (!status.ok()) return status;
  return value;
}

void* Session::Resolve(const Prepared& prepared, const BufferRef& ref) const {
  const DeviceMemory* memory = nullptr;
  switch (ref.space) {
    case Space::kInput:
      memory = prepared.inputs[ref.index].get();
      break;
    case Space::kOutput:
      memory = prepared.outputs[ref.index].get();
      break;
    case Space::kVariable:
      memory = &VariableMemory(ref.index);
      break;
    case Space::kConstant:
      memory = shared_->constants[ref.index].get();
      break;
    case Space::kArena:
      memory = arena_.get();
      break;
    case Space::kSharedScratch:
      memory = shared_scratch_.get();
      break;
    case Space::kThreadScratch:
      memory = thread_scratch_.get();
      break;
  }
  return static_cast<char*>(memory->address()) + ref.byte_offset;
}

absl::StatusOr<Session::Prepared*> Session::Prepare(absl::string_view entry_point) {
  if (auto it = prepared_.find(entry_point); it != prepared_.end()) return &it->second;
  const EntryPoint* entry = program().FindEntryPoint(entry_point);
  if (entry == nullptr) {
    return absl::NotFoundError(absl::StrCat("the program has no entry point '", entry_point, "'"));
  }
  Prepared prepared;
  prepared.entry = entry;
  for (const TensorSpec& spec : entry->inputs) {
    auto memory = AllocateOwn(spec.NumBytes());
    if (!memory.ok()) return memory.status();
    prepared.inputs.push_back(*std::move(memory));
  }
  for (const TensorSpec& spec : entry->outputs) {
    auto memory = AllocateOwn(spec.NumBytes());
    if (!memory.ok()) return memory.status();
    prepared.outputs.push_back(*std::move(memory));
  }
  for (const Launch& launch : entry->launches) {
    ResolvedLaunch resolved{launch.kernel, {}};
    for (const BufferRef& ref : launch.buffers) {
      resolved.buffers.push_back(Resolve(prepared, ref));
      if (ref.space != Space::kVariable || entry_point == kPrepareEntry) continue;
      Role role = program().variables[ref.index].role;
      prepared.reads_prepared |= role == Role::kPrepared;
      prepared.touches_parameters |= role == Role::kParameter;
    }
    prepared.launches.push_back(std::move(resolved));
  }
  return &prepared_.emplace(std::string(entry_point), std::move(prepared)).first->second;
}

absl::Status Session::Poison(const Prepared& prepared) {
  auto fill = [&](const DeviceMemory& memory) {
    return device_.Fill(memory.address(), kPoison, memory.bytes());
  };
  for (const DeviceMemory* memory : {arena_.get(), shared_scratch_.get(), thread_scratch_.get()}) {
    if (absl::Status status = fill(*memory); !status.ok()) return status;
  }
  for (const std::unique_ptr<DeviceMemory>& output : prepared.outputs) {
    if (absl::Status status = fill(*output); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Session::RunLaunches(const Prepared& prepared) {
  if (poison_) {
    if (absl::Status status = Poison(prepared); !status.ok()) return status;
  }
  const EntryPoint& entry = *prepared.entry;
  LaunchObserver observer;
  if (observer_) {
    observer = [&](int64_t launch, double seconds) {
      observer_({entry.name, program().kernels[entry.launches[launch].kernel], launch, seconds});
    };
  }
  return shared_->code->Run(prepared.launches, threads_, observer);
}

absl::Status Session::RefreshPrepared() {
  absl::MutexLock lock(&shared_->mutex);
  if (!shared_->stale) return absl::OkStatus();
  absl::StatusOr<Prepared*> prepare = Prepare(kPrepareEntry);
  if (!prepare.ok()) return prepare.status();
  if (absl::Status status = RunLaunches(**prepare); !status.ok()) return status;
  shared_->stale = false;
  return absl::OkStatus();
}

absl::Status Session::Run(absl::string_view entry_point, absl::Span<const HostTensor> inputs,
                          std::vector<HostTensor>* outputs) {
  absl::StatusOr<Prepared*> prepared = Prepare(entry_point);
  if (!prepared.ok()) return prepared.status();
  const EntryPoint& entry = *(*prepared)->entry;
  if (inputs.size() != entry.inputs.size()) {
    return absl::InvalidArgumentError(absl::StrCat("'", entry_point, "' has ", entry.inputs.size(),
                                                   " inputs; it was given ", inputs.size()));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!SameLayout(inputs[i].spec(), entry.inputs[i])) {
      return absl::InvalidArgumentError(absl::StrCat("'", entry_point, "' wants ",
                                                     entry.inputs[i].ToString(), " as input ", i,
                                                     ", not ", inputs[i].spec().ToString()));
    }
    absl::Status status = device_.CopyToDevice((*prepared)->inputs[i]->address(),
                                               inputs[i].bytes().data(), inputs[i].bytes().size());
    if (!status.ok()) return status;
  }
  if ((*prepared)->reads_prepared) {
    if (absl::Status status = RefreshPrepared(); !status.ok()) return status;
  }
  if (absl::Status status = RunLaunches(**prepared); !status.ok()) return status;
  // It may have written them: `init` does.
  if ((*prepared)->touches_parameters && !(*prepared)->reads_prepared) MarkStale();
  outputs->resize(entry.outputs.size());
  for (size_t i = 0; i < entry.outputs.size(); ++i) {
    HostTensor& output = (*outputs)[i];
    if (!SameLayout(output.spec(), entry.outputs[i]) ||
        output.spec().name != entry.outputs[i].name) {
      output = HostTensor(entry.outputs[i]);
    }
    absl::Status status = device_.CopyToHost(
        output.bytes().data(), (*prepared)->outputs[i]->address(), output.bytes().size());
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Session::ReadBuffer(absl::string_view entry_point, int64_t launch, int64_t buffer,
                                 absl::Span<char> bytes) const {
  auto it = prepared_.find(entry_point);
  if (it == prepared_.end()) {
    return absl::NotFoundError(absl::StrCat("'", entry_point, "' hasn't run"));
  }
  const std::vector<ResolvedLaunch>& launches = it->second.launches;
  if (launch < 0 || launch >= static_cast<int64_t>(launches.size()) || buffer < 0 ||
      buffer >= static_cast<int64_t>(launches[launch].buffers.size())) {
    return absl::NotFoundError(
        absl::StrCat("'", entry_point, "' has no buffer ", buffer, " of launch ", launch));
  }
  return device_.CopyToHost(bytes.data(), launches[launch].buffers[buffer], bytes.size());
}

}  // namespace weir::runtime
