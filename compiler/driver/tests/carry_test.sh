#!/usr/bin/env bash
# Training with carried state: carry_test.sh WEIR
set -euo pipefail
weir=$PWD/$1
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/carry.XXXXXX")
cd "$work"

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

python3 - <<'PY'
import random
random.seed(3)
words = ["the ", "cat ", "sat ", "on ", "mat ", "dog ", "ran ", "off. "]
# 802 bytes train: 4 streams of 200, 3 times 64 or 12 times 16 and fewer than 16 more.
open("text.txt", "w").write("".join(random.choice(words) for _ in range(400))[:892])
PY

# A model of one kind of layer, with a residual around it.
model() {
  cat <<MODEL
!seq = tensor<?x?x?xf32>
weir.model @text(%tokens: tensor<?x?xi32>) -> !seq {
  %x = weir.embedding %tokens, "tok" [20, 16] init(normal(1.0)) : tensor<?x?xi32> -> !seq
  %h = weir.repeat 2 as "layer" (%r = %x) : !seq {
    $1
    %s = arith.addf %r, %y : !seq
    weir.yield %s : !seq
  }
  %l = weir.head %h, "head" [20] init(linear) : !seq
  weir.return %l : !seq
}
weir.experiment @main model(@text) precision(f64) seed(5) {
  weir.task "text" {context = 16, batch = 4, validation = 0.1, data = "text.txt"}
  weir.optimizer "adamw" {lr = 1.0e-2, weight_decay = 0.01}
  weir.train {steps = 7, clip = 1.0, state = "carry", eval_every = 4}
}
MODEL
}

# How far two runs are apart, in losses and in parameters, relative to the largest.
distance() {
  python3 - "$1" "$2" <<'PY'
import json, struct, sys
def records(run):
    return [json.loads(line) for line in open(run + "/metrics.jsonl")]
def tensors(run):
    data = open(run + "/checkpoint.safetensors", "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    found = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F64" or name.startswith("state."): continue
        begin, end = entry["data_offsets"]
        found[name] = struct.unpack("<%dd" % ((end - begin) // 8), data[8 + size + begin:8 + size + end])
    return found
a, b = records(sys.argv[1]), records(sys.argv[2])
assert [(r["step"], r["split"]) for r in a] == [(r["step"], r["split"]) for r in b], (a, b)
worst = max(abs(x["loss"] - y["loss"]) / y["loss"] for x, y in zip(a, b))
a, b = tensors(sys.argv[1]), tensors(sys.argv[2])
assert a.keys() == b.keys() and len(a) > 5
for name in a:
    largest = max(map(abs, b[name])) or 1
    worst = max(worst, max(abs(x - y) for x, y in zip(a[name], b[name])) / largest)
print("%.1e" % worst)
PY
}

facts() {
  python3 - "$1" <<'PY'
import json, sys
for line in open(sys.argv[1] + "/metrics.jsonl"):
    r = json.loads(line)
    if r["split"] == "train": print(r["step"], r["loss"].hex(), r["gradient_norm"].hex())
PY
}

below() { python3 -c "import sys; sys.exit(not float('$1') < float('$2'))"; }

# Four windows of 16 are one of 64, in training and, since evaluation carries state too, in evaluation.
while IFS='|' read -r name layer; do
  model "$layer" > "$name.mlir"
  "$weir" train "$name.mlir" --out="$name.windows" --quiet --set train.windows=4 > /dev/null
  "$weir" train "$name.mlir" --out="$name.whole" --quiet --set task.context=64 > /dev/null
  "$weir" train "$name.mlir" --out="$name.cut" --quiet --set task.context=64 --set train.state=reset > /dev/null
  windows=$(distance "$name.windows" "$name.whole")
  cut=$(distance "$name.cut" "$name.whole")
  echo "$name: 4 windows of 16 against one of 64: $windows; without state: $cut"
  below "$windows" 1e-9 || fail "$name: 4 windows of 16 aren't one of 64: $windows"
  below 1e-3 "$cut" || fail "$name: state makes no difference: $cut"
done <<'LAYERS'
mingru|%y = weir.apply "mingru"(%r) {hidden = 16} : !seq
log|%y = weir.apply "mingru"(%r) {hidden = 16, arithmetic = "log"} : !seq
gru|%y = weir.apply "gru"(%r) {hidden = 16} : !seq
minrnn_block|%y = weir.apply "minrnn_block"(%r) {hidden = 16} : !seq
flash|%y = weir.apply "flash"(%r) {chunk = 24, head = 16} : !seq
transformer_pp|%y = weir.apply "transformer_pp"(%r) {heads = 2} : !seq
LAYERS

# A run that is stopped and resumed goes on with the states it had; evaluations in between leave them alone.
for threads in 1 2 3; do
  "$weir" train mingru.mlir --out=threads$threads --threads=$threads --quiet --set precision=f32 --set train.windows=2 > /dev/null
  facts threads$threads > facts$threads
  cmp facts1 facts$threads || fail "1 and $threads threads differ"
done
"$weir" train mingru.mlir --out=parts --quiet --set precision=f32 --set train.windows=2 --set train.eval_every=0 --steps=3 > /dev/null
"$weir" train mingru.mlir --out=parts --quiet --set precision=f32 --set train.windows=2 --set train.eval_every=0 --steps=7 --resume > /dev/null
facts parts | cmp - facts1 || fail "the resumed run differs"

# The states of the checkpoint are training's; evaluation begins from reset ones.
"$weir" eval mingru.whole/experiment.mlir --checkpoint=mingru.whole/checkpoint.safetensors > eval.txt
python3 - <<'PY' || fail "weir eval: $(cat eval.txt)"
import json
values = dict(line.split() for line in open("eval.txt"))
last = [json.loads(line) for line in open("mingru.whole/metrics.jsonl")][-1]
assert last["split"] == "eval" and abs(float(values["loss"]) - last["loss"]) < 1e-5, (values, last)
PY

# States go on between the batches of a step that accumulates, gradients don't: other gradients than with windows.
"$weir" train mingru.mlir --out=accumulated --quiet --set train.accumulate=4 > /dev/null
python3 - <<'PY' || fail "accumulate"
import json
first = lambda run: json.loads(open(run + "/metrics.jsonl").readline())
a, b = first("accumulated"), first("mingru.windows")
assert abs(a["loss"] - b["loss"]) < 1e-6 * b["loss"], (a, b)
assert abs(a["gradient_norm"] - b["gradient_norm"]) > 1e-6, (a, b)
PY
"$weir" train mingru.mlir --quiet --steps=2 --set train.accumulate=2 --set train.windows=3 --set precision=bf16 > /dev/null

# Errors.
expect() {
  local text=$1
  shift
  if "$weir" "$@" > log 2>&1; then fail "no error: $*"; fi
  grep -qF -- "$text" log || fail "not '$text': $(cat log)"
}
expect "has setting 'windows', which says nothing without state = \"carry\"" train mingru.mlir --set train.state=reset --set train.windows=2
expect "has setting 'lookback' = 0 : i64, but it must be a whole number, at least 1" train mingru.mlir --set train.lookback=0
expect "the task's streams end after 12 batches, but 'train_step' takes 20 at once" train mingru.mlir --set train.windows=20
expect 'state = "carry" needs a task whose batches continue one another' train mingru.mlir --set 'task.order="shuffled"'
echo passed
