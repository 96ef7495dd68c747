// Recurrences that are not linear, run in order.

#ifndef WEIR_COMPILER_DIALECT_RECURRENCE_OPS_TD_
#define WEIR_COMPILER_DIALECT_RECURRENCE_OPS_TD_

include "compiler/dialect/interfaces.td"
include "compiler/dialect/sequence_interfaces.td"
include "compiler/dialect/weir_dialect.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Weir_RecurrenceOp : Weir_Op<"recurrence", [
    Pure, AttrSizedOperandSegments, InferTypeOpAdaptorWithIsCompatible,
    DeclareOpInterfaceMethods<RegionArgumentsOpInterface, ["regionArgumentTypes"]>,
    DeclareOpInterfaceMethods<DifferentiableOpInterface, ["buildVjp"]>,
    DeclareOpInterfaceMethods<TimeMixingOpInterface, ["bindSegments", "bindStart", "isCausal"]>,
    DeclareOpInterfaceMethods<StreamableOpInterface, ["stateSpecs", "buildStep"]>,
    DeclareOpInterfaceMethods<AutocastOpInterface, ["autocastOperands", "roundedResults", "mayRoundInside"]>,
    DeclareOpInterfaceMethods<CostOpInterface, ["cost"]>]> {
  let summary = "a step function applied from token to token";
  let description = [{
    The region computes one step for the whole batch: it gets the inputs at a time (their tensors without the time
    dimension, which is the second), the states, and what `using` names as it is; it yields the outputs at that time, then
    the new states. The results are the outputs of all times, then the last states. Everything in the region works on
    each row of the batch alone, so that rows run in parallel while time runs in order.

    ```mlir
    %y, %last = weir.recurrence (%xt = %x : tensor<?x?x?xf32>) from (%h = %h0 : tensor<?x?xf32>)
                                using (%u = %w : tensor<?x?xf32>) {
      %a = weir.linear %h params(%u : tensor<?x?xf32>) : tensor<?x?xf32>
      %s = arith.addf %a, %xt : tensor<?x?xf32>
      %n = math.tanh %s : tensor<?x?xf32>
      weir.yield %n, %n : tensor<?x?xf32>, tensor<?x?xf32>
    } -> tensor<?x?x?xf32>, tensor<?x?xf32>
    ```

    The gradient runs the other way for the states alone; the cotangents of the inputs and of what `using` names come
    from one pass over all times at once, as large products. Where `segments` changes, the state is zero.

    One token of a stream has no order: its step is inlined. Mixed precision rounds, once, what `using` names for products
    alone, and a state where a product reads it; states and what they are added to stay f32.
  }];
  let arguments = (ins Variadic<AnyRankedTensor>:$inputs, Variadic<AnyRankedTensor>:$initial,
                       Variadic<AnyRankedTensor>:$captured, Optional<RankedTensorOf<[I32]>>:$segments,
                       UnitAttr:$reverse);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region SizedRegion<1>:$step);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    unsigned getNumOutputs() { return getResults().size() - getInitial().size(); }
    ::mlir::ResultRange getOutputs() { return getResults().take_front(getNumOutputs()); }
    ::mlir::ResultRange getFinals() { return getResults().drop_front(getNumOutputs()); }
    /// The arguments of the region that stand for inputs, states and captured tensors.
    ::mlir::Block::BlockArgListType getInputArguments() {
      return getStep().front().getArguments().take_front(getInputs().size());
    }
    ::mlir::Block::BlockArgListType getStateArguments() {
      return getStep().front().getArguments().slice(getInputs().size(), getInitial().size());
    }
    ::mlir::Block::BlockArgListType getCapturedArguments() {
      return getStep().front().getArguments().take_back(getCaptured().size());
    }
  }];
}

#endif  // WEIR_COMPILER_DIALECT_RECURRENCE_OPS_TD_
