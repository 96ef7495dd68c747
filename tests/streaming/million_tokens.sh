#!/usr/bin/env bash
# A million tokens through models of Shakespeare's size: what a step costs and how exact it is at
# position 1,000 and at position 1,000,000, and a prompt of a million bytes, with its peak memory.
#
#   ./bazelw build //compiler:weir //runtime/runner:weir_run //tests/streaming:long_stream
#   tests/streaming/million_tokens.sh [MODEL...] [--set KEY=VALUE...]     (default: the Shakespeare models)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
weir=$root/bazel-bin/compiler/weir
weir_run=$root/bazel-bin/runtime/runner/weir_run
long_stream=$root/bazel-bin/tests/streaming/long_stream
models=() settings=()
while [ $# -gt 0 ]; do
  if [ "$1" = --set ]; then
    settings+=("$1" "$2")
    shift
  else
    models+=("$1")
  fi
  shift
done
[ ${#models[@]} -gt 0 ] || models=(shakespeare_mingru shakespeare_flash shakespeare_gau shakespeare_transformer_pp)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# A million bytes, 65 different ones.
python3 - > million.txt <<'PY'
state, text = 1, []
for _ in range(1000000):
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    text.append(chr(33 + (state >> 33) % 65))
print("".join(text), end="")
PY
for name in "${models[@]}"; do
  echo "== $name"
  file=$root/models/$name.mlir
  "$weir" compile "$file" "${settings[@]}" --entry=stream --emit=program --precision=f32 --chunk=256 --data=million.txt --out=single.weir
  "$weir" compile "$file" "${settings[@]}" --entry=stream --emit=program --precision=f64 --chunk=0 --out=double.weir
  "$long_stream" --rounds=15 single.weir double.weir
  "$weir_run" single.weir --generate --init --threads=1 --prompt_file=million.txt --tokens=256 > text.txt
done
