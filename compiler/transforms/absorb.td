include "mlir/Pass/PassBase.td"

def Absorb : Pass<"weir-absorb", "::mlir::func::FuncOp"> {
  let summary = "move elementwise ops around scans into their regions";
  let description = [{
    Elementwise `linalg.generic` ops that produce an input of `weir.scan` move into its prologue, those that consume an
    output into its epilogue. So a layer that is written with gates of its own becomes one kernel, forward and backward,
    and what its gates compute is never in memory.

    ```mlir
    %a = linalg.generic {...} ins(%k) { sigmoid(-k) }
    %b = linalg.generic {...} ins(%k, %u) { sigmoid(k) u }
    %h, %last = weir.scan(%a, %b) : ...
    ```
    becomes
    ```mlir
    %h, %last = weir.scan(%k, %u)
        prologue { ^bb0(%k: f32, %u: f32): ... weir.yield %a, %b : f32, f32 }
        epilogue { ^bb0(%h: f32, %k: f32, %u: f32): weir.yield %h : f32 } ...
    ```

    A producer that others read as well is only absorbed (and computed twice) if the scan reads its inputs anyway. What the
    scan repeats along a dimension stays where it is if it takes more than a few operations, or if it widens bf16: its
    cotangent is a sum, which bf16 has too few bits for.
  }];
  let options = [
    Option<"maxInputs", "max-inputs", "int64_t", "12", "inputs that a scan may have">,
  ];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::weir::WeirDialect",
  ];
}
