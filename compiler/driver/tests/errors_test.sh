#!/usr/bin/env bash
# Bad input to the driver: each gives exit code 1 and a message that names the place.
# errors_test.sh WEIR TOO_NEW.so
set -uo pipefail
weir=$PWD/$1 too_new=$PWD/$2
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/errors.XXXXXX")
cd "$work" || exit 1
failures=0

# refuses TEXT ARGUMENT...: exit code 1, and TEXT (a basic regular expression) in what it says.
refuses() {
  local text=$1 out code
  shift
  out=$("$weir" "$@" 2>&1 | tr -d '\000'; exit "${PIPESTATUS[0]}")
  code=$?
  if [ $code -ne 1 ]; then
    echo "FAILED: exit code $code, not 1: weir $*"
    echo "$out" | head -n 5
    failures=$((failures + 1))
  elif ! grep -q -- "$text" <<< "$out"; then
    echo "FAILED: weir $*: no '$text' in:"
    echo "$out" | head -n 5
    failures=$((failures + 1))
  fi
}

cat > model.mlir <<'MODEL'
!seq = tensor<?x?x?xf32>
weir.model @copy(%tokens: tensor<?x?xi32>) -> !seq {
  %width = weir.config "width" default 8 : index
  %e = weir.embedding %tokens, "tok" [16, %width] : tensor<?x?xi32> -> !seq
  %h = weir.apply "mingru"(%e) {candidate = "identity"} as "rnn" : !seq
  %l = weir.head %h, "head" [16] : !seq
  weir.return %l : !seq
}
weir.experiment @main model(@copy) {
  weir.task "selective_copy" {length = 8, tokens = 3, vocabulary = 16, batch = 2, eval_sequences = 4}
  weir.optimizer "adamw" {lr = 1.0e-3}
  weir.train {steps = 2}
}
MODEL

# The model's file.
head -c 200 model.mlir > truncated.mlir
refuses 'truncated.mlir:4:' train truncated.mlir
sed 's/weir.embedding/weir.embeding/' model.mlir > mistyped.mlir
refuses 'mistyped.mlir:4:8: error: .*weir.embeding.* is unknown' train mistyped.mlir
sed 's/"mingru"/"mingruu"/' model.mlir > layer.mlir
refuses "layer.mlir:5:8: error: .*no layer named 'mingruu'; known: .*mingru" train layer.mlir
sed 's/candidate =/candidat =/' model.mlir > option.mlir
refuses "option.mlir:5:8: error: .*has no option 'candidat'" train option.mlir
sed 's/"identity"/"identify"/' model.mlir > value.mlir
refuses 'value.mlir:5:8: error: ' train value.mlir
sed 's/"head" \[16\]/"head" [15]/' model.mlir > classes.mlir
refuses 'classes.mlir:.*: error: ' train classes.mlir
sed 's/"selective_copy"/"selective"/' model.mlir > task.mlir
refuses "task.mlir:10:3: error: .*selective.*selective_copy" train task.mlir
sed 's/length = 8/lenght = 8/' model.mlir > setting.mlir
refuses "setting.mlir:10:3: error: .*lenght" train setting.mlir
sed 's/^weir.experiment.*/weir.experiment @main model(@other) {/' model.mlir > other.mlir
refuses "other.mlir:9:1: error: .*'@other'" train other.mlir
: > empty.mlir
refuses 'empty.mlir: holds no weir.model' train empty.mlir
head -c 3000 /dev/urandom > noise.mlir
refuses 'noise.mlir:' train noise.mlir
refuses "'missing.mlir'" train missing.mlir
refuses 'is a folder' train .

# A promise that isn't kept.
cat > linear.mlir <<'MODEL'
!seq = tensor<?x?x?xf32>
weir.model @quadratic(%x: tensor<?x?x8xf32>) -> !seq attributes {linear} {
  %y = weir.apply "attention"(%x) : (tensor<?x?x8xf32>) -> !seq
  weir.return %y : !seq
}
MODEL
refuses "'weir.attention' op takes .* T^2 .*isn't linear" inspect linear.mlir
refuses "called from" inspect linear.mlir

