#!/usr/bin/env bash
# From a text to a model that goes on with it: generate_test.sh WEIR WEIR_RUN
set -euo pipefail
weir=$PWD/$1
weir_run=$PWD/$2
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/generate.XXXXXX")
cd "$work"

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

for i in $(seq 300); do echo "abcdefgh"; done > text.txt
cat > model.mlir <<'MODEL'
!seq = tensor<?x?x?xf32>
weir.model @text(%tokens: tensor<?x?xi32>) -> !seq attributes {linear} {
  %e = weir.embedding %tokens, "tok" [9, 16] init(normal(1.0)) : tensor<?x?xi32> -> !seq
  %h = weir.repeat 2 as "layer" (%r = %e) : !seq {
    %y = weir.apply "minrnn_block"(%r) {mlp = false} : !seq
    weir.yield %y : !seq
  }
  %l = weir.head %h, "head" [9] : !seq
  weir.return %l : !seq
}
weir.experiment @main model(@text) seed(5) {
  weir.task "text" {context = 24, batch = 8, validation = 0.1, vocabulary = "characters"}
  weir.optimizer "adamw" {lr = 2.0e-2}
  weir.schedule "constant" {warmup = 3}
  weir.train {steps = 60, clip = 1.0}
}
MODEL
"$weir" train model.mlir --data=text.txt --out=run --quiet > log || fail "training: $(cat log)"
best=run/best.safetensors
model=run/experiment.mlir
generate() { "$weir" generate "$model" --checkpoint="$best" --quiet "$@"; }

# It has learned the alphabet. The data aren't needed.
mv text.txt elsewhere.txt
[ "$(generate --prompt=abc --tokens=16 --temperature=0)" = "$(printf 'defgh\nabcdefgh\na')" ] ||
  fail "greedy: $(generate --prompt=abc --tokens=16 --temperature=0)"

# The same seed gives the same text, whatever the threads; another seed another.
hot="--prompt=abcabc --tokens=40 --temperature=30"
generate $hot --threads=1 > one
generate $hot --threads=2 > two
cmp one two || fail "1 and 2 threads differ"
LC_ALL=C grep -q '[^a-h]' one && fail "bytes that aren't in the vocabulary: $(cat one)"
generate $hot --seed=2 > other
if cmp -s one other; then fail "another seed gives the same text"; fi

# Several at once, in lines with numbers; prompts may differ in length.
generate --prompt=abc --prompt=efghefghefgh --samples=2 --tokens=4 --temperature=0 > several
printf '[1] defg\n[2] defg\n' > expected
grep '^\[[12]\]' several | sort | cmp - expected || fail "samples: $(cat several)"
[ "$(grep -c '^\[[34]\]' several)" -ge 2 ] || fail "samples: $(cat several)"

# In parts, by way of files; a long prompt in prefills; figures at the end.
whole="abcdefghabcdefghabcdefghabcdefgh"
generate --prompt=$whole --tokens=20 --temperature=9 --chunk=0 > all
generate --prompt=$whole --tokens=0 --chunk=0 --save_state=prompt.state
generate --state=prompt.state --tokens=8 --temperature=9 --chunk=0 --save_state=middle.state > part1
generate --state=middle.state --tokens=12 --temperature=9 --chunk=0 > part2
python3 - <<'PY' || fail "a text in parts differs"
read = lambda f: open(f).read()
def unended(text, n):
    return text[:n]
assert unended(read("part1"), 8) + unended(read("part2"), 12) == unended(read("all"), 20), (read("part1"), read("part2"), read("all"))
PY
"$weir" generate "$model" --checkpoint="$best" --prompt=$whole --tokens=20 --temperature=0 --chunk=8 > chunks 2> figures
generate --prompt=$whole --tokens=20 --temperature=0 --chunk=0 | cmp - chunks || fail "prefill and steps differ"
grep -q '^read: 32 tokens in .* tokens/s$' figures || fail "$(cat figures)"
grep -q '^generated: 20 tokens in .* tokens/s$' figures || fail "$(cat figures)"
grep -q '^position 51; .* threads\?, .*; memory: .* at most' figures || fail "$(cat figures)"

# The same, compiled once, without a compiler.
"$weir" compile "$model" --entry=stream --emit=program --checkpoint="$best" --batch=2 --chunk=0 --out=text.weir > /dev/null
"$weir_run" text.weir --generate --checkpoint="$best" --prompt=abc --prompt=bcd --tokens=30 --temperature=9 --quiet > by_program
generate --prompt=abc --prompt=bcd --tokens=30 --temperature=9 --chunk=0 | cmp - by_program || fail "weir_run gives another text"
"$weir_run" text.weir --generate --init --prompt=abc --prompt=bcd --tokens=3 --quiet > random_text || fail "random parameters"
if "$weir_run" text.weir --generate --checkpoint="$best" --prompt=abc 2> error; then fail "one prompt for two rows"; fi
grep -q 'the program is for 2 sequences at once, and there is 1' error || fail "$(cat error)"

