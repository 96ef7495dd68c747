// The C interface: arguments checked, statuses and exceptions made into codes, Stream underneath.
#include "runtime/c_api/weir.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "runtime/device/cpu/cpu_device.h"
#include "runtime/program/program.h"
#include "runtime/program/session.h"
#include "runtime/streaming/stream.h"
#include "runtime/training/checkpoint.h"

namespace {

using weir::runtime::CpuDevice;
using weir::runtime::ElementType;
using weir::runtime::HostTensor;
using weir::runtime::Program;
using weir::runtime::Role;
using weir::runtime::Session;
using weir::runtime::SessionOptions;
using weir::runtime::Stream;
using weir::runtime::TensorSpec;
using weir::runtime::Variable;

static_assert(static_cast<int>(ElementType::kF64) == WEIR_F64 &&
              static_cast<int>(ElementType::kF32) == WEIR_F32 &&
              static_cast<int>(ElementType::kBF16) == WEIR_BF16 &&
              static_cast<int>(ElementType::kI64) == WEIR_I64 &&
              static_cast<int>(ElementType::kI32) == WEIR_I32 &&
              static_cast<int>(ElementType::kU8) == WEIR_U8 &&
              static_cast<int>(ElementType::kBool) == WEIR_BOOL);

// The most recent error of each thread.
std::string& LastError() {
  thread_local std::string message;
  return message;
}

weir_status Code(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return WEIR_OK;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return WEIR_INVALID_ARGUMENT;
    case absl::StatusCode::kNotFound:
      return WEIR_NOT_FOUND;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kAlreadyExists:
      return WEIR_FAILED_PRECONDITION;
    case absl::StatusCode::kDataLoss:
      return WEIR_DATA_LOSS;
    case absl::StatusCode::kResourceExhausted:
      return WEIR_OUT_OF_MEMORY;
    case absl::StatusCode::kAborted:
      return WEIR_BUSY;
    default:
      return WEIR_INTERNAL;
  }
}

// Runs `body`, which returns a Status, and keeps exceptions from the caller.
template <typename Body>
weir_status Guard(Body body) noexcept {
  try {
    try {
      absl::Status status = body();
      if (!status.ok()) LastError() = std::string(status.message());
      return Code(status.code());
    } catch (const std::bad_alloc&) {
      LastError() = "out of memory";
      return WEIR_OUT_OF_MEMORY;
    } catch (const std::exception& exception) {
      LastError() = exception.what();
      return WEIR_INTERNAL;
    }
  } catch (...) {  // no memory for the message
    return WEIR_INTERNAL;
  }
}

absl::Status Null(const char* what) {
  return absl::InvalidArgumentError(absl::StrCat(what, " is NULL"));
}

// The caller's struct, which may be shorter or longer than ours.
template <typename T>
absl::StatusOr<T> Sized(const T* given) {
  T copy = {};
  if (given == nullptr) return copy;
  size_t size;
  std::memcpy(&size, given, sizeof(size));
  if (size < sizeof(size)) {
    return absl::InvalidArgumentError("a struct's struct_size isn't set to its sizeof");
  }
  std::memcpy(&copy, given, std::min(size, sizeof(T)));
  return copy;
}

std::string Text(const char* text) { return text == nullptr ? "" : text; }

// What a program and its sessions have together. `users` is the number of sessions that run, or -1
// while the parameters are written.
struct Shared {
  std::unique_ptr<CpuDevice> device;
  std::unique_ptr<Session> session;  // its states belong to no weir_session
  std::unique_ptr<Stream> stream;    // says what the program is like
  std::atomic<bool> has_parameters{false};
  std::atomic<int64_t> users{0};
};

// Holds `users` for a session that runs.
class Use {
 public:
  explicit Use(Shared& shared) : shared_(shared) {
    int64_t users = shared.users.load();
    do {
      if (users < 0) return;
    } while (!shared.users.compare_exchange_weak(users, users + 1));
    held_ = true;
  }
  ~Use() {
    if (held_) --shared_.users;
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  bool held() const { return held_; }

 private:
  Shared& shared_;
  bool held_ = false;
};

}  // namespace

struct weir_program {
  std::shared_ptr<Shared> shared;
};