# Flags.
refuses "no flag '--stepps'" train model.mlir --stepps=3
refuses '--steps' train model.mlir --steps=many
refuses '--set width' train model.mlir --set width
refuses "has no option 'widht'; it has width" train model.mlir --set widht=16
refuses "has no setting 'rate'" train model.mlir --set optimizer.rate=1
refuses 'lacks an argument' train
refuses "no use for 'more'" train model.mlir more
refuses "no command 'trian'" trian model.mlir
refuses "'sse'" train model.mlir --isa=sse
refuses "--matrix_chunk can't be 'many'" train model.mlir --matrix_chunk=many
refuses '--precision' run model.mlir --precision=f16 --inputs=x --outputs=y
refuses '--stop-after' compile model.mlir --stop-after=everything
refuses 'needs --out' train model.mlir --resume

# Plugins.
refuses 'missing.so' train model.mlir --plugin=missing.so
refuses "$(basename "$too_new").*version" layers --plugin="$too_new"
echo text > text.so
refuses 'text.so' layers --plugin=text.so
WEIR_PLUGIN_PATH=no_such_folder refuses 'no_such_folder' layers
sed 's/weir.model @copy/weir.layer @copy/; /^weir.experiment/,$d' model.mlir > plugin.mlir
sed -i 's/weir.embedding/weir.embeding/' plugin.mlir
refuses 'plugin.mlir:4:8: error: ' layers --plugin=plugin.mlir

# What has no step form.
cat > length.mlir <<'MODEL'
weir.model @m(%x: tensor<?x?x2xf32>) -> tensor<?x?x2xf32> {
  %t = weir.dim %x, time : tensor<?x?x2xf32>
  %i = arith.index_cast %t : index to i64
  %f = arith.sitofp %i : i64 to f32
  %v = tensor.from_elements %f, %f : tensor<2xf32>
  %b = weir.broadcast %v like %x : tensor<2xf32>, tensor<?x?x2xf32> -> tensor<?x?x2xf32>
  %y = arith.mulf %x, %b : tensor<?x?x2xf32>
  weir.return %y : tensor<?x?x2xf32>
}
MODEL
refuses "length.mlir:2:8: error: 'weir.dim' op asks for the length of the whole sequence" \
  compile length.mlir --entry=stream --stop-after=specialized
sed 's/"mingru"(%e) {[^}]*}/"flash"(%e) {causal = false}/' model.mlir > ahead.mlir
refuses "flash.mlir:.*error: 'weir.chunked_attention' op looks ahead: it has no step form" \
  compile ahead.mlir --entry=stream --stop-after=specialized

# Tensors.
"$weir" init model.mlir --out=params.safetensors > /dev/null || { echo "FAILED: weir init"; exit 1; }
head -c 100 params.safetensors > truncated.safetensors
refuses 'truncated.safetensors: .*truncated' eval model.mlir --checkpoint=truncated.safetensors
head -c 500 /dev/urandom > noise.safetensors
refuses 'noise.safetensors: ' eval model.mlir --checkpoint=noise.safetensors
refuses "'missing.safetensors'" eval model.mlir --checkpoint=missing.safetensors
refuses 'params.safetensors: .*tensor<16x4xf32>.*tensor<16x8xf32>' eval model.mlir \
  --checkpoint=params.safetensors --set width=4
refuses "lacks the model's input 'tokens'" run model.mlir --inputs=params.safetensors --outputs=y
refuses 'truncated.safetensors' run model.mlir --inputs=truncated.safetensors --outputs=y

# Data.
sed 's/weir.task.*/weir.task "text" {context = 8, batch = 2}/' model.mlir > text.mlir
refuses "text.mlir:10:3: error: .*'data'" train text.mlir
refuses 'text.mlir:10:3: error: .*absent.txt' train text.mlir --data=absent.txt
echo short > short.txt
refuses 'short.txt' train text.mlir --data=short.txt

refuses 'metrics.jsonl' compare .
refuses "'nothing'" check nothing

[ $failures -eq 0 ] && echo "all refused"
exit $((failures > 0))
