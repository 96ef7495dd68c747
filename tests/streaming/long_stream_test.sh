#!/usr/bin/env bash
# Streams far from their beginning, of small models: long_stream_test.sh WEIR LONG_STREAM
# By hand, a million tokens through the Shakespeare models: million_tokens.sh.
set -euo pipefail
weir=$PWD/$1
long_stream=$PWD/$2
cd "$(mktemp -d "${TEST_TMPDIR:-/tmp}/long.XXXXXX")"

model() {
  cat <<MODEL
!seq = tensor<?x?x?xf32>
weir.model @text(%tokens: tensor<?x?xi32>) -> !seq attributes {linear} {
  %e = weir.embedding %tokens, "tok" [12, 16] init(normal(1.0)) : tensor<?x?xi32> -> !seq
  %p = weir.scaled_sin %e, "pos" : !seq
  %h = weir.repeat 2 as "layer" (%r = %p) : !seq {
    %y = $1 : !seq
    weir.yield %y : !seq
  }
  %l = weir.head %h, "head" [12] : !seq
  weir.return %l : !seq
}
MODEL
}
model 'weir.apply "minrnn_block"(%r) {mlp = false}' > mingru.mlir
model 'weir.apply "flash"(%r) {chunk = 8, head = 8}' > flash.mlir
for name in mingru flash; do
  "$weir" compile $name.mlir --entry=stream --emit=program --precision=f32 --chunk=32 --out=$name.f32
  "$weir" compile $name.mlir --entry=stream --emit=program --precision=f64 --chunk=0 --out=$name.f64
  "$long_stream" --near=100 --far=20000 --chunk=16 --rounds=3 --threads=1 $name.f32 $name.f64
done
echo passed
