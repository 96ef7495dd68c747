// The dialect itself, and the base class of its ops.

#ifndef WEIR_COMPILER_DIALECT_WEIR_DIALECT_TD_
#define WEIR_COMPILER_DIALECT_WEIR_DIALECT_TD_

include "mlir/IR/OpBase.td"

def Weir_Dialect : Dialect {
  let name = "weir";
  let cppNamespace = "::weir";
  let summary = "Sequence models that cost linear time in the length of the sequence";
  let description = [{
    A layer is written once, in this dialect; its parallel training kernel, its gradient and its step form are
    derived from it. The ops fall into families, one file of TableGen and one of C++ each.
  }];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
    "::mlir::tensor::TensorDialect"
  ];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let hasOperationAttrVerify = 1;
  let extraClassDeclaration = [{
    /// Adds ops to the dialect; each family calls it for its own (see op_families.inc).
    template <typename... Ops>
    void registerOps() {
      addOperations<Ops...>();
    }
  }];
}

class Weir_Op<string mnemonic, list<Trait> traits = []> : Op<Weir_Dialect, mnemonic, traits>;

#endif  // WEIR_COMPILER_DIALECT_WEIR_DIALECT_TD_
