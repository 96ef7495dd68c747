#!/usr/bin/env bash
# Runs a golden case: golden_test.sh WEIR GOLDEN CASE.mlir CASE.safetensors [TOLERANCE]
set -euo pipefail
weir=$1 golden=$2 model=$3 tensors=$4 tolerance=${5:-1e-5}
out=${TEST_TMPDIR:-$(mktemp -d)}
"$golden" split "$tensors" --params="$out/params.safetensors" --inputs="$out/inputs.safetensors"
"$weir" run "$model" --params="$out/params.safetensors" --inputs="$out/inputs.safetensors" \
  --outputs="$out/outputs.safetensors" --gradients="$out/gradients.safetensors"
"$golden" compare "$tensors" --outputs="$out/outputs.safetensors" \
  --gradients="$out/gradients.safetensors" --tolerance="$tolerance"
