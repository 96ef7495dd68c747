#!/usr/bin/env bash
# Training and evaluation with stored logits and without: memory by plan, losses. logits_test.sh WEIR
set -euo pipefail
weir=$PWD/$1
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/logits.XXXXXX")
cd "$work"

cat > model.mlir <<'MODEL'
!seq = tensor<?x?x?xf32>
weir.model @lm(%tokens: tensor<?x?xi32>) -> !seq attributes {linear} {
  %vocabulary = weir.config "vocabulary" default 32768 : index
  %length = weir.config "length" default 1024 : index
  %e = weir.embedding %tokens, "tok" [%vocabulary, 32] : tensor<?x?xi32> -> !seq
  %y = weir.apply "mingru"(%e) as "rnn" : !seq
  %n = weir.layer_norm %y, "norm" : !seq
  %l = weir.head %n tied("tok") : !seq
  weir.return %l : !seq
}
weir.experiment @main model(@lm) {
  weir.task "text" {context = @length, batch = 2, vocabulary = "bytes", data = "text.txt"}
  weir.optimizer "adamw" {lr = 1.0e-2}
  weir.train {steps = 6, clip = 1.0}
}
MODEL
python3 -c "print(' '.join(str(i * i) for i in range(8000)))" > text.txt

# 2 x 1024 x 32768 logits: 256 MiB, which is above the bound of weir-fuse-loss.
for logits in auto stored recomputed; do
  "$weir" inspect model.mlir --set train.logits=$logits > $logits.inspect
  "$weir" inspect model.mlir --kernels --set train.logits=$logits > $logits.kernels
done
"$weir" inspect model.mlir --set vocabulary=256 --kernels > small.kernels
for precision in f32 bf16; do
  for logits in stored recomputed; do
    "$weir" train model.mlir --quiet --set precision=$precision --set train.logits=$logits \
      --set vocabulary=1009 --set length=100 --out=$precision.$logits > /dev/null
  done
done
if "$weir" inspect model.mlir --set train.logits=never > /dev/null 2> error; then
  echo "train.logits=never passes"; exit 1
fi
grep -q '"auto" or "stored" or "recomputed"' error || { cat error; exit 1; }

python3 - <<'CHECK'
import json
import re

UNITS = {"B": 2.0**-20, "KiB": 2.0**-10, "MiB": 1.0, "GiB": 2.0**10}


def mebibytes(name, entry):
    with open(name + ".inspect") as file:
        line = re.search(entry + r" +activations ([0-9.]+) (\w+)", file.read())
    return float(line[1]) * UNITS[line[2]]


def kernels(name):
    with open(name + ".kernels") as file:
        return file.read()


for entry in ("train_step", "eval"):
    stored, recomputed = mebibytes("stored", entry), mebibytes("recomputed", entry)
    assert stored >= 256, (entry, stored)
    assert recomputed < 64, (entry, recomputed)
    assert mebibytes("auto", entry) == recomputed, entry
for name, expected in (("stored", False), ("recomputed", True), ("auto", True), ("small", False)):
    assert ("logit_statistics_vjp" in kernels(name)) == expected, name


def metrics(run):
    with open(run + "/metrics.jsonl") as file:
        return [json.loads(line) for line in file]


for precision, tolerance in (("f32", 1e-5), ("bf16", 1e-3)):
    stored, recomputed = metrics(precision + ".stored"), metrics(precision + ".recomputed")
    assert len(stored) == len(recomputed) and len(stored) >= 7, (len(stored), len(recomputed))
    for one, other in zip(stored, recomputed):
        assert abs(one["loss"] / other["loss"] - 1) < tolerance, (precision, one, other)
        assert abs(one["accuracy"] - other["accuracy"]) < 0.02, (precision, one, other)
    assert stored[-1]["loss"] < stored[0]["loss"] - 0.1, stored
CHECK
