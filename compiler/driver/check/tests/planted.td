// Ops with bugs on request, for the test of `weir check`: without the attribute they are right.

#ifndef WEIR_COMPILER_DRIVER_CHECK_TESTS_PLANTED_TD_
#define WEIR_COMPILER_DRIVER_CHECK_TESTS_PLANTED_TD_

include "compiler/dialect/interfaces.td"
include "compiler/dialect/sequence_interfaces.td"
include "mlir/Dialect/Linalg/IR/LinalgInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Planted_Dialect : Dialect {
  let name = "planted";
  let cppNamespace = "::weir::planted";
}

class Planted_Op<string mnemonic, list<Trait> traits = []> : Op<Planted_Dialect, mnemonic, !listconcat(traits, [
    Pure, DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>,
    DeclareOpInterfaceMethods<CostOpInterface, ["cost"]>])>;

def Planted_SquareOp : Planted_Op<"square", [
    SameOperandsAndResultType, DeclareOpInterfaceMethods<DifferentiableOpInterface, ["buildVjp"]>]> {
  let summary = "x^2; its gradient may be x, its cost a quarter of what it is";
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$x, UnitAttr:$wrong_gradient, UnitAttr:$lies);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result);
  let assemblyFormat = "$x attr-dict `:` type($x)";
}

def Planted_UnwrittenOp : Planted_Op<"unwritten", [SameOperandsAndResultType]> {
  let summary = "2 x; it may read its last time from memory that nobody wrote";
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$x, UnitAttr:$reads);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result);
  let assemblyFormat = "$x attr-dict `:` type($x)";
}

def Planted_PairsOp : Planted_Op<"pairs", [SameOperandsAndResultType]> {
  let summary = "the sum of all x up to each time, for each anew; it may say that this is linear";
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$x, UnitAttr:$lies);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result);
  let assemblyFormat = "$x attr-dict `:` type($x)";
}

def Planted_ShiftOp : Planted_Op<"shift", [
    AttrSizedOperandSegments, InferTypeOpAdaptorWithIsCompatible,
    DeclareOpInterfaceMethods<TimeMixingOpInterface, ["bindSegments", "bindStart"]>,
    DeclareOpInterfaceMethods<StreamableOpInterface, ["stateSpecs", "buildStep"]>]> {
  let summary = "x one time later, zero where a document begins; it may cross borders, look ahead, or forget its state";
  let arguments = (ins RankedTensorOf<[AnyFloat]>:$x, Optional<RankedTensorOf<[AnyFloat]>>:$initial,
                       Optional<RankedTensorOf<[I32]>>:$segments, UnitAttr:$leaks, UnitAttr:$ahead, UnitAttr:$forgets);
  let results = (outs RankedTensorOf<[AnyFloat]>:$result);
  let assemblyFormat = [{
    $x (`from` $initial^ `:` type($initial))? (`segments` `(` $segments^ `:` type($segments) `)`)? attr-dict
    `:` type($x) `->` type($result)
  }];
}

#endif  // WEIR_COMPILER_DRIVER_CHECK_TESTS_PLANTED_TD_
