// What an op of the sequence level can tell the passes: its parameters, how it mixes along time, what it costs.

#ifndef WEIR_COMPILER_DIALECT_SEQUENCE_INTERFACES_TD_
#define WEIR_COMPILER_DIALECT_SEQUENCE_INTERFACES_TD_

include "mlir/IR/OpBase.td"

def ParameterizedOpInterface : OpInterface<"ParameterizedOpInterface"> {
  let cppNamespace = "::weir";
  let description = [{
    An op with trainable parameters, or with sizes that are options of a layer. In a layer it is *unbound*: it has a
    name and sizes, and no parameters. `expand` evaluates the sizes, asks for the parameters' shapes, makes them
    arguments of the function and *binds* the op: the parameters become operands. Only bound ops go further down.
  }];
  let methods = [
    InterfaceMethod<[{
        The op's parameters, in the order in which they are bound. `types` are the types of the op's data operands
        (those that are neither sizes nor parameters), `sizes` the values of its sizes. Fails with a diagnostic when
        a shape that a parameter needs is not known.
      }], "::llvm::LogicalResult", "parameterSpecs",
      (ins "::mlir::TypeRange":$types, "::llvm::ArrayRef<int64_t>":$sizes,
           "::llvm::SmallVectorImpl<::weir::ParameterSpec> &":$specs)>,
    InterfaceMethod<"The op's own segment of its parameters' paths.",
      "::llvm::StringRef", "getParameterScope", (ins), [{}], [{
        ::mlir::Operation *op = $_op.getOperation();
        auto name = op->getAttrOfType<::mlir::StringAttr>("name");
        return name ? name.getValue() : ::llvm::StringRef();
      }]>,
    InterfaceMethod<"The map and the operands of the op's sizes.",
      "::mlir::AffineMap", "getSizeMap", (ins), [{}],
      [{ return $_op.getSizes(); }]>,
    InterfaceMethod<"Operands of the size map.", "::mlir::OperandRange", "getSizeArguments", (ins), [{}],
      [{ return $_op.getSizeOperands(); }]>,
    InterfaceMethod<"Whether the parameters are operands already.", "bool", "isBound", (ins), [{}],
      [{ return !$_op.getParameters().empty(); }]>,
    InterfaceMethod<[{
        Makes the parameters operands and drops the size operands; an op whose sizes are not those of parameters
        keeps their values as attributes.
      }], "void", "bindParameters",
      (ins "::mlir::ValueRange":$parameters, "::llvm::ArrayRef<int64_t>":$sizes), [{}], [{
        $_op.getParametersMutable().assign(parameters);
        $_op.getSizeOperandsMutable().clear();
        $_op.setSizes(::mlir::AffineMap::get($_op.getContext()));
      }]>,
  ];
}

def TimeMixingOpInterface : OpInterface<"TimeMixingOpInterface"> {
  let cppNamespace = "::weir";
  let description = [{
    An op whose output at a time depends on other times, or on the time itself. It takes segment ids
    (`tensor<batch x time x i32>`) and the position of its first token (`tensor<i64>`), both optional; `expand` binds them from the model's context.

    Segment ids keep the documents of a row apart. One rule holds for all ops: **a document is a run of equal ids, and
    each document of a row has an id of its own.** Ids are any numbers in any order. Then it is the same whether an op
    compares the ids of two tokens (attention, convolution) or looks for places where they change (scans, recurrences,
    positions). Tasks and inputs in which an id comes back in a row are refused, with the row and the place.

    With segments, every document is computed as if it were alone in the row: positions start at 0 with it, states
    are zero before it, no value and no gradient passes from one to another. Two things are still the row's: the grid
    of weir.chunked_attention (a document that begins at place o is as alone behind o mod C other tokens), and the
    length n by which weir.attention divides scores without a softmax.
  }];
  let methods = [
    InterfaceMethod<"Whether segment ids mean something to this op.", "bool", "usesSegments", (ins), [{}],
      [{ return true; }]>,
    InterfaceMethod<"Whether the position of the first token means something to this op.", "bool", "usesStart",
      (ins), [{}], [{ return false; }]>,
    InterfaceMethod<"Sets the segment ids.", "void", "bindSegments", (ins "::mlir::Value":$segments)>,
    InterfaceMethod<"Sets the position of the first token.", "void", "bindStart", (ins "::mlir::Value":$start)>,
    InterfaceMethod<"Whether an output may depend on a later input.", "bool", "isCausal", (ins), [{}],
      [{ return true; }]>,
  ];
}

