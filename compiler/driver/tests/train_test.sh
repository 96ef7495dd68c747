#!/usr/bin/env bash
# From a model's text to a trained one, and back from every kind of stop: train_test.sh WEIR
set -euo pipefail
weir=$PWD/$1
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/train.XXXXXX")
cd "$work"

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

cat > model.mlir <<'MODEL'
!seq = tensor<?x?x?xf32>
weir.model @copy(%tokens: tensor<?x?xi32>) -> !seq attributes {linear} {
  %width = weir.config "width" default 16 : index
  %e = weir.embedding %tokens, "tok" [8, %width] init(normal(1.0)) : tensor<?x?xi32> -> !seq
  %h = weir.repeat 2 as "layer" (%r = %e) : !seq {
    %y = weir.apply "minrnn_block"(%r) {conv = false, mlp = false, dropout = 0.1} : !seq
    weir.yield %y : !seq
  }
  %l = weir.head %h, "head" [8] init(linear) : !seq
  weir.return %l : !seq
}
weir.experiment @main model(@copy) seed(5) {
  weir.task "selective_copy" {length = 10, tokens = 3, vocabulary = 8, batch = 6, eval_sequences = 16}
  weir.optimizer "adamw" {lr = 1.0e-2, weight_decay = 0.01, no_decay = ["*.bias"]}
  weir.schedule "cosine" {warmup = 3}
  weir.train {steps = 40, clip = 1.0, eval_every = 10}
}
MODEL

# What must be equal bit by bit: step, split, loss, gradient norm.
facts() {
  python3 - "$1" <<'PY'
import json, sys
for line in open(sys.argv[1] + "/metrics.jsonl"):
    r = json.loads(line)
    print(r["step"], r["split"], r["loss"].hex() if isinstance(r["loss"], float) else r["loss"], r.get("gradient_norm"))
PY
}

for threads in 1 2 3; do
  "$weir" train model.mlir --out=threads$threads --threads=$threads --quiet > log$threads
  facts threads$threads > facts$threads
done
cmp facts1 facts2 || fail "1 and 2 threads differ"
cmp facts1 facts3 || fail "1 and 3 threads differ"
[ "$(wc -l < facts1)" -eq 44 ] || fail "metrics.jsonl has $(wc -l < facts1) lines"
grep -q '^done after 40 steps' log1 || fail "no summary: $(cat log1)"

python3 - <<'PY' || fail "metrics.jsonl"
import json
records = [json.loads(line) for line in open("threads1/metrics.jsonl")]
train = [r for r in records if r["split"] == "train"]
held_out = [r for r in records if r["split"] == "eval"]
for r in records:
    assert {"step", "split", "loss", "accuracy", "tokens", "tokens_per_second", "seconds"} <= set(r), r
for r in train:
    assert {"gradient_norm", "learning_rate"} <= set(r), r
assert all("sequence_accuracy" in r for r in held_out)
assert train[-1]["tokens"] == 40 * 6 * 13, train[-1]
assert abs(train[2]["learning_rate"] - 1e-2) < 1e-8, train[2]
assert held_out[-1]["loss"] < 0.95 * held_out[0]["loss"], [r["loss"] for r in held_out]
PY
for file in experiment.mlir checkpoint.safetensors best.safetensors; do
  [ -s threads1/$file ] || fail "no $file"
done

# The resolved experiment repeats the run, from anywhere.
"$weir" train threads1/experiment.mlir --out=again --quiet > /dev/null
facts again | cmp - facts1 || fail "experiment.mlir doesn't repeat the run"
"$weir" train model.mlir --seed=6 --out=seed6 --quiet > /dev/null
if facts seed6 | cmp -s - facts1; then fail "another seed gives the same run"; fi

# killed RUN SETTINGS: the run is killed (-9) somewhere on the way, then goes on.
killed() {
  local run=$1
  shift
  "$weir" train model.mlir --out="$run" --quiet --set train.checkpoint_seconds=0.001 "$@" > /dev/null 2>&1 &
  local pid=$!
  for _ in $(seq 2000); do
    if [ -e "$run/checkpoint.safetensors" ] && [ "$(wc -l < "$run/metrics.jsonl")" -ge 5 ]; then break; fi
    sleep 0.01
  done
  kill -9 $pid 2> /dev/null || true
  wait $pid 2> /dev/null || true
  [ -e "$run/checkpoint.safetensors" ] || fail "the run wrote no checkpoint"
  if "$weir" train model.mlir --out="$run" --quiet "$@" > /dev/null 2>&1; then fail "a run was overwritten"; fi
  "$weir" train model.mlir --out="$run" --resume --quiet "$@" > /dev/null
}
killed killed
facts killed | cmp - facts1 || fail "the resumed run differs"

# bf16: the optimizer brings the weights' values in bf16 up to date. A run that goes on makes them anew, of parameters alone.
"$weir" train model.mlir --out=bf16 --set precision=bf16 --quiet > /dev/null
killed bf16_killed --set precision=bf16
facts bf16 > facts_bf16
if cmp -s facts_bf16 facts1; then fail "bf16 is f32"; fi
facts bf16_killed | cmp - facts_bf16 || fail "the resumed run in bf16 differs"
if grep -q prepared bf16/checkpoint.safetensors; then fail "a checkpoint has what follows from parameters"; fi

# The last checkpoint's loss is the last evaluation's.
"$weir" eval model.mlir --checkpoint=threads1/checkpoint.safetensors > eval.txt
python3 - <<'PY' || fail "weir eval: $(cat eval.txt)"
import json
values = dict(line.split() for line in open("eval.txt"))
last = [json.loads(line) for line in open("threads1/metrics.jsonl")][-1]
assert last["split"] == "eval" and abs(float(values["loss"]) - last["loss"]) < 1e-5, (values, last)
assert abs(float(values["accuracy"]) - last["accuracy"]) < 1e-5
PY

# Other settings of the step: f64, and gradients that are averaged over two batches.
"$weir" train model.mlir --steps=2 --quiet --set precision=f64 > /dev/null
"$weir" train model.mlir --steps=2 --quiet --set train.accumulate=2 > /dev/null
"$weir" compare threads1 seed6 | grep -q threads1 || fail "weir compare"
echo passed
