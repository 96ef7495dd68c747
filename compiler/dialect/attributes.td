// The attributes of the dialect that several families of ops share.

#ifndef WEIR_COMPILER_DIALECT_ATTRIBUTES_TD_
#define WEIR_COMPILER_DIALECT_ATTRIBUTES_TD_

include "compiler/dialect/weir_dialect.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"

def Weir_Direction : I32EnumAttr<"Direction", "the direction along time in which a recurrence runs", [
    I32EnumAttrCase<"Forward", 0, "forward">,
    I32EnumAttrCase<"Reverse", 1, "reverse">,
  ]> {
  let genSpecializedAttr = 0;
  let cppNamespace = "::weir";
}

/// Printed as `#weir.direction<reverse>`; an op's assembly can print it as the bare keyword.
def Weir_DirectionAttr : EnumAttr<Weir_Dialect, Weir_Direction, "direction"> {
  let assemblyFormat = "`<` $value `>`";
}

def Weir_Axis : I32EnumAttr<"Axis", "an axis of a sequence", [
    I32EnumAttrCase<"Batch", 0, "batch">,
    I32EnumAttrCase<"Time", 1, "time">,
    I32EnumAttrCase<"Feature", 2, "feature">,
  ]> {
  let cppNamespace = "::weir";
}

def Weir_Precision : I32EnumAttr<"Precision", "the number format of a run", [
    I32EnumAttrCase<"F32", 0, "f32">,
    I32EnumAttrCase<"Bf16", 1, "bf16">,
    I32EnumAttrCase<"F64", 2, "f64">,
  ]> {
  let cppNamespace = "::weir";
}

#endif  // WEIR_COMPILER_DIALECT_ATTRIBUTES_TD_
