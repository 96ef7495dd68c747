#!/usr/bin/env bash
# What was compiled before: cache_test.sh WEIR
set -euo pipefail
weir=$PWD/$1
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/cache.XXXXXX")
cd "$work"
export WEIR_CACHE=$work/cache

fail() {
  echo "FAILED: $*" >&2
  exit 1
}
# says TEXT ARGUMENT...: weir ARGUMENT... succeeds, and the text is in what it prints.
says() {
  local text=$1
  shift
  "$weir" "$@" > out.txt 2> errors.txt || fail "weir $*: $(cat errors.txt)"
  cat out.txt errors.txt > all.txt
  grep -qE -- "$text" all.txt || fail "weir $*: no '$text' in: $(head -c 2000 all.txt)"
}
compiled='[0-9]+ kernels compiled'
cached='[0-9]+ kernels from the cache'
partly='[0-9]+ kernels compiled .*[0-9]+ from the cache'

cat > layer.mlir <<'LAYER'
!seq = tensor<?x?x?xf32>
weir.layer @mine(%x: !seq) -> !seq {
  %y = weir.sigmoid %x : !seq
  weir.return %y : !seq
}
LAYER
cat > model.mlir <<'MODEL'
!seq = tensor<?x?x?xf32>
weir.model @copy(%tokens: tensor<?x?xi32>) -> !seq attributes {linear} {
  %width = weir.config "width" default 4 : index
  %e = weir.embedding %tokens, "tok" [8, %width] : tensor<?x?xi32> -> !seq
  %h = weir.apply "mingru"(%e) as "rnn" : !seq
  %m = weir.apply "mine"(%h) : !seq
  %l = weir.head %m, "head" [8] : !seq
  weir.return %l : !seq
}
weir.experiment @main model(@copy) {
  weir.task "selective_copy" {length = 10, tokens = 3, vocabulary = 8, batch = 6, eval_sequences = 16}
  weir.optimizer "adamw" {lr = 1.0e-2}
  weir.train {steps = 5}
}
MODEL
emit=(compile model.mlir --emit=program --plugin=layer.mlir --isa=avx2)

says "$compiled" "${emit[@]}" --out=uncached.weir --cache=off
[ ! -e cache ] || fail "--cache=off made a cache"
says "$compiled" "${emit[@]}" --out=first.weir
says "$cached" "${emit[@]}" --out=second.weir
cmp uncached.weir first.weir
cmp first.weir second.weir

# Whatever the program follows from is part of its key, and what it doesn't follow from isn't.
says "$compiled" "${emit[@]}" --out=other.weir --set width=5
says "$partly" "${emit[@]}" --out=other.weir --set optimizer.lr=2e-2
says "$partly" "${emit[@]}" --out=other.weir --set task.batch=7
says "$compiled" "${emit[@]}" --out=other.weir --set precision=f64
says "$compiled" compile model.mlir --emit=program --plugin=layer.mlir --isa=avx512 --out=other.weir
says "$cached" "${emit[@]}" --out=other.weir --set seed=2
says "$cached" "${emit[@]}" --out=other.weir --set task.eval_sequences=8
says "$cached" "${emit[@]}" --out=other.weir --cache="$work/cache"
says "$compiled" "${emit[@]}" --out=other.weir --cache="$work/another"
sed -i 's/weir.sigmoid %x/weir.silu %x/' layer.mlir
says "$partly" "${emit[@]}" --out=other.weir
cmp -s first.weir other.weir && fail "a changed layer made the same program"
sed -i 's/weir.silu %x/weir.sigmoid %x/; 1i // A comment.' layer.mlir
says "$cached" "${emit[@]}" --out=other.weir
cmp first.weir other.weir
# A program says which experiment it is of, wherever it comes from.
says "$cached" "${emit[@]}" --out=other.weir --set seed=3
grep -q 'seed(3)' other.weir || fail "the program of seed 3 says another seed"

# The same numbers from both.
train=(train model.mlir --plugin=layer.mlir --isa=avx2 --threads=1)
says "$compiled" "${train[@]}" --out=off --cache=off
says "$cached" "${train[@]}" --out=on
diff <(grep -o '"loss":[^,]*' off/metrics.jsonl) <(grep -o '"loss":[^,]*' on/metrics.jsonl) || fail "other losses"
[ -s on/metrics.jsonl ] || fail "no metrics"

# A stream's program and what it says of itself.
stream=(compile model.mlir --emit=program --plugin=layer.mlir --isa=avx2 --entry=stream --chunk=4)
says "$compiled" "${stream[@]}" --out=stream.weir --cache=off
says "$compiled" "${stream[@]}" --out=stream1.weir
says "$cached" "${stream[@]}" --out=stream2.weir
cmp stream.weir stream1.weir
cmp stream.weir stream2.weir
says "$compiled" "${stream[@]}" --out=stream3.weir --chunk=5

# Damage: compiled again, with a warning.
find cache/entries -type f | while read -r file; do truncate -s -1 "$file"; done
says 'warning: .*damaged' "${emit[@]}" --out=other.weir
grep -qE "$compiled" all.txt || fail "a damaged program was used"
cmp first.weir other.weir
says "$cached" "${emit[@]}" --out=other.weir

# Nowhere to write.
says 'warning: nothing is kept' "${emit[@]}" --out=other.weir --cache=model.mlir/cache
[ "$(grep -c warning all.txt)" -eq 1 ] || fail "more than one warning: $(cat all.txt)"
cmp first.weir other.weir

# Several processes at once, none of which finds anything at first.
for i in 1 2 3; do
  "$weir" "${emit[@]}" --out=process$i.weir --cache="$work/shared" > process$i.txt 2>&1 &
done
wait
for i in 1 2 3; do
  cmp first.weir process$i.weir || fail "$(cat process$i.txt)"
  grep -q warning process$i.txt && fail "$(cat process$i.txt)"
done
says "$cached" "${emit[@]}" --out=other.weir --cache="$work/shared"
cmp first.weir other.weir

echo ok