def StreamableOpInterface : OpInterface<"StreamableOpInterface"> {
  let cppNamespace = "::weir";
  let description = [{
    An op that mixes along time (`TimeMixingOpInterface`) and can be run on a few tokens at a time, what came before them
    being a state of fixed size. `weir-step-form` asks it for the states, makes them arguments and results of the
    function, and puts what `buildStep` makes in the op's place. An op without this interface, or one that is not causal,
    has no step form.
  }];
  let methods = [
    InterfaceMethod<[{
        Appends the states that the op carries from call to call, besides those that a layer hands it from a
        `weir.state`: an op whose first states come from one appends nothing. Types are static, with the batch first;
        names are the op's own, such as `keys`. Fails with a diagnostic at the op where it can't be streamed.
      }], "::llvm::LogicalResult", "stateSpecs",
      (ins "const ::weir::StreamContext &":$context,
           "::llvm::SmallVectorImpl<::weir::StreamStateSpec> &":$specs)>,
    InterfaceMethod<[{
        Emits the op on the n new tokens that its operands hold. Returns what replaces its results, and appends the
        states after those tokens, one for each of `stateSpecs`. What is emitted has gradients, for the states too.
      }], "::mlir::FailureOr<::llvm::SmallVector<::mlir::Value>>", "buildStep",
      (ins "::mlir::OpBuilder &":$builder, "const ::weir::StreamArguments &":$arguments,
           "::llvm::SmallVectorImpl<::mlir::Value> &":$newStates)>,
    InterfaceMethod<[{
        How many positions of a document the op knows, if there is an end: a table of positions has one.
      }], "::std::optional<int64_t>", "positionLimit", (ins), [{}], [{ return ::std::nullopt; }]>,
  ];
}

def CostOpInterface : OpInterface<"CostOpInterface"> {
  let cppNamespace = "::weir";
  let description = [{
    What an op needs at least, as polynomials in the batch and the length: floating-point operations, bytes that must
    move (each operand read once, each result written once, parameters once), and bytes of state. Read on the symbolic
    form, where batch and time are dynamic, so that the degree in the length is known before anything runs.
  }];
  let methods = [
    InterfaceMethod<"The forward cost.", "::weir::Cost", "cost", (ins)>,
  ];
}

def RegionArgumentsOpInterface : OpInterface<"RegionArgumentsOpInterface"> {
  let cppNamespace = "::weir";
  let description = [{
    An op with regions whose block arguments follow from its operands, so that its body can be cloned when the operands'
    types become more precise. The op's result types are inferred afterwards, from operands and regions.
  }];
  let methods = [
    InterfaceMethod<"The types of the arguments of a region's entry block, for operands of these types.",
      "::llvm::SmallVector<::mlir::Type>", "regionArgumentTypes",
      (ins "unsigned":$region, "::mlir::TypeRange":$operandTypes)>,
  ];
}

def RandomOpInterface : OpInterface<"RandomOpInterface"> {
  let cppNamespace = "::weir";
  let description = [{
    An op that draws random numbers while training. `expand` gives it a stream id (i64), fixed by its place in the
    model, and the counter `rng` (`tensor<2xi64>`: seed, step).
  }];
  let methods = [
    InterfaceMethod<"Sets the stream and the counter.", "void", "bindRandom",
      (ins "::mlir::Value":$stream, "::mlir::Value":$rng)>,
    InterfaceMethod<"The value that stands for result 0 where nothing is drawn (evaluation).", "::mlir::Value",
      "deterministicResult", (ins)>,
  ];
}

def AutocastOpInterface : OpInterface<"AutocastOpInterface"> {
  let cppNamespace = "::weir";
  let description = [{
    An op made of products, which mixed precision (bf16) makes cheaper. It takes the operands that it names as bf16 and
    still sums in f32, so its results stay f32.
  }];
  let methods = [
    InterfaceMethod<"The operands that products read.", "::llvm::SmallVector<::mlir::OpOperand *>", "autocastOperands",
      (ins)>,
    InterfaceMethod<[{
        Whether the results must not be rounded when they are stored, as logits mustn't. Other results are kept as
        bf16 between kernels.
      }], "bool", "keepsF32Result", (ins), [{}], [{ return false; }]>,
    InterfaceMethod<"Whether the op may give its rounded results as bf16 itself, if nobody reads them otherwise.", "bool",
      "roundsItself", (ins), [{}], [{ return false; }]>,
    InterfaceMethod<"The results that may be rounded, unless none may: not states, which are sums over many tokens.",
      "::llvm::SmallVector<::mlir::Value>", "roundedResults", (ins), [{}],
      [{ return ::llvm::SmallVector<::mlir::Value>($_op->getResults()); }]>,
    InterfaceMethod<"Whether ops in a region may round its argument. If not, they read it, and all else, as it is.", "bool",
      "mayRoundInside", (ins "::mlir::BlockArgument":$argument), [{}], [{ return true; }]>,
  ];
}

#endif  // WEIR_COMPILER_DIALECT_SEQUENCE_INTERFACES_TD_
