// Experiments: what a model is trained on and how, so that one file is one experiment that anyone can run again.

#ifndef WEIR_COMPILER_DIALECT_EXPERIMENT_OPS_TD_
#define WEIR_COMPILER_DIALECT_EXPERIMENT_OPS_TD_

include "compiler/dialect/attributes.td"
include "mlir/IR/SymbolInterfaces.td"

def Weir_ExperimentOp : Weir_Op<"experiment", [IsolatedFromAbove, Symbol, SingleBlock, NoTerminator,
                                               DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a model, and how it is trained";
  let description = [{
    Holds one `weir.task`, one `weir.optimizer`, at most one `weir.schedule` and one `weir.train`. `precision` is `f32`
    (the default), `bf16` (mixed precision) or `f64`; `seed` (default 1) fixes initial values, data and dropout.

    On the command line, `--set optimizer.lr=1e-3` overrides a setting (`task`, `optimizer`, `schedule`, `train`, and
    `precision` and `seed` alone), and `--set hidden=128` an option of the model. A name that the model doesn't have, such as
    `batch`, is that of the task's setting, if the file gives it one.

    ```mlir
    weir.experiment @main model(@lm) precision(bf16) seed(1) {
      weir.task "text" {context = 1024, batch = 8, validation = 0.1}
      weir.optimizer "adamw" {lr = 7.0e-4, betas = [0.9, 0.999], eps = 1.0e-6, weight_decay = 0.01}
      weir.schedule "linear" {warmup = 1000}
      weir.train {steps = 20000, clip = 0.1, eval_every = 250}
    }
    ```
  }];
  let arguments = (ins
    SymbolNameAttr:$sym_name,
    FlatSymbolRefAttr:$model,
    DefaultValuedAttr<Weir_Precision, "Precision::F32">:$precision,
    DefaultValuedAttr<I64Attr, "1">:$seed
  );
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $sym_name `model` `(` $model `)` (`precision` `(` $precision^ `)`)? (`seed` `(` $seed^ `)`)?
    attr-dict-with-keyword $body
  }];
  let hasRegionVerifier = 1;
  let extraClassDeclaration = [{
    /// The op that `weir.task`, ... stand for; schedule may be absent and is null then.
    TaskOp getTask();
    OptimizerOp getOptimizer();
    ScheduleOp getSchedule();
    TrainOp getTrain();
    /// The task's settings, with options of the model where they are named.
    ::mlir::DictionaryAttr getTaskSettings();
  }];
}

class Weir_SettingsOp<string mnemonic, list<Trait> traits = []> : Weir_Op<mnemonic, traits> {
  let hasVerifier = 1;
}

def Weir_TaskOp : Weir_SettingsOp<"task", [HasParent<"ExperimentOp">]> {
  let summary = "where the tokens and targets come from";
  let description = [{
    A task by its name in the registry, with its settings; which there are, the task says. Every task knows `batch`.
    A setting may be an option of the model (`@length`), so that both are changed at once; the option must have a default that is
    a plain value.

    ```mlir
    weir.task "selective_copy" {length = 64, data_tokens = 16, batch = 16}
    weir.task "text" {context = @length, batch = 8}
    ```
  }];
  let arguments = (ins StrAttr:$name, DictionaryAttr:$settings);
  let assemblyFormat = "$name custom<Settings>($settings) attr-dict-with-keyword";
}

def Weir_OptimizerOp : Weir_SettingsOp<"optimizer", [HasParent<"ExperimentOp">, NoTerminator, NoRegionArguments]> {
  let summary = "how gradients change the parameters";
  let description = [{
    `"adamw"` is AdamW with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101), as torch.optim.AdamW computes it:

    | setting | default | |
    | --- | --- | --- |
    | `lr` | 1.0e-3 | the peak learning rate |
    | `betas` | [0.9, 0.999] | decay of the two moments |
    | `eps` | 1.0e-8 | |
    | `weight_decay` | 0.01 | times the learning rate |
    | `no_decay` | [] | patterns of parameter paths without weight decay (`*` stands for any text) |

    Parameter groups with settings of their own are `weir.group` ops; the last one that matches a path counts.

    ```mlir
    weir.optimizer "adamw" {lr = 1.0e-3, weight_decay = 0.1, no_decay = ["*.bias"]} {
      weir.group ["tok.*"] {lr_scale = 0.5}
    }
    ```
  }];
  let arguments = (ins StrAttr:$name, DictionaryAttr:$settings);
  let regions = (region AnyRegion:$groups);
  let assemblyFormat = "$name custom<Settings>($settings) attr-dict-with-keyword ($groups^)?";
}

