// The scan: a first-order linear recurrence along time, and its gradient.

#ifndef WEIR_COMPILER_DIALECT_SCAN_OPS_TD_
#define WEIR_COMPILER_DIALECT_SCAN_OPS_TD_

include "compiler/dialect/interfaces.td"
include "compiler/dialect/sequence_interfaces.td"
include "compiler/dialect/weir_dialect.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/IR/CommonAttrConstraints.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Weir_ScanOp : Weir_Op<"scan", [
    Pure, AttrSizedOperandSegments,
    InferTypeOpAdaptorWithIsCompatible,
    DeclareOpInterfaceMethods<TimeMixingOpInterface, ["bindSegments", "bindStart", "isCausal"]>,
    DeclareOpInterfaceMethods<StreamableOpInterface, ["stateSpecs", "buildStep"]>,
    DeclareOpInterfaceMethods<CostOpInterface, ["cost"]>,
    DeclareOpInterfaceMethods<DifferentiableOpInterface, ["buildVjp"]>]> {
  let summary = "a first-order linear recurrence along time";
  let description = [{
    h_t = a_t h_{t-1} + b_t, for every point of the parallel dimensions. In the simple form the inputs are a and b, and
    the output is h:

    ```mlir
    %h, %last = weir.scan(%a, %b) from %h0
        : (tensor<?x?x?xf32>, tensor<?x?x?xf32>, tensor<?x?xf32>) -> (tensor<?x?x?xf32>, tensor<?x?xf32>)
    ```

    In the general form it is built like `linalg.generic`, over iteration dimensions of which one is `"time"` and the
    others are `"parallel"`. `indexing_maps` has a map per input, then a map per output. The region `prologue` gives
    (a, b) at a point from the inputs; the region `epilogue` maps h and the inputs to the outputs. A dimension that an
    output lacks is summed. So the expanded tensors of a state-space model are never in memory:

    ```mlir
    %y, %last = weir.scan(%dt, %x, %B, %C)
        prologue { ^bb0(%dt: f32, %x: f32, %B: f32, %C: f32): ... weir.yield %a, %b : f32, f32 }
        epilogue { ^bb0(%h: f32, %dt: f32, %x: f32, %B: f32, %C: f32): ... weir.yield %y : f32 }
        {indexing_maps = [...], iterator_types = ["parallel", "time", "parallel", "parallel"]} : ...
    ```

    The state h has all dimensions but time, in their order. Results are the outputs, then the last state, then, with
    `chunk = C`, the states that enter each chunk, `tensor<ceil(T / C) x state>`: all of h that the gradient keeps.
    Chunks have their borders at multiples of C from t = 0 in both directions.

    - `from` is the state before the first token (after the last one with `reverse`); zero without it.
    - Where `segments` changes from one token to the next, a counts as 0: nothing of one document reaches another.
    - The state, and sums, are f32 whatever the inputs are (f64 with f64 inputs), and sums are compensated: a = 1 and a
      constant b drift by no more than rounding.
  }];
  let arguments = (ins
    Variadic<AnyRankedTensor>:$inputs,
    Optional<AnyRankedTensor>:$initial,
    Optional<AnyRankedTensor>:$segments,
    OptionalAttr<AffineMapArrayAttr>:$indexing_maps,
    OptionalAttr<StrArrayAttr>:$iterator_types,
    UnitAttr:$reverse,
    OptionalAttr<I64Attr>:$chunk);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region AnyRegion:$prologue, AnyRegion:$epilogue);
  let assemblyFormat = [{
    `(` $inputs `)` (`from` $initial^)? (`segments` `(` $segments^ `)`)? (`reverse` $reverse^)?
    (`chunk` `(` $chunk^ `)`)? custom<OptionalRegion>("\"prologue\"", $prologue)
    custom<OptionalRegion>("\"epilogue\"", $epilogue) attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Whether the op is in the simple form: no regions, the inputs are a and b, the output is h.
    bool isSimple() { return getPrologue().empty(); }
    /// Writes out the maps, the iterator types and the regions of the simple form; does nothing to the general form.
    void materializeRegions();
    /// The number of outputs, which come before the last state and the chunk states.
    unsigned getNumOutputs();
    ::mlir::ResultRange getOutputs() { return getResults().take_front(getNumOutputs()); }
    ::mlir::Value getFinal() { return getResults()[getNumOutputs()]; }
    /// Null without `chunk`.
    ::mlir::Value getChunkStates();
    /// In the general form: the position of the time dimension in the iteration space.
    unsigned getTimeDim();
    /// In the general form: the extents of the iteration space, or ShapedType::kDynamic.
    ::llvm::SmallVector<int64_t> getIterationSizes();
    ::llvm::SmallVector<::mlir::AffineMap> getMaps();
    /// The map from the iteration space to the state: all dimensions but time.
    ::mlir::AffineMap getStateMap();
    /// f64 if an input is f64, else f32.
    ::mlir::Type getStateElementType();
  }];
}