struct weir_session {
  std::shared_ptr<Shared> shared;
  std::unique_ptr<Session> session;
  std::unique_ptr<Stream> stream;
  std::vector<HostTensor> inputs, outputs;
  std::atomic<int64_t> position{0};  // the stream's, for threads that only look
  std::atomic_flag busy = ATOMIC_FLAG_INIT;
};

namespace {

absl::Status LoadInto(absl::StatusOr<Program> program, const weir_program_options* options,
                      weir_program** result) {
  absl::StatusOr<weir_program_options> given = Sized(options);
  if (!given.ok()) return given.status();
  if (!program.ok()) return program.status();
  auto shared = std::make_shared<Shared>();
  auto device = CpuDevice::Create({Text(given->isa), Text(given->machine_isa)});
  if (!device.ok()) return device.status();
  shared->device = *std::move(device);
  auto session = Session::Create(*std::move(program), *shared->device, {});
  if (!session.ok()) return session.status();
  shared->session = *std::move(session);
  absl::StatusOr<Stream> stream = Stream::Create(*shared->session);
  if (!stream.ok()) return stream.status();
  shared->stream = std::make_unique<Stream>(*std::move(stream));
  bool needs_parameters = false;
  for (const Variable& variable : shared->session->program().variables) {
    needs_parameters |= variable.role == Role::kParameter;
  }
  shared->has_parameters = !needs_parameters;
  *result = new weir_program{std::move(shared)};
  return absl::OkStatus();
}

// Writes the parameters with `write` while no session runs.
template <typename Write>
weir_status ChangeParameters(weir_program* program, Write write) {
  return Guard([&]() -> absl::Status {
    if (program == nullptr) return Null("the program");
    Shared& shared = *program->shared;
    int64_t nobody = 0;
    if (!shared.users.compare_exchange_strong(nobody, -1)) {
      return absl::AbortedError("a session of the program is running: parameters can't change");
    }
    absl::Status status = absl::UnknownError("the parameters weren't written");
    try {
      shared.has_parameters = false;
      status = write(*shared.session);
      shared.has_parameters = status.ok();
    } catch (...) {
      shared.users = 0;
      throw;
    }
    shared.users = 0;
    return status;
  });
}

weir_status Describe(const weir_program* program, size_t index, weir_tensor_info* info,
                     bool input) {
  return Guard([&]() -> absl::Status {
    if (program == nullptr) return Null("the program");
    if (info == nullptr) return Null("where the description goes");
    const Stream& stream = *program->shared->stream;
    const std::vector<TensorSpec>& specs = input ? stream.inputs() : stream.outputs();
    if (index >= specs.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("there is no ", input ? "input " : "output ", index));
    }
    const TensorSpec& spec = specs[index];
    weir_tensor_info described = {info->struct_size,
                                  spec.name.c_str(),
                                  static_cast<int32_t>(spec.type),
                                  static_cast<int32_t>(spec.shape.size()),
                                  spec.shape.data(),
                                  static_cast<size_t>(spec.NumBytes())};
    if (info->struct_size < sizeof(size_t)) {
      return absl::InvalidArgumentError("a struct's struct_size isn't set to its sizeof");
    }
    std::memcpy(info, &described, std::min(info->struct_size, sizeof(described)));
    return absl::OkStatus();
  });
}

// Runs `body` on a session that nobody else uses.
template <typename Body>
weir_status WithSession(weir_session* session, Body body) {
  return Guard([&]() -> absl::Status {
    if (session == nullptr) return Null("the session");
    if (session->busy.test_and_set()) {
      return absl::AbortedError("another thread is using the session");
    }
    struct Release {
      weir_session* session;
      ~Release() { session->busy.clear(); }
    } release{session};
    Use use(*session->shared);
    if (!use.held()) return absl::AbortedError("the program's parameters are being written");
    if (!session->shared->has_parameters) {
      return absl::FailedPreconditionError("the program's parameters weren't loaded");
    }
    absl::Status status = body();
    session->position = session->stream->position();
    return status;
  });
}

