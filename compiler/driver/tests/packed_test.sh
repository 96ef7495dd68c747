#!/usr/bin/env bash
# Packed documents from the task to the loss, and through weir run: packed_test.sh WEIR
set -euo pipefail
weir=$PWD/$1
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/packed.XXXXXX")
cd "$work"

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

cat > model.mlir <<'MODEL'
!seq = tensor<?x?x?xf32>
weir.model @text(%tokens: tensor<?x?xi32>) -> !seq {
  %e = weir.embedding %tokens, "tok" [12, 8] init(normal(1.0)) : tensor<?x?xi32> -> !seq
  %a = weir.apply "minrnn_block"(%e) as "a" : !seq
  %b = weir.apply "flash"(%a) {head = 6, chunk = 4} as "b" : !seq
  %c = weir.apply "transformer_pp"(%b) {heads = 2} as "c" : !seq
  %l = weir.head %c, "head" [12] init(linear) : !seq
  weir.return %l : !seq
}
weir.experiment @main model(@text) precision(f64) seed(5) {
  weir.task "tensors" {data = "packed.safetensors", vocabulary = 12, batch = 3, validation = 0.5}
  weir.optimizer "adamw" {lr = 1.0e-2}
  weir.train {steps = 6, clip = 1.0, eval_every = 3}
}
MODEL

# Documents of whole chunks of 4, so that each can be alone in a row: packed in rows of 24, and one to
# a row behind which nothing is. Targets are the next token of the document.
cat > data.py <<'PY'
import json, random, struct

def save(path, **tensors):
    header, data = {}, b""
    for name, rows in tensors.items():
        packed = struct.pack("<%di" % (len(rows) * len(rows[0])), *sum(rows, []))
        header[name] = {"dtype": "I32", "shape": [len(rows), len(rows[0])],
                        "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)

random.seed(3)
rows, alone = {"tokens": [], "targets": [], "segments": []}, {"tokens": [], "targets": []}
for row in range(12):
    tokens, targets, segments = [], [], []
    for number, size in enumerate(random.choice([[4, 12, 8], [8, 8, 8], [16, 4, 4], [20, 4]])):
        document = [random.randrange(12) for _ in range(size)]
        following = document[1:] + [-1]
        tokens += document
        targets += following
        segments += [7 - 3 * number] * size
        if row >= 6:
            alone["tokens"].append(document + [0] * (24 - size))
            alone["targets"].append(following + [-1] * (24 - size))
    for name, values in (("tokens", tokens), ("targets", targets), ("segments", segments)):
        rows[name].append(values)
save("packed.safetensors", **rows)
save("alone.safetensors", **{name: values + values for name, values in alone.items()})
save("x.safetensors", tokens=rows["tokens"][:2], segments=rows["segments"][:2])
rows["segments"][7][20:] = [7] * 4
save("back.safetensors", **rows)
save("back_x.safetensors", tokens=rows["tokens"][6:8], segments=rows["segments"][6:8])
PY
python3 data.py

"$weir" train model.mlir --out=run --quiet > log || fail "train: $(cat log)"
"$weir" train model.mlir --out=accumulated --set train.accumulate=2 --quiet > log || fail "accumulate: $(cat log)"
"$weir" eval model.mlir --checkpoint=run/best.safetensors > packed.txt
"$weir" eval model.mlir --checkpoint=run/best.safetensors --data=alone.safetensors > alone.txt
"$weir" eval model.mlir --checkpoint=run/best.safetensors --set 'task.segments="tokens"' > leaky.txt 2>&1 &&
  fail "tokens are no segment ids"
grep -q 'comes back' leaky.txt || fail "no reason: $(cat leaky.txt)"
for what in loss accuracy targets; do
  [ "$(grep "^$what " packed.txt)" = "$(grep "^$what " alone.txt)" ] ||
    fail "packed: $(cat packed.txt); alone: $(cat alone.txt)"
done

# An id that comes back is refused before anything runs.
"$weir" train model.mlir --data=back.safetensors --quiet > log 2>&1 && fail "an id may come back"
grep -q 'row 7: the segment id 7 at position 20 comes back' log || fail "train: $(cat log)"
"$weir" run model.mlir --inputs=back_x.safetensors --outputs=y.safetensors > log 2>&1 && fail "weir run: an id may come back"
grep -q 'back_x.safetensors: row 1: the segment id 7 at position 20 comes back' log || fail "run: $(cat log)"

"$weir" run model.mlir --inputs=x.safetensors --outputs=y.safetensors --gradients=g.safetensors
[ -s y.safetensors ] && [ -s g.safetensors ] || fail "weir run"
"$weir" compile model.mlir --stop-after=planned > planned.txt
grep -q 'weir.input = "segments"' planned.txt || fail "the plan has no segments"
"$weir" compile model.mlir --emit=program --out=model.weir > /dev/null

# A text in documents.
python3 - <<'PY'
import random
random.seed(1)
open("text.txt", "w").write("".join(
    "".join(random.choice("abcdefgh ") for _ in range(random.randint(1, 90))) + "\n\n" for _ in range(80)))
PY
sed 's/weir.task.*/weir.task "text" {data = "text.txt", context = 60, batch = 4, documents = "\\n\\n"}/' model.mlir > text.mlir
"$weir" train text.mlir --out=text --quiet > log || fail "text: $(cat log)"
"$weir" train text.mlir --out=text1 --set 'task.packing="order"' --threads=1 --quiet > log || fail "text: $(cat log)"
"$weir" layers --tasks | grep -q '^text' || fail "weir layers --tasks"
echo passed
