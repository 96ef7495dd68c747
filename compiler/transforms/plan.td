include "mlir/Pass/PassBase.td"

def Plan : Pass<"weir-plan", "::mlir::ModuleOp"> {
  let summary = "decide where every tensor of the entry points lives";
  let description = [{
    For functions with the attribute `weir.entry`: calls are inlined, views become offsets and strides, concatenations
    are written in place, variables are updated in place where nothing reads the old value later, everything else gets
    an offset in an arena by its lifetime. Launches then say where their operands and results are:

    ```mlir
    %y = weir.launch @k(%x, %w) {buffers = ["input 0", "variable 1", "arena + 4096"]} : ...
    ```

    The function says how large the arena is, and how large it has to be at the least (`weir.arena_bytes`,
    `weir.arena_lower_bound`).
  }];
  let dependentDialects = [
    "::mlir::func::FuncDialect", "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect",
    "::weir::WeirDialect",
  ];
}