# A checkpoint that doesn't say what its tokens stand for: the data say it.
python3 - <<'PY'
import json, struct
raw = open("run/best.safetensors", "rb").read()
size = struct.unpack("<Q", raw[:8])[0]
header = json.loads(raw[8:8 + size])
del header["__metadata__"]["text.bytes"]
text = json.dumps(header).encode()
open("old.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + raw[8 + size:])
PY
expect_error() {
  local message=$1
  shift
  if "$@" > /dev/null 2> error; then fail "no error: $message"; fi
  grep -qF -- "$message" error || fail "'$message' is not in: $(cat error)"
}
expect_error "old.safetensors: doesn't say which byte each token stands for, as checkpoints of the task 'text' do; --data=FILE" \
  "$weir" generate "$model" --checkpoint=old.safetensors --prompt=abc
"$weir" generate "$model" --checkpoint=old.safetensors --data=elsewhere.txt --prompt=abc --tokens=5 --temperature=0 --quiet > by_data
[ "$(cat by_data)" = "defgh" ] || fail "with --data: $(cat by_data)"

expect_error "byte 2 of the text, 'X', isn't among the 9 bytes that the model knows" generate --prompt=abXc
expect_error "there is nothing to go on from" generate
expect_error "top_p must be above 0 and at most 1, not 0" generate --prompt=a --top_p=0
expect_error "--save_state needs prompts of one length" generate --prompt=a --prompt=ab --save_state=x.state
cat > features.mlir <<'MODEL'
!seq = tensor<?x?x?xf32>
weir.model @features(%x: tensor<?x?x4xf32>) -> tensor<?x?x4xf32> {
  %y = weir.linear %x, "out" [4] : tensor<?x?x4xf32>
  weir.return %y : tensor<?x?x4xf32>
}
MODEL
expect_error "the model doesn't read text" "$weir" generate features.mlir --prompt=a
cat > ahead.mlir <<'MODEL'
!seq = tensor<?x?x?xf32>
weir.model @ahead(%tokens: tensor<?x?xi32>) -> !seq {
  %e = weir.embedding %tokens, "tok" [9, 16] init(normal(1.0)) : tensor<?x?xi32> -> !seq
  %h = weir.apply "gau"(%e) {causal = false} : !seq
  %l = weir.head %h, "head" [9] : !seq
  weir.return %l : !seq
}
MODEL
expect_error "looks ahead: it has no step form" "$weir" generate ahead.mlir --checkpoint="$best" --prompt=a
"$weir" inspect ahead.mlir > inspected
grep -q 'no step form:' inspected && grep -q 'looks ahead' inspected || fail "inspect: $(cat inspected)"
"$weir" inspect "$model" --nomemory --batch=1 --length=8 > inspected
grep -q 'the same at every position' inspected || fail "inspect: $(cat inspected)"

# Softmax attention keeps a cache of the last tokens; what is said of it is what is there.
sed 's/minrnn_block"(%r) {mlp = false}/attention"(%r) {heads = 2}/; s/, attributes {linear}//; s/ attributes {linear}//' model.mlir > attention.mlir
"$weir" inspect attention.mlir --nomemory --batch=1 --length=8 --context=12 > inspected
grep -q 'a cache of the last tokens: .* for each of 12' inspected || fail "inspect: $(cat inspected)"
grep -q 'attention looks back on 12 tokens at most' inspected || fail "inspect: $(cat inspected)"
"$weir" generate attention.mlir --data=elsewhere.txt --context=12 --prompt=abcdefgh --tokens=40 > cached 2> figures
[ "$(wc -c < cached)" -ge 40 ] || fail "attention: $(cat figures)"
grep -q 'attention looks back on 12 tokens at most' figures || fail "attention: $(cat figures)"
bytes=$(sed -n 's/.* total .*(\([0-9]*\) bytes).*/\1/p' inspected)
"$weir" generate attention.mlir --data=elsewhere.txt --context=12 --prompt=abc --tokens=0 --save_state=attention.state
python3 - "$bytes" <<'PY' || fail "the state's bytes aren't those of weir inspect"
import json, struct, sys
raw = open("attention.state", "rb").read()
size = struct.unpack("<Q", raw[:8])[0]
assert len(raw) - 8 - size == int(sys.argv[1]), (len(raw) - 8 - size, sys.argv[1])
PY
echo passed
