#!/usr/bin/env bash
# The process that stands for Weir in the comparison: it runs an entry point as often as it is told, and says how long.
#   worker_test.sh WEIR WORKER SCAN.mlir
set -euo pipefail
weir=$1 worker=$2
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/worker.XXXXXX")
sed 's/@WIDTH@/4/' "$3" > "$work/scan.mlir"
"$weir" compile "$work/scan.mlir" --entry=run --emit=program --batch=2 --length=3 --out="$work/scan.weir"

python3 - "$work" <<'PYTHON'
import json
import struct
import sys


def write(name, shapes):
    """Zeros, as safetensors."""
    header, end = {}, 0
    for tensor, shape in shapes.items():
        begin, end = end, end + 4 * shape[0] * shape[1] * (shape + [1])[2]
        header[tensor] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with open(f"{sys.argv[1]}/{name}.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + bytes(end))


whole = {name: [2, 3, 4] for name in ("a", "b", "cotangent")}
whole |= {name: [2, 4] for name in ("state.h", "cotangent.h")}
write("inputs", whole)
del whole["b"]
write("lacking", whole)
PYTHON

printf '2\n1\n' | "$worker" "$work/scan.weir" gradients "$work/inputs.safetensors" > "$work/said"
python3 - "$work/said" <<'PYTHON'
import json
import sys

about, two, one = map(json.loads, open(sys.argv[1]))
assert about["parameters"] == 0 and about["threads"] >= 1, about
for answer, runs in ((two, 2), (one, 1)):
    assert len(answer["seconds"]) == len(answer["kernels"]) == runs, answer
    assert all(0 < k <= s for k, s in zip(answer["kernels"], answer["seconds"])), answer
    assert answer["loss"] == [] and answer["peak_bytes"] > 1 << 20, answer
PYTHON

if "$worker" "$work/scan.weir" gradients "$work/lacking.safetensors" < /dev/null 2> "$work/error"; then exit 1; fi
grep -qF "there is no tensor 'b'" "$work/error"
if "$worker" "$work/scan.weir" train_step "$work/inputs.safetensors" < /dev/null 2> "$work/error"; then exit 1; fi
grep -qF "no entry point 'train_step'" "$work/error"
