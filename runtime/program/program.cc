#include "runtime/program/program.h"

#include <cstddef>
#include <limits>
#include <set>

#include "absl/strings/str_cat.h"

namespace weir::runtime {
namespace {

// No tensor, arena or file of a program comes near this; sums of a few such sizes can't overflow.
constexpr int64_t kMaxBytes = int64_t{1} << 46;

absl::Status CheckSpec(const TensorSpec& spec, absl::string_view where) {
  int64_t bytes = ElementBytes(spec.type);
  for (int64_t extent : spec.shape) {
    if (extent < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": '", spec.name, "' has a negative extent ", extent));
    }
    if (extent != 0 && bytes > kMaxBytes / extent) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": '", spec.name, "' is too large"));
    }
    bytes *= extent;
  }
  return absl::OkStatus();
}

absl::Status CheckSpecs(const std::vector<TensorSpec>& specs, absl::string_view where) {
  std::set<absl::string_view> names;
  for (const TensorSpec& spec : specs) {
    if (absl::Status status = CheckSpec(spec, where); !status.ok()) return status;
    if (!names.insert(spec.name).second) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": '", spec.name, "' appears twice"));
    }
  }
  return absl::OkStatus();
}

// The size of the buffer that `ref` points into, or -1 if there is no such buffer.
int64_t BufferBytes(const Program& program, const EntryPoint& entry, const BufferRef& ref) {
  auto at = [&](size_t count) { return ref.index >= 0 && ref.index < static_cast<int64_t>(count); };
  switch (ref.space) {
    case Space::kInput:
      return at(entry.inputs.size()) ? entry.inputs[ref.index].NumBytes() : -1;
    case Space::kOutput:
      return at(entry.outputs.size()) ? entry.outputs[ref.index].NumBytes() : -1;
    case Space::kVariable:
      return at(program.variables.size()) ? program.variables[ref.index].spec.NumBytes() : -1;
    case Space::kConstant:
      return at(program.constants.size()) ? program.constants[ref.index].size() : -1;
    case Space::kArena:
      return at(1) ? entry.arena_bytes : -1;
    case Space::kSharedScratch:
      return at(1) ? entry.shared_scratch_bytes : -1;
    case Space::kThreadScratch:
      return at(1) ? entry.thread_scratch_bytes : -1;
  }
  return -1;
}

absl::Status CheckEntryPoint(const Program& program, const EntryPoint& entry) {
  std::string where = absl::StrCat("entry point '", entry.name, "'");
  for (const auto* specs : {&entry.inputs, &entry.outputs}) {
    if (absl::Status status = CheckSpecs(*specs, where); !status.ok()) return status;
  }
  for (int64_t bytes :
       {entry.arena_bytes, entry.shared_scratch_bytes, entry.thread_scratch_bytes}) {
    if (bytes < 0 || bytes > kMaxBytes) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": impossible memory size ", bytes));
    }
  }
  for (size_t i = 0; i < entry.launches.size(); ++i) {
    const Launch& launch = entry.launches[i];
    if (launch.kernel < 0 || launch.kernel >= static_cast<int64_t>(program.kernels.size())) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ", launch ", i, ": there is no kernel ", launch.kernel));
    }
    for (size_t j = 0; j < launch.buffers.size(); ++j) {
      const BufferRef& ref = launch.buffers[j];
      int64_t bytes = BufferBytes(program, entry, ref);
      if (bytes < 0 || ref.byte_offset < 0 || ref.byte_offset > bytes) {
        return absl::InvalidArgumentError(absl::StrCat(where, ", launch ", i, " of '",
                                                       program.kernels[launch.kernel], "': buffer ",
                                                       j, " is outside the program's memory"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

int64_t TensorSpec::NumElements() const {
  int64_t count = 1;
  for (int64_t extent : shape) count *= extent;
  return count;
}

std::string TensorSpec::ToString() const {
  std::string text = name.empty() ? "tensor<" : absl::StrCat(name, ": tensor<");
  for (int64_t extent : shape) absl::StrAppend(&text, extent, "x");
  absl::StrAppend(&text, ElementTypeName(type), ">");
  return text;
}

bool SameLayout(const TensorSpec& a, const TensorSpec& b) {
  return a.type == b.type && a.shape == b.shape;
}

const EntryPoint* Program::FindEntryPoint(absl::string_view name) const {
  for (const EntryPoint& entry : entry_points) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

int64_t Program::FindVariable(absl::string_view name) const {
  for (size_t i = 0; i < variables.size(); ++i) {
    if (variables[i].spec.name == name) return i;
  }
  return -1;
}

absl::Status ValidateProgram(const Program& program) {
  std::vector<TensorSpec> specs;
  specs.reserve(program.variables.size());
  for (const Variable& variable : program.variables) specs.push_back(variable.spec);
  if (absl::Status status = CheckSpecs(specs, "variables"); !status.ok()) return status;
  std::set<absl::string_view> names;
  for (const std::string& kernel : program.kernels) {
    if (kernel.empty() || !names.insert(kernel).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("the kernel name '", kernel, "' is empty or appears twice"));
    }
  }
  names.clear();
  for (const EntryPoint& entry : program.entry_points) {
    if (!names.insert(entry.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("there are two entry points '", entry.name, "'"));
    }
    if (absl::Status status = CheckEntryPoint(program, entry); !status.ok()) return status;
  }
  for (const Variable& variable : program.variables) {
    const EntryPoint* prepare = program.FindEntryPoint(kPrepareEntry);
    if (variable.role != Role::kPrepared || (prepare != nullptr && prepare->inputs.empty()))
      continue;
    return absl::InvalidArgumentError(absl::StrCat("the variable '", variable.spec.name,
                                                   "' wants an entry point '", kPrepareEntry,
                                                   "' without inputs"));
  }
  return absl::OkStatus();
}

}  // namespace weir::runtime
