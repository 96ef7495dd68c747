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

def Weir_TilesAttr : AttrDef<Weir_Dialect, "Tiles"> {
  let mnemonic = "tiles";
  let summary = "how a product is taken apart";
  let description = [{
    As the attribute `weir.tiles` of an op that is a product, it says how the product C = A B of `m` rows, `n` columns and
    sums of `k` terms is computed. What is left out, the cost model of the target chooses.

    - `rows`, `columns`: the block of C that a thread computes at once;
    - `group`: columns of B that stay in the second cache while rows pass by;
    - `depth`: terms that are added up between two visits of C (tiles of AMX always add up all of them);
    - `parts`: into how many sums, on several threads, each sum is split. Only this changes results, by rounding.

    ```mlir
    %k = weir.linear %x, "up" [4 * %e] {weir.tiles = #weir.tiles<rows = 128, group = 512>} : tensor<?x?x?xf32>
    ```
  }];
  let parameters = (ins
    DefaultValuedParameter<"int64_t", "0">:$rows, DefaultValuedParameter<"int64_t", "0">:$columns,
    DefaultValuedParameter<"int64_t", "0">:$group, DefaultValuedParameter<"int64_t", "0">:$depth,
    DefaultValuedParameter<"int64_t", "0">:$parts);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

#endif  // WEIR_COMPILER_DIALECT_ATTRIBUTES_TD_
