#!/usr/bin/env bash
# What the driver says about models without training them: tools_test.sh WEIR
set -euo pipefail
weir=$PWD/$1
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/tools.XXXXXX")
cd "$work"

fail() {
  echo "FAILED: $*" >&2
  exit 1
}
# says TEXT ARGUMENT...
says() {
  local text=$1
  shift
  "$weir" "$@" > out.txt 2> errors.txt || fail "weir $*: $(cat errors.txt)"
  grep -q -- "$text" out.txt || fail "weir $*: no '$text' in: $(head -c 2000 out.txt)"
}

cat > model.mlir <<'MODEL'
!seq = tensor<?x?x?xf32>
weir.model @copy(%tokens: tensor<?x?xi32>) -> !seq attributes {linear} {
  %e = weir.embedding %tokens, "tok" [8, 4] : tensor<?x?xi32> -> !seq
  %h = weir.apply "mingru"(%e) as "rnn" : !seq
  %l = weir.head %h, "head" [8] : !seq
  weir.return %l : !seq
}
weir.experiment @main model(@copy) {
  weir.task "selective_copy" {length = 10, tokens = 3, vocabulary = 8, batch = 6, eval_sequences = 16}
  weir.optimizer "adamw" {lr = 1.0e-2}
  weir.train {steps = 40}
}
MODEL

says 'weir train' help
says '--resume' train --help
for command in train eval init run generate compile inspect layers check compare bench; do
  says "^  weir $command" help $command
done

"$weir" layers > layers.txt
for layer in mingru gru causal_conv minrnn_block gau flash attention glu mlp transformer; do
  [ "$(grep -c "^$layer " layers.txt)" -eq 1 ] || fail "weir layers: $layer"
done
grep -q '^mingru .*mingru.mlir.*hidden : index = feature.*"positive"' layers.txt || fail "mingru's options"
says '^selective_copy' layers --tasks
# Runfiles that an older build left beside the executable don't hide those of the test that runs it.
cp "$weir" old && chmod u+w old && mkdir -p old.runfiles/weir/plugins
cat > old.runfiles/weir/plugins/removed.mlir <<'MODEL'
weir.layer @removed(%x: tensor<?x?x?xf32>) -> tensor<?x?x?xf32> {
  weir.return %x : tensor<?x?x?xf32>
}
MODEL
./old layers | cmp -s - layers.txt || fail "plugins of stale runfiles: $(./old layers | cut -d' ' -f1 | tr '\n' ' ')"
(unset RUNFILES_DIR TEST_SRCDIR && ./old layers) | grep -q '^removed ' || fail "a program's own runfiles"

says 'parameters: 104 in 6 tensors' inspect model.mlir
says '^  weir.scan .* 1$' inspect model.mlir --nomemory
says 'train_step .*activations' inspect model.mlir
says 'FLOPs = .*B T$' inspect model.mlir --nomemory --batch=1 --length=100

says 'weir.scan' compile model.mlir --stop-after=expanded
says 'tensor<6x13x4xf32>' compile model.mlir --stop-after=specialized
says 'linalg.generic' compile model.mlir --stop-after=sequence
says 'weir.residual' compile model.mlir --stop-after=differentiated
says '@train_step' compile model.mlir --stop-after=optimized
says 'weir.launch' compile model.mlir --stop-after=dispatched
says 'vector' compile model.mlir --stop-after=kernels --isa=avx2
says 'define hidden void' compile model.mlir --stop-after=llvm --isa=avx2
says 'vfmadd.*ymm' compile model.mlir --stop-after=asm --isa=avx2
says '@gradients' compile model.mlir --stop-after=optimized --entry=run --length=7
says 'kernels compiled' compile model.mlir --emit=program --isa=avx2,avx512 --out=model.weir

says ' 0 failed' check mingru --set hidden=5 --set arithmetic=log --only=gradients,fused --length=7
says ' 0 failed' check model.mlir --only=gradients --length=5
cat > twice.mlir <<'MODEL'
!seq = tensor<?x?x?xf32>
weir.layer @twice(%x: !seq) -> !seq attributes {doc = "x + sigmoid(x)"} {
  %s = weir.sigmoid %x : !seq
  %y = arith.addf %x, %s : !seq
  weir.return %y : !seq
}
MODEL
says ' 0 failed' check twice.mlir --only=gradients
if "$weir" check twice.mlir --device=abacus > out.txt 2>&1; then fail "weir check --device=abacus"; fi
grep -q -- "--device can't be 'abacus': there is cpu" out.txt || fail "--device=abacus: $(cat out.txt)"
if "$weir" check twice.mlir --only=taste > out.txt 2>&1; then fail "weir check --only=taste"; fi
grep -q 'there are text, ' out.txt || fail "--only=taste: $(cat out.txt)"
sed 's/arith.addf %x, %s/arith.divf %z, %z/; s/%s = weir.sigmoid %x/%z = arith.subf %x, %x/' twice.mlir > zero.mlir
if "$weir" check zero.mlir --only=gradients > out.txt 2>&1; then fail "0 / 0 passed weir check"; fi
grep -q 'FAIL  gradients  length 1 .*no finite number' out.txt && grep -q 'weir check twice --plugin=zero.mlir --only=gradients --batch=1 --length=1 --features=1' out.txt || fail "weir check: $(cat out.txt)"
says '^twice  twice.mlir' layers --plugin=twice.mlir
echo passed
