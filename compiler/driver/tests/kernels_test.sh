#!/usr/bin/env bash
# What `weir inspect --kernels` says of a step: kernels_test.sh WEIR
set -euo pipefail
weir=$PWD/$1
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/kernels.XXXXXX")
cd "$work"

cat > model.mlir <<'MODEL'
!seq = tensor<?x?x?xf32>
weir.model @copy(%tokens: tensor<?x?xi32>) -> !seq attributes {linear} {
  %e = weir.embedding %tokens, "tok" [8, 64] : tensor<?x?xi32> -> !seq
  %h = weir.repeat 2 as "layer" (%r = %e) : !seq {
    %n = weir.layer_norm %r, "norm" : !seq
    %g = weir.apply "mingru"(%n) as "rnn" : !seq
    %o = weir.linear %g, "out" [64] : !seq
    %y = arith.addf %r, %o : !seq
    weir.yield %y : !seq
  }
  %l = weir.head %h, "head" [8] : !seq
  weir.return %l : !seq
}
weir.experiment @main model(@copy) {
  weir.task "text" {context = 256, batch = 3}
  weir.optimizer "adamw" {lr = 1.0e-2}
  weir.train {steps = 40}
}
MODEL

for precision in f32 bf16; do
  "$weir" inspect model.mlir --kernels --json --set precision=$precision > $precision.json
done
"$weir" inspect model.mlir --kernels --json --entry=step --batch=2 > step.json
# Scans that become products, and those that are told not to.
sed 's/"mingru"(%n) as "rnn"/"gla"(%n) {key = 64, value = 64} as "gla"/' model.mlir > gla.mlir
"$weir" inspect gla.mlir --nomemory --batch=3 --length=256 > out.txt
grep -q 'layer.0.gla .*3 of 64 x 64, in chunks of' out.txt || { cat out.txt; exit 1; }
"$weir" inspect gla.mlir --nomemory --batch=3 --length=256 --matrix_chunk=0 > out.txt
grep -q 'layer.0.gla .*3 of 64 x 64, in order' out.txt || { cat out.txt; exit 1; }
"$weir" inspect model.mlir --kernels > out.txt
grep -q 'k_scan.*layer.*rnn' out.txt && grep -q 'kept for backward' out.txt || { cat out.txt; exit 1; }

python3 - <<'CHECK'
import json

for precision, width in (("f32", 4), ("bf16", 2)):
    with open(precision + ".json") as file:
        step = json.load(file)
    kernels = {kernel["kernel"]: kernel for kernel in step["kernels"]}
    assert len(kernels) == len(step["kernels"])
    # Every kernel loads what it reads, and stores what it writes, at least once; a scan no more than that,
    # forward and backward. M D b of docs/bench.md, for two layers.
    tensor = 2 * 3 * 256 * 64 * width
    scans = {"forward": 0, "backward": 0}
    for kernel in step["kernels"]:
        if "loaded_bytes" not in kernel:
            assert "scatter" in kernel["kernel"], kernel
            continue
        assert kernel["loaded_bytes"] >= kernel["read_bytes"] * 0.999, kernel
        assert kernel["stored_bytes"] >= kernel["written_bytes"] * 0.999, kernel
        if "scan" in kernel["kernel"]:
            scans[kernel["parts"]] += kernel["loaded_bytes"] + kernel["stored_bytes"]
    assert 3 * tensor <= scans["forward"] <= 1.2 * 3 * tensor, (scans, tensor)
    assert 5 * tensor <= scans["backward"] <= 1.2 * 5 * tensor, (scans, tensor)

    reasons = {(passage["from"].split("_")[1], passage["to"].split("_")[1]): passage["why"]
               for passage in step["intermediates"]}
    assert reasons["product", "scan"] in ("what reads it is a kernel of its own", "kept for backward"), reasons
    assert all(passage["why"] and passage["bytes"] > 0 and passage["count"] > 0
               for passage in step["intermediates"])
    kept = {passage["from"] for passage in step["intermediates"] if passage["why"] == "kept for backward"}
    assert kept and all("forward" in kernels[name]["parts"] for name in kept), kept
    assert any(passage["why"].startswith("a gradient") for passage in step["intermediates"])

with open("step.json") as file:
    step = json.load(file)
assert step["floor_flops"] == 2 * (2 * 3 * 2 * 64 * 64 + 2 * 64 * 8), step["floor_flops"]
CHECK
echo passed