// `count` buffers of the given specs, with `tokens` as their extent in time.
template <typename Buffer>
absl::Status CheckBuffers(const std::vector<TensorSpec>& specs, int64_t tokens,
                          const Buffer* buffers, size_t count, const char* what) {
  if (count != specs.size()) {
    return absl::InvalidArgumentError(absl::StrCat("the program has ", specs.size(), " ", what,
                                                   "s; there are buffers for ", count));
  }
  if (buffers == nullptr) return Null(what);
  for (size_t i = 0; i < count; ++i) {
    // In this order nothing overflows: the bytes of a token are those of memory that exists.
    size_t token_bytes = specs[i].NumBytes();
    bool fits = token_bytes == 0
                    ? buffers[i].bytes == 0
                    : buffers[i].bytes % token_bytes == 0 &&
                          buffers[i].bytes / token_bytes == static_cast<size_t>(tokens);
    if (!fits) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " ", i, " (", specs[i].ToString(), ") of ", tokens, " tokens needs ",
                       token_bytes, " bytes for each of them; its buffer has ", buffers[i].bytes));
    }
    if (buffers[i].data == nullptr && buffers[i].bytes > 0) return Null("a buffer's data");
  }
  return absl::OkStatus();
}

weir_status Read(weir_session* session, int64_t tokens, bool single,
                 const weir_const_buffer* inputs, size_t input_count, uint32_t flags,
                 const weir_buffer* outputs, size_t output_count) {
  return WithSession(session, [&]() -> absl::Status {
    if (tokens < 1) {
      return absl::InvalidArgumentError(absl::StrCat("the number of tokens can't be ", tokens));
    }
    if ((flags & ~static_cast<uint32_t>(WEIR_ALL_OUTPUTS)) != 0) {
      return absl::InvalidArgumentError(absl::StrCat("there is no flag in ", flags, " beside ",
                                                     static_cast<int>(WEIR_ALL_OUTPUTS)));
    }
    bool all = (flags & WEIR_ALL_OUTPUTS) != 0;
    Stream& stream = *session->stream;
    absl::Status status = CheckBuffers(stream.inputs(), tokens, inputs, input_count, "input");
    if (!status.ok()) return status;
    bool wanted = outputs != nullptr || output_count != 0;
    if (wanted) {
      status = CheckBuffers(stream.outputs(), all ? tokens : 1, outputs, output_count, "output");
      if (!status.ok()) return status;
    }
    session->inputs.resize(input_count);
    for (size_t i = 0; i < input_count; ++i) {
      TensorSpec spec = stream.inputs()[i];
      spec.shape[1] = tokens;
      HostTensor& input = session->inputs[i];
      if (!SameLayout(input.spec(), spec)) input = HostTensor(std::move(spec));
      if (inputs[i].bytes > 0) std::memcpy(input.bytes().data(), inputs[i].data, inputs[i].bytes);
    }
    status = single ? stream.Step(session->inputs, &session->outputs)
                    : stream.Prefill(session->inputs,
                                     all ? Stream::Outputs::kAll : Stream::Outputs::kLast,
                                     &session->outputs);
    if (!status.ok()) return status;
    for (size_t i = 0; wanted && i < output_count; ++i) {
      if (outputs[i].bytes == 0) continue;
      std::memcpy(outputs[i].data, session->outputs[i].bytes().data(), outputs[i].bytes);
    }
    return absl::OkStatus();
  });
}

}  // namespace

