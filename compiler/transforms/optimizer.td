include "mlir/Pass/PassBase.td"

def Optimizer : Pass<"weir-optimizer", "::mlir::ModuleOp"> {
  let summary = "add the function that turns gradients into new parameters";
  let description = [{
    For every function with parameters' gradients as results (`weir.gradient`; `@f_backward` of `weir-partition`, or the
    joint `@f`), adds `@f_optimizer`:

        (gradients, parameters, first moments, second moments, rng)
        -> (parameters, first moments, second moments, rng, gradient_norm, learning_rate)

    Parameters are marked `weir.param = "<path>"`, gradients `weir.gradient = "<path>"`, moments
    `weir.variable = "optimizer.m.<path>"` and `"optimizer.v.<path>"`; rng (seed, step) is marked `weir.rng` and comes out
    with its step counted up. The last two results are f32 scalars marked `weir.output`.

    AdamW is computed in the order of torch.optim.AdamW, with the step counted from 1: p (1 - lr wd); m += (g - m)(1 - b1);
    v = v b2 + g^2 (1 - b2); p -= lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps). Clipping is that of
    torch.nn.utils.clip_grad_norm_: gradients times min(1, clip / (norm + 1e-6)), with the norm of all of them
    (`clip-kind=global`) or each by its own (`local`). Scalars are computed in f64 from the step counter, once a step.

    The learning rate at step s (from 0) is lr min(1, (s + 1) / warmup) for s < warmup; after that it stays (`constant`) or
    goes from 1 to `final` as 1 - (1 - final) q (`linear`) or final + (1 - final)(1 + cos(pi q)) / 2 (`cosine`),
    q = (s - warmup) / (steps - warmup), at most 1.

    Gradients are taken to be sums over `accumulate` batches and divided by it. With `accumulate` above 1 there is also
    `@f_accumulate(sums, gradients) -> (sums)`.

    A `weir.experiment` in the module gives the settings; without one they are the options below.
  }];
  let options = [
    Option<"lr", "lr", "double", "1e-3", "peak learning rate">,
    Option<"beta1", "beta1", "double", "0.9", "decay of the first moment">,
    Option<"beta2", "beta2", "double", "0.999", "decay of the second moment">,
    Option<"eps", "eps", "double", "1e-8", "added to the root of the second moment">,
    Option<"weightDecay", "weight-decay", "double", "0.01", "decoupled weight decay, times the learning rate">,
    ListOption<"noDecay", "no-decay", "std::string", "patterns of parameters without weight decay">,
    Option<"schedule", "schedule", "std::string", "\"constant\"", "constant, linear or cosine">,
    Option<"warmup", "warmup", "int64_t", "0", "steps of linear growth">,
    Option<"steps", "steps", "int64_t", "0", "steps until the schedule ends">,
    Option<"finalScale", "final", "double", "0", "the schedule's end, as a fraction of lr">,
    Option<"clip", "clip", "double", "0", "largest norm of the gradient; 0: none">,
    Option<"clipKind", "clip-kind", "std::string", "\"global\"", "global or local (each parameter by itself)">,
    Option<"accumulate", "accumulate", "int64_t", "1", "batches a step">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
                           "::mlir::tensor::TensorDialect"];
}
