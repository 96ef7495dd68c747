// Op interfaces of the dialect: what an op answers about itself, so that no pass names an op of ours.

#ifndef WEIR_DIALECT_INTERFACES
#define WEIR_DIALECT_INTERFACES

include "mlir/IR/OpBase.td"

def DifferentiableOpInterface : OpInterface<"DifferentiableOpInterface"> {
  let cppNamespace = "::weir";
  let description = [{
    The op's reverse-mode rule, as IR. Ops of other dialects get theirs as external models
    (upstream_vjp.h). An op that lacks the rule and that a gradient has to pass is an error which names the op.
  }];
  let methods = [
    InterfaceMethod<
      [{
        Emits at `builder` the vector-Jacobian product of the op.

        `cotangents` has one value per result, of the result's type; null stands for zero. Appends to
        `operandCotangents` one value per operand, of the operand's type; null where no gradient flows
        (integers, a result that does not depend on the operand). The op's operands and results may be used: they
        dominate the insertion point. Failure has been reported at the op's location.
      }],
      "::llvm::LogicalResult", "buildVjp",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::ValueRange":$cotangents,
           "::llvm::SmallVectorImpl<::mlir::Value> &":$operandCotangents)>,
    InterfaceMethod<
      [{
        The same, told which operands' cotangents will be read (`needed`, one flag per operand): a rule that
        pays per operand skips the others and appends null for them. The default ignores the flags.
      }],
      "::llvm::LogicalResult", "buildNeededVjp",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::ValueRange":$cotangents,
           "::llvm::ArrayRef<bool>":$needed,
           "::llvm::SmallVectorImpl<::mlir::Value> &":$operandCotangents),
      "", [{
        auto op = ::llvm::cast<DifferentiableOpInterface>($_op.getOperation());
        return op.buildVjp(builder, cotangents, operandCotangents);
      }]>,
  ];
}

#endif  // WEIR_DIALECT_INTERFACES