def Weir_GroupOp : Weir_SettingsOp<"group", [HasParent<"OptimizerOp">]> {
  let summary = "settings for the parameters that match a pattern";
  let description = [{
    `lr_scale` multiplies the learning rate, `weight_decay` replaces the optimizer's. `*` in a pattern stands for any text.

    ```mlir
    weir.group ["*.bias", "*norm*"] {weight_decay = 0.0, lr_scale = 1.0}
    ```
  }];
  let arguments = (ins StrArrayAttr:$patterns, DictionaryAttr:$settings);
  let assemblyFormat = "$patterns custom<Settings>($settings) attr-dict-with-keyword";
}

def Weir_ScheduleOp : Weir_SettingsOp<"schedule", [HasParent<"ExperimentOp">]> {
  let summary = "how the learning rate changes over the steps";
  let description = [{
    `"constant"`, `"linear"` or `"cosine"`: after `warmup` steps of linear growth (default 0), the rate stays, or falls along a
    line or half a cosine to `final` times its peak (default 0), which it reaches at step `steps` (default: that of
    `weir.train`).

    ```mlir
    weir.schedule "cosine" {warmup = 100, final = 0.1}
    ```
  }];
  let arguments = (ins StrAttr:$name, DictionaryAttr:$settings);
  let assemblyFormat = "$name custom<Settings>($settings) attr-dict-with-keyword";
}

def Weir_TrainOp : Weir_SettingsOp<"train", [HasParent<"ExperimentOp">]> {
  let summary = "the training loop";
  let description = [{
    | setting | default | |
    | --- | --- | --- |
    | `steps` | (required) | steps of the optimizer |
    | `clip` | none | the largest norm of a gradient; a larger one is scaled down to it |
    | `clip_kind` | "global" | whose norm that is: that of all parameters together, or with "local" each parameter's own |
    | `accumulate` | 1 | batches whose gradients are averaged for one step |
    | `logits` | "auto" | "stored": the loss reads the head's logits from memory; "recomputed": they are never stored, and backward computes them again; "auto": what `weir-fuse-loss` takes for better |
    | `state` | "reset" | "carry": a batch goes on with the states that the batch before it ended with |
    | `windows` | 1 | with "carry": batches, one after the other, that a step trains as one long window |
    | `lookback` | `windows` times the length of a batch | with "carry": tokens that attention without a bound of its own sees, the present one included |
    | `eval_every` | 0 (only at the end) | steps between evaluations |
    | `patience` | 0 (never) | evaluations without gain after which training stops |
    | `checkpoint_seconds` | 60 | seconds between checkpoints, besides those at evaluations |
    | `log_every` | 1 | steps between lines of metrics |

    ```mlir
    weir.train {steps = 5000, clip = 1.0, eval_every = 250, patience = 10}
    ```

    **Carried state.** With `state = "carry"` row b of a batch continues row b of the batch before it, and the model goes on with the states it
    ended with, those of its layers and those that its ops carry (see `weir-step-form`). The task must be one that is read in order: the
    task "text" does so then. Where its streams end, all rows at once, states are reset.

    A step covers `windows` batches of the task and its gradient goes through the states between them, so that 4 windows of 256
    tokens train what one window of 1,024 does (up to rounding, and to the draws of dropout). Its loss is the mean over the targets of all its windows.
    What backward needs of all windows is kept, so memory grows with `windows` as it does with the length. Between steps, and
    between the batches that `accumulate` adds up, states are carried and gradients end.

    Evaluation has states of its own: it begins from reset ones and goes through the held-out part in order, too. Checkpoints hold the states.

    ```mlir
    weir.train {steps = 5000, clip = 1.0, state = "carry", windows = 4}
    ```
  }];
  let arguments = (ins DictionaryAttr:$settings);
  let assemblyFormat = "custom<Settings>($settings) attr-dict-with-keyword";
}

#endif  // WEIR_COMPILER_DIALECT_EXPERIMENT_OPS_TD_
