#!/usr/bin/env bash
# What training says of a step that isn't finite: divergence_test.sh WEIR
set -euo pipefail
weir=$PWD/$1
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/divergence.XXXXXX")
cd "$work"

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# A model with the lines of $1 in each of its two layers: %r to %y.
model() {
  cat <<MODEL
!seq = tensor<?x?x?xf32>
weir.model @copy(%tokens: tensor<?x?xi32>) -> !seq {
  %x = weir.embedding %tokens, "tok" [8, 16] init(normal(1.0)) : tensor<?x?xi32> -> !seq
  %h = weir.repeat 2 as "layer" (%r = %x) : !seq {
    %m = weir.apply "mlp"(%r) : !seq
    $1
    weir.yield %y : !seq
  }
  %l = weir.head %h, "head" [8] init(linear) : !seq
  weir.return %l : !seq
}
weir.experiment @main model(@copy) seed(5) {
  weir.task "selective_copy" {length = 10, tokens = 3, vocabulary = 8, batch = 6, eval_sequences = 16}
  weir.optimizer "adamw" {lr = 1.0e-2}
  weir.train {steps = 40, clip = 1.0, eval_every = 10}
}
MODEL
}

# expect TEXT ARGUMENTS: training fails with all of the text's lines in the message.
expect() {
  local text=$1
  shift
  if "$weir" train "$@" --quiet > log 2>&1; then fail "no error: $*"; fi
  while read -r line; do
    grep -qF -- "$line" log || fail "not '$line': $(cat log)"
  done <<< "$text"
}

# The logarithm of numbers below 0, in the first layer of two.
model '%y = math.log %m : !seq' > log.mlir
expect "the loss is nan at step 1 (
the first result that isn't finite is that of 'math.log' in layer.0 (log.mlir:6:10): " log.mlir --out=log_run
expect "in layer.0 (log.mlir:6:10)" log.mlir --out=log_run --resume
expect "in layer.0 (log.mlir:6:10)" log.mlir --set precision=bf16

# Finite forward, not so backward: the root's slope at 0.
model '%zero = weir.constant 0.0 like %m : !seq
    %n = arith.mulf %m, %zero : !seq
    %q = math.sqrt %n : !seq
    %y = arith.addf %r, %q : !seq' > root.mlir
expect "at step 1 (gradient norm
the first result that isn't finite is that of the gradient of 'math.sqrt' in layer.1 (root.mlir:8:10): " root.mlir

# A learning rate that makes parameters of 1e30: the next step's products overflow, the first of them first.
model '%y = arith.addf %r, %m : !seq' > good.mlir
expect "at step 2 (
the first result that isn't finite is that of 'weir.linear' in layer.0" good.mlir --set optimizer.lr=1.0e30 --out=lr_run

# What is saved is what was before the step, and finite.
python3 - <<'PY' || fail "the checkpoint"
import json, math, struct
for run, step in (("log_run", 0), ("lr_run", 1)):
    data = open(run + "/checkpoint.safetensors", "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    assert header["__metadata__"]["step"] == str(step), header["__metadata__"]
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32": continue
        begin, end = entry["data_offsets"]
        values = struct.unpack("<%df" % ((end - begin) // 4), data[8 + size + begin:8 + size + end])
        assert all(map(math.isfinite, values)), name
PY
grep -qF "'lr_run/checkpoint.safetensors' is of step 1" log || fail "no word of the checkpoint: $(cat log)"
echo passed
