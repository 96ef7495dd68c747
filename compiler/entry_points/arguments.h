// The attributes by which the arguments and results of a model's functions say what they are.

#ifndef WEIR_COMPILER_ENTRY_POINTS_ARGUMENTS_H_
#define WEIR_COMPILER_ENTRY_POINTS_ARGUMENTS_H_

#include <string>

#include "llvm/ADT/StringRef.h"
#include "mlir/IR/BuiltinAttributes.h"

namespace weir {

inline constexpr llvm::StringLiteral kInputAttr = "weir.input";
inline constexpr llvm::StringLiteral kOutputAttr = "weir.output";
inline constexpr llvm::StringLiteral kParamAttr = "weir.param";
inline constexpr llvm::StringLiteral kInitAttr = "weir.init";
inline constexpr llvm::StringLiteral kStateAttr = "weir.state";
inline constexpr llvm::StringLiteral kSegmentsAttr = "weir.segments";
inline constexpr llvm::StringLiteral kStartAttr = "weir.start";
inline constexpr llvm::StringLiteral kRngAttr = "weir.rng";
inline constexpr llvm::StringLiteral kVariableAttr = "weir.variable";
inline constexpr llvm::StringLiteral kGradientAttr = "weir.gradient";
inline constexpr llvm::StringLiteral kEntryAttr = "weir.entry";

/// The variable that holds the random counter: i64 seed, i64 step.
inline constexpr llvm::StringLiteral kRngVariable = "rng";

/// The variable that carries a state from call to call.
inline std::string stateVariable(llvm::StringRef path) { return "state." + path.str(); }

/// The text of a string attribute, or `fallback` where there is none.
inline llvm::StringRef stringAttr(mlir::Attribute attribute, llvm::StringRef fallback = "") {
  auto text = llvm::dyn_cast_or_null<mlir::StringAttr>(attribute);
  return text ? text.getValue() : fallback;
}

}  // namespace weir

#endif  // WEIR_COMPILER_ENTRY_POINTS_ARGUMENTS_H_
