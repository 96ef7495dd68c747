// The border between compiler and runtime: what a compiled model is.
//
// A program is static in shape. It has entry points ("init", "train_step", "eval", "step", ...),
// each an ordered list of kernel launches over planned buffers, and variables (parameters,
// optimizer state, carried states, counters) that all entry points share. It is saved as one file
// and runs without a compiler:
//
//   absl::StatusOr<Program> program = LoadProgram("model.weir");
//   auto session = Session::Create(*std::move(program), device, {});
#ifndef WEIR_RUNTIME_PROGRAM_PROGRAM_H_
#define WEIR_RUNTIME_PROGRAM_PROGRAM_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/program/element_type.h"

namespace weir::runtime {

// A dense, row-major tensor. An empty shape is a scalar.
struct TensorSpec {
  std::string name;
  ElementType type = ElementType::kF32;
  std::vector<int64_t> shape;

  int64_t NumElements() const;
  int64_t NumBytes() const { return NumElements() * ElementBytes(type); }
  // "tokens: tensor<16x80xi32>", for messages.
  std::string ToString() const;
};

// Same type and shape; names may differ.
bool SameLayout(const TensorSpec& a, const TensorSpec& b);

// What a variable is for. The values are part of the file format.
enum class Role : uint8_t {
  kParameter = 0,
  kOptimizer = 1,
  kState = 2,    // carried along time
  kCounter = 3,  // `rng`: (seed, step)
  kOther = 4,
  kPrepared = 5,  // computed from parameters by the entry point `prepare`
};
inline constexpr int kNumRoles = 6;

// The entry point that computes variables from parameters, and how the names of these begin. A
// session runs it by itself, when parameters have changed.
inline constexpr char kPrepareEntry[] = "prepare";
inline constexpr char kPreparedVariables[] = "prepared.";

// Memory that persists between runs and that all entry points of a program share. Zero when a
// session begins.
struct Variable {
  TensorSpec spec;
  Role role = Role::kOther;
};

// Where a buffer lives. The values are part of the file format.
enum class Space : uint8_t {
  kInput = 0,          // index: input of the entry point
  kOutput = 1,         // index: output of the entry point
  kVariable = 2,       // index: variable of the program
  kConstant = 3,       // index: constant of the program
  kArena = 4,          // index: 0
  kSharedScratch = 5,  // index: 0; one for all threads
  kThreadScratch = 6,  // index: 0; the base: a kernel adds thread number x its own scratch size
};
inline constexpr int kNumSpaces = 7;

struct BufferRef {
  Space space = Space::kArena;
  int64_t index = 0;
  int64_t byte_offset = 0;
};

// A call of `void kernel(void* const* buffers)`.
struct Launch {
  int32_t kernel = 0;  // index into Program::kernels
  std::vector<BufferRef> buffers;
};

struct EntryPoint {
  std::string name;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::vector<Launch> launches;
  int64_t arena_bytes = 0;
  int64_t shared_scratch_bytes = 0;
  int64_t thread_scratch_bytes = 0;  // per thread: the largest of its kernels
};

// An ELF shared object that exports every name of Program::kernels.
struct CodeObject {
  std::string isa;  // "avx2", "avx512" or "amx"
  std::string elf;
};

struct Program {
  std::vector<std::string> kernels;
  std::vector<Variable> variables;
  std::vector<std::string> constants;  // bytes
  std::vector<EntryPoint> entry_points;
  std::vector<CodeObject> code;
  std::map<std::string, std::string> metadata;  // e.g. "experiment": its text

  // Null if there is none of that name.
  const EntryPoint* FindEntryPoint(absl::string_view name) const;
  // -1 if there is none of that name.
  int64_t FindVariable(absl::string_view name) const;
};

// Checks everything that can be checked without running: indices in range, offsets inside their
// buffers, sizes that don't overflow, names that are unique. InvalidArgument names the entry point
// and launch.
absl::Status ValidateProgram(const Program& program);

// The file: magic, format version, length and checksum of the payload, payload (little-endian,
// length-prefixed).
std::string SerializeProgram(const Program& program);

// DataLoss if the bytes are truncated or corrupt, FailedPrecondition if they have another format
// version, InvalidArgument if they are no program or an inconsistent one. `origin` (a file's name)
// begins every message.
absl::StatusOr<Program> ParseProgram(absl::string_view bytes, absl::string_view origin);

// Written whole or not at all.
absl::Status SaveProgram(const Program& program, const std::string& path);
absl::StatusOr<Program> LoadProgram(const std::string& path);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_PROGRAM_PROGRAM_H_
