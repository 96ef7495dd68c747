#!/usr/bin/env bash
# What `weir bench` says of a step, and that it adds up: bench_test.sh WEIR
set -euo pipefail
weir=$PWD/$1
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/bench.XXXXXX")
cd "$work"

fail() {
  echo "FAILED: $*" >&2
  exit 1
}
# refuses TEXT ARGUMENT...
refuses() {
  local text=$1
  shift
  if "$weir" "$@" > out.txt 2>&1; then fail "weir $*: no error"; fi
  grep -q -- "$text" out.txt || fail "weir $*: no '$text' in: $(head -c 2000 out.txt)"
}

cat > model.mlir <<'MODEL'
!seq = tensor<?x?x?xf32>
weir.model @copy(%tokens: tensor<?x?xi32>) -> !seq attributes {linear} {
  %width = weir.config "width" default 4 : index
  %length = weir.config "length" default 20 : index
  %e = weir.embedding %tokens, "tok" [8, %width] : tensor<?x?xi32> -> !seq
  %h = weir.apply "mingru"(%e) as "rnn" : !seq
  %l = weir.head %h, "head" [8] : !seq
  weir.return %l : !seq
}
weir.experiment @main model(@copy) {
  weir.task "text" {context = @length, batch = 6}
  weir.optimizer "adamw" {lr = 1.0e-2}
  weir.train {steps = 40}
}
MODEL

"$weir" bench model.mlir --threads=1 --repeats=3 --json --kernels --trace=trace.json --set length=10 > step.json
"$weir" bench model.mlir --threads=1 --repeats=1 --json --set precision=bf16 --set batch=3 > bf16.json
"$weir" bench model.mlir --threads=1 --repeats=1 --json --entry=eval > eval.json
"$weir" bench model.mlir --threads=2 --repeats=1 --json --entry=step --batch=2 > token.json
"$weir" bench model.mlir --threads=1 --repeats=1 --json --entry=prefill --chunk=16 > prefill.json

python3 - <<'CHECK'
import json

def load(name):
    with open(name) as file:
        return json.load(file)

step = load("step.json")
for key in ("compile_seconds", "step_seconds", "tokens_per_second", "peak_bytes", "floor_fraction"):
    assert step[key] > 0, key
settings = step["settings"]
assert settings["entry"] == "train_step" and settings["precision"] == "f32" and settings["threads"] == 1
assert settings["batch"] == 6 and settings["length"] == 10 and settings["repeats"] == 3, settings
assert settings["options"] == {"width": 4, "length": 10}, settings

# Products of a token: two of 4 x 4 for the gates, one of 4 x 8 for the head; backward has twice as many.
token = 2 * 2 * 4 * 4 + 2 * 4 * 8
assert step["floor_flops"] == 3 * token * 60, step["floor_flops"]
# 104 parameters: with AdamW's state 28 bytes each; and tokens and targets.
residuals = step["floor_bytes"] - 28 * 104 - 2 * 4 * 60
assert residuals > 0 and residuals % (2 * 4) == 0, residuals
floor = max(step["floor_flops"] / step["product_flops_per_second"],
            step["floor_bytes"] / step["memory_bytes_per_second"])
assert abs(step["floor_seconds"] / floor - 1) < 1e-6
assert abs(step["tokens_per_second"] * step["step_seconds"] - 60) < 1e-6
spread = step["step_seconds_spread"]
order = [spread[key] for key in ("low", "lower_quartile", "median", "upper_quartile", "high")]
assert order == sorted(order) and spread["median"] == step["step_seconds"], spread

kernels = step["kernels"]
assert sum(kernel["launches"] for kernel in kernels) == step["launches"]
assert abs(sum(kernel["bytes"] for kernel in kernels) - step["moved_bytes"]) < 1
assert kernels == sorted(kernels, key=lambda kernel: -kernel["seconds"])
# What the kernels compute is what the floor says: nothing of this model is recomputed.
assert sum(kernel["flops"] for kernel in kernels) == step["floor_flops"]
parts = set("+".join(kernel["parts"] for kernel in kernels).split("+"))
assert {"forward", "backward", "optimizer"} <= parts, parts
assert any(kernel["place"] == "rnn.to_z" for kernel in kernels), [k["place"] for k in kernels]

trace = load("trace.json")
slices = [event for event in trace["traceEvents"] if event["ph"] == "X"]
assert len(slices) == step["launches"]
end = 0
for event in slices:
    assert event["dur"] >= 0 and event["ts"] >= end - 1, event
    end = event["ts"] + event["dur"]
    assert event["args"]["read_bytes"] + event["args"]["written_bytes"] > 0, event
assert [event["args"]["launch"] for event in slices] == list(range(len(slices)))
assert {event["name"] for event in slices} == {kernel["kernel"] for kernel in kernels}

bf16 = load("bf16.json")
assert bf16["settings"]["precision"] == "bf16" and bf16["settings"]["batch"] == 3
assert bf16["floor_flops"] == 3 * token * 60

forward = load("eval.json")
assert forward["floor_flops"] == token * 120
assert forward["floor_bytes"] == 104 * 4 + 2 * 4 * 120, forward["floor_bytes"]

# A token of a stream reads one row of the embedding for each row of the batch, and the states: h, and the
# position.
generated = load("token.json")
assert generated["settings"]["batch"] == 2 and generated["settings"]["threads"] == 2
assert generated["floor_flops"] == token * 2
assert generated["floor_bytes"] == (104 - 32 + 2 * 4) * 4 + 2 * 4 * 4 + 8 + 2 * 4, generated["floor_bytes"]
assert load("prefill.json")["floor_flops"] == token * 16
CHECK

"$weir" bench model.mlir --threads=1 --repeats=1 --kernels --entry=eval --clock=cpu > out.txt
grep -q 'of the processor' out.txt && grep -q 'floor .* of it reached' out.txt && grep -q ' k_scan' out.txt || fail "weir bench: $(cat out.txt)"
refuses "--entry can't be 'dance': there are train_step, eval, step and prefill" bench model.mlir --entry=dance
refuses "--clock=cpu adds up" bench model.mlir --clock=cpu --threads=2
refuses '--warmup and --repeats must be at least 1' bench model.mlir --repeats=0
refuses "has no option 'depth'" bench model.mlir --set depth=3
echo passed