extern "C" {

uint32_t weir_api_version(void) { return WEIR_API_VERSION; }

const char* weir_last_error(void) { return LastError().c_str(); }

weir_status weir_program_load(const char* path, const weir_program_options* options,
                              weir_program** program) {
  return Guard([&]() -> absl::Status {
    if (program == nullptr) return Null("where the program goes");
    *program = nullptr;
    if (path == nullptr) return Null("the path");
    return LoadInto(weir::runtime::LoadProgram(path), options, program);
  });
}

weir_status weir_program_load_bytes(const void* bytes, size_t size,
                                    const weir_program_options* options, weir_program** program) {
  return Guard([&]() -> absl::Status {
    if (program == nullptr) return Null("where the program goes");
    *program = nullptr;
    if (bytes == nullptr) return Null("the program's bytes");
    absl::string_view text(static_cast<const char*>(bytes), size);
    return LoadInto(weir::runtime::ParseProgram(text, "program in memory"), options, program);
  });
}

void weir_program_free(weir_program* program) { delete program; }

weir_status weir_program_load_parameters(weir_program* program, const char* path) {
  if (path == nullptr) return Guard([] { return Null("the path"); });
  return ChangeParameters(
      program, [&](Session& session) { return weir::runtime::LoadParameters(session, path); });
}

weir_status weir_program_init_parameters(weir_program* program, int64_t seed) {
  return ChangeParameters(
      program, [&](Session& session) { return weir::runtime::InitializeVariables(session, seed); });
}

const char* weir_program_isa(const weir_program* program) {
  return program == nullptr ? nullptr : program->shared->session->isa().c_str();
}

const char* weir_program_metadata(const weir_program* program, const char* key) {
  if (program == nullptr || key == nullptr) return nullptr;
  const auto& metadata = program->shared->session->program().metadata;
  auto it = metadata.find(key);
  return it == metadata.end() ? nullptr : it->second.c_str();
}

int64_t weir_program_batch(const weir_program* program) {
  return program == nullptr ? 0 : program->shared->stream->inputs()[0].shape[0];
}

int64_t weir_program_prefill_size(const weir_program* program) {
  return program == nullptr ? 0 : program->shared->stream->prefill_size();
}

int64_t weir_program_state_bytes(const weir_program* program) {
  return program == nullptr ? 0 : program->shared->stream->state_bytes();
}

size_t weir_program_input_count(const weir_program* program) {
  return program == nullptr ? 0 : program->shared->stream->inputs().size();
}

size_t weir_program_output_count(const weir_program* program) {
  return program == nullptr ? 0 : program->shared->stream->outputs().size();
}

weir_status weir_program_input(const weir_program* program, size_t index, weir_tensor_info* info) {
  return Describe(program, index, info, true);
}

weir_status weir_program_output(const weir_program* program, size_t index, weir_tensor_info* info) {
  return Describe(program, index, info, false);
}

weir_status weir_session_create(const weir_program* program, const weir_session_options* options,
                                weir_session** session) {
  return Guard([&]() -> absl::Status {
    if (session == nullptr) return Null("where the session goes");
    *session = nullptr;
    if (program == nullptr) return Null("the program");
    absl::StatusOr<weir_session_options> given = Sized(options);
    if (!given.ok()) return given.status();
    auto result = std::make_unique<weir_session>();
    result->shared = program->shared;
    Use use(*result->shared);
    if (!use.held()) return absl::AbortedError("the program's parameters are being written");
    if (!result->shared->has_parameters) {
      return absl::FailedPreconditionError(
          "the program's parameters weren't loaded: weir_program_load_parameters comes first");
    }
    SessionOptions session_options;
    session_options.threads = given->threads;
    auto created = Session::CreateSharing(*result->shared->session, session_options);
    if (!created.ok()) return created.status();
    result->session = *std::move(created);
    absl::StatusOr<Stream> stream = Stream::Create(*result->session);
    if (!stream.ok()) return stream.status();
    result->stream = std::make_unique<Stream>(*std::move(stream));
    *session = result.release();
    return absl::OkStatus();
  });
}

void weir_session_free(weir_session* session) { delete session; }

weir_status weir_session_reset(weir_session* session) {
  return WithSession(session, [&] { return session->stream->Reset(); });
}

weir_status weir_session_step(weir_session* session, const weir_const_buffer* inputs,
                              size_t input_count, const weir_buffer* outputs, size_t output_count) {
  return Read(session, 1, /*single=*/true, inputs, input_count, 0, outputs, output_count);
}

weir_status weir_session_prefill(weir_session* session, int64_t tokens,
                                 const weir_const_buffer* inputs, size_t input_count,
                                 uint32_t flags, const weir_buffer* outputs, size_t output_count) {
  return Read(session, tokens, /*single=*/false, inputs, input_count, flags, outputs, output_count);
}

int64_t weir_session_position(const weir_session* session) {
  return session == nullptr ? 0 : session->position.load();
}

weir_status weir_session_save_state(weir_session* session, const char* path) {
  return WithSession(session, [&] {
    return path == nullptr ? Null("the path") : session->stream->SaveState(path);
  });
}

weir_status weir_session_load_state(weir_session* session, const char* path) {
  return WithSession(session, [&] {
    return path == nullptr ? Null("the path") : session->stream->LoadState(path);
  });
}

}  // extern "C"
