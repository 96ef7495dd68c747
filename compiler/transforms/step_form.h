// The step form of a model: the next n tokens of a stream, and a state that goes on from call to
// call.
//
//   func::FuncOp step = addSpecialized(module, expanded, {"step", batch, /*time=*/1, ...});
//   if (failed(deriveStepForm(step, {/*context=*/2048}))) ...

#ifndef WEIR_COMPILER_TRANSFORMS_STEP_FORM_H_
#define WEIR_COMPILER_TRANSFORMS_STEP_FORM_H_

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weir {

/// States of every stream: tensor<i64>, tokens before the call; with segments also tensor<batch x
/// i64>, the position in its document that the next token would have, and tensor<batch x i32>, the
/// id of the last token.
inline constexpr llvm::StringLiteral kStreamStart = "stream.start";
inline constexpr llvm::StringLiteral kStreamPosition = "stream.position";
inline constexpr llvm::StringLiteral kStreamSegment = "stream.segment";

/// The attribute of a step form that says how many positions of a document it knows (i64; absent:
/// no end).
inline constexpr llvm::StringLiteral kPositionLimitAttr = "weir.position_limit";

struct StepFormSettings {
  /// How many tokens, itself included, a token of attention looks back on at most; 0: not said,
  /// which attention without a window of its own refuses.
  int64_t context = 0;
  /// Whether the function's products will read bf16 (weir-autocast): then so do caches hold it.
  bool roundsProducts = false;
};

/// Turns a specialized model into its step form, in place (step_form.td says what that is). The
/// first input says what batch and n are. On failure, which has been reported, the function is of
/// no use.
mlir::LogicalResult deriveStepForm(mlir::func::FuncOp function, const StepFormSettings& settings);

/// Reports what of an expanded model depends on the whole length, which a step can't know.
mlir::LogicalResult checkLengthIsFree(mlir::func::FuncOp expanded);

}  // namespace weir

#endif  // WEIR_COMPILER_TRANSFORMS_STEP_FORM_H_
