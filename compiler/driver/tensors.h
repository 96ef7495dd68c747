// Tensors from files for the inputs of entry points, and outputs for files.

#ifndef WEIR_COMPILER_DRIVER_TENSORS_H_
#define WEIR_COMPILER_DRIVER_TENSORS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

#include "runtime/checkpoint/safetensors.h"
#include "runtime/program/session.h"
#include "runtime/program/tensor.h"

namespace weir {

/// `value` with the type of `spec`: between floating-point types rounded, between integer types
/// if nothing is lost. InvalidArgument names the tensor where shapes differ, or kinds of types.
absl::StatusOr<runtime::HostTensor> convertTensor(const runtime::HostTensor& value,
                                                  const runtime::TensorSpec& spec);

/// Sets element `i` of a floating-point or integer tensor.
inline void setNumber(runtime::HostTensor& tensor, int64_t i, double value) {
  tensor.SetNumber(i, value);
}

/// All elements `value`.
runtime::HostTensor filledTensor(const runtime::TensorSpec& spec, double value);

/// The value that a state starts with, by the text of its init (zeros, ones, constant(x)).
absl::StatusOr<double> initialStateValue(mlir::func::FuncOp model, const std::string& state);

/// Sets the session's parameters from a file, each with the type that the program has. Errors name
/// the file and what doesn't fit.
absl::Status loadParameters(runtime::Session& session, const std::string& path);

/// The same tensor under another name.
runtime::HostTensor renamed(const runtime::HostTensor& tensor, const std::string& name);

}  // namespace weir

#endif  // WEIR_COMPILER_DRIVER_TENSORS_H_
