// Elementwise ops that neural networks use and `arith` and `math` lack, on scalars and tensors alike.

#ifndef WEIR_COMPILER_DIALECT_ELEMENTWISE_OPS_TD_
#define WEIR_COMPILER_DIALECT_ELEMENTWISE_OPS_TD_

include "compiler/dialect/interfaces.td"
include "compiler/dialect/weir_dialect.td"
include "mlir/Dialect/Linalg/IR/LinalgInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

/// An elementwise function of one number. It keeps to a form that neither overflows nor loses bits at either end.
class Weir_UnaryOp<string mnemonic> : Weir_Op<mnemonic, !listconcat(ElementwiseMappable.traits, [
    Pure, SameOperandsAndResultType,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>,
    DeclareOpInterfaceMethods<DifferentiableOpInterface, ["buildVjp"]>])> {
  let arguments = (ins FloatLike:$operand);
  let results = (outs FloatLike:$result);
  let assemblyFormat = "$operand attr-dict `:` type($result)";
}

def Weir_SigmoidOp : Weir_UnaryOp<"sigmoid"> {
  let summary = "1 / (1 + exp(-x))";
  let description = [{
    The complement 1 - sigmoid(x) is written sigmoid(-x), which keeps its bits.
    ```mlir
    %z = weir.sigmoid %k : tensor<?x?x?xf32>
    ```
  }];
}

def Weir_SiluOp : Weir_UnaryOp<"silu"> {
  let summary = "x sigmoid(x), also called swish";
  let description = [{
    ```mlir
    %y = weir.silu %x : tensor<?x?x?xf32>
    ```
  }];
}

def Weir_GeluOp : Weir_UnaryOp<"gelu"> {
  let summary = "x Phi(x), with the error function";
  let description = [{
    Phi is the distribution function of the standard normal distribution: x (1 + erf(x / sqrt 2)) / 2.
    ```mlir
    %y = weir.gelu %x : tensor<?x?x?xf32>
    ```
  }];
}

def Weir_GeluTanhOp : Weir_UnaryOp<"gelu_tanh"> {
  let summary = "the tanh approximation of gelu";
  let description = [{
    x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
    ```mlir
    %y = weir.gelu_tanh %x : tensor<?x?x?xf32>
    ```
  }];
}

def Weir_ReluOp : Weir_UnaryOp<"relu"> {
  let summary = "max(x, 0)";
  let description = [{
    The derivative at 0 is taken as 0.
    ```mlir
    %y = weir.relu %x : tensor<?x?x?xf32>
    ```
  }];
}

def Weir_ReluSquaredOp : Weir_UnaryOp<"relu_squared"> {
  let summary = "max(x, 0)^2";
  let description = [{
    The kernel of gated attention units ("Transformer Quality in Linear Time", section 2).
    ```mlir
    %y = weir.relu_squared %x : tensor<?x?x?xf32>
    ```
  }];
}

def Weir_SoftplusOp : Weir_UnaryOp<"softplus"> {
  let summary = "log(1 + exp(x))";
  let description = [{
    Computed as max(x, 0) + log1p(exp(-|x|)).
    ```mlir
    %y = weir.softplus %x : tensor<?x?x?xf32>
    ```
  }];
}

def Weir_LogSigmoidOp : Weir_UnaryOp<"log_sigmoid"> {
  let summary = "log(sigmoid(x)) = -softplus(-x)";
  let description = [{
    ```mlir
    %y = weir.log_sigmoid %x : tensor<?x?x?xf32>
    ```
  }];
}

def Weir_PositiveOp : Weir_UnaryOp<"positive"> {
  let summary = "g(x) = x + 0.5 where x >= 0, sigmoid(x) elsewhere";
  let description = [{
    The map onto positive numbers of minGRU and minLSTM ("Were RNNs All We Needed?", appendix B).
    ```mlir
    %c = weir.positive %u : tensor<?x?x?xf32>
    ```
  }];
}

def Weir_LogPositiveOp : Weir_UnaryOp<"log_positive"> {
  let summary = "log(g(x)), with g of weir.positive";
  let description = [{
    log(max(x, 0) + 0.5) where x >= 0, -softplus(-x) elsewhere ("Were RNNs All We Needed?", appendix B).
    ```mlir
    %c = weir.log_positive %u : tensor<?x?x?xf32>
    ```
  }];
}

def Weir_RandomUniformOp : Weir_Op<"random_uniform", [
    Pure, DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>]> {
  let summary = "a uniform number in [0, 1), from a counter";
  let description = [{
    Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3") with the key (seed, stream) and the
    counter (index, step). The number depends on nothing else, so that tiling, recomputation and merging of kernels
    can't change it. The upper 24 bits of the first word are used.
    ```mlir
    %u = weir.random_uniform %seed, %step, %stream, %index : f32
    ```
  }];
  let arguments = (ins I64:$seed, I64:$step, I64:$stream, I64:$index);
  let results = (outs AnyFloat:$result);
  let assemblyFormat = "$seed `,` $step `,` $stream `,` $index attr-dict `:` type($result)";
}

#endif  // WEIR_COMPILER_DIALECT_ELEMENTWISE_OPS_TD_
