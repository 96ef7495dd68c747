// Launches of kernels: what is left of a host function after dispatch, besides views.

#ifndef WEIR_COMPILER_DIALECT_DISPATCH_OPS_H_
#define WEIR_COMPILER_DIALECT_DISPATCH_OPS_H_

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "compiler/dialect/dialect.h"

#define GET_OP_CLASSES
#include "compiler/dialect/dispatch_ops.h.inc"

namespace weir {

/// Attributes of kernels (functions) and of their arguments and results.
inline constexpr char kKernelAttr[] = "weir.kernel";
/// i64: how many leading iteration dimensions all ops of a kernel share; 0 for kernels of a single
/// op.
inline constexpr char kRowRankAttr[] = "weir.row_rank";
/// array<i64>: strides of an argument or result, in elements; absent where it is dense.
inline constexpr char kStridesAttr[] = "weir.strides";
/// i64 on a result: the argument whose memory it overwrites.
inline constexpr char kTiedAttr[] = "weir.tied";
/// unit on a result: it begins at a multiple of 64 bytes and is not read soon, so that it may be
/// written past the caches.
inline constexpr char kStreamedAttr[] = "weir.streamed";

/// Attributes of host functions, their arguments and results.
namespace host {
inline constexpr char kEntryAttr[] = "weir.entry";
inline constexpr char kVariableAttr[] = "weir.variable";
inline constexpr char kInputAttr[] = "weir.input";
inline constexpr char kOutputAttr[] = "weir.output";
/// string on an argument that is a variable: "parameter", "optimizer", "state", "counter" or
/// "other".
inline constexpr char kRoleAttr[] = "weir.role";
/// array of strings on a launch: of each operand that another kernel makes, why it isn't made by
/// this one and so goes through memory; empty for others.
inline constexpr char kApartAttr[] = "weir.apart";
}  // namespace host

}  // namespace weir

#endif  // WEIR_COMPILER_DIALECT_DISPATCH_OPS_H_