def Weir_ScanVjpOp : Weir_Op<"scan_vjp", [Pure, AttrSizedOperandSegments]> {
  let summary = "the gradient of weir.scan, in one pass";
  let description = [{
    Walks time against the direction of the scan, a chunk at a time: recomputes the states of the chunk from
    `chunk_states`, then carries the state's cotangent

        lambda_t = dh_t + a_{t+1} lambda_{t+1},  db_t = lambda_t,  da_t = lambda_t h_{t-1}.

    `prologue` is the scan's own. `adjoint_epilogue` maps (h, inputs, output cotangents) to (dh, input cotangents), and
    `adjoint_prologue` maps (inputs, da, db) to input cotangents; both sum into the results, one for each input of
    floating-point type. Where an input's map lacks a dimension, its cotangent is summed over it. Then comes the
    cotangent of `initial`, if there is one.

    It is one op, never two scans: they would run in opposite directions and could not be fused.
  }];
  let arguments = (ins
    Variadic<AnyRankedTensor>:$inputs,
    Optional<AnyRankedTensor>:$initial,
    Optional<AnyRankedTensor>:$segments,
    AnyRankedTensor:$chunk_states,
    Variadic<AnyRankedTensor>:$cotangents,
    Optional<AnyRankedTensor>:$final_cotangent,
    AffineMapArrayAttr:$indexing_maps,
    StrArrayAttr:$iterator_types,
    UnitAttr:$reverse,
    I64Attr:$chunk);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region SizedRegion<1>:$prologue, SizedRegion<1>:$adjoint_epilogue,
                        SizedRegion<1>:$adjoint_prologue);
  let assemblyFormat = [{
    `(` $inputs `)` (`from` $initial^)? (`segments` `(` $segments^ `)`)? `states` `(` $chunk_states `)`
    `cotangents` `(` ($cotangents^)? `)` (`final` `(` $final_cotangent^ `)`)? (`reverse` $reverse^)?
    `chunk` `(` $chunk `)` `prologue` $prologue `adjoint_epilogue` $adjoint_epilogue
    `adjoint_prologue` $adjoint_prologue attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    unsigned getTimeDim();
    ::llvm::SmallVector<int64_t> getIterationSizes();
    /// A map per input, then a map per output of the scan.
    ::llvm::SmallVector<::mlir::AffineMap> getMaps();
    ::mlir::AffineMap getStateMap();
    ::mlir::Type getStateElementType();
    /// The inputs that have a cotangent: those of floating-point type, in order.
    ::llvm::SmallVector<unsigned> getDifferentiatedInputs();
    /// Null if there is no initial state.
    ::mlir::Value getInitialCotangent();
  }];
}

#endif  // WEIR_COMPILER_DIALECT_SCAN_OPS_TD_
