#!/usr/bin/env bash
# Weir against PyTorch and JAX on this machine: docs/comparison.md. Usage, from anywhere: tests/bench/run.sh [SECTION...] [OPTIONS]
# The first run makes a virtual environment with the newest PyTorch and JAX (several GB) in WEIR_BENCH_VENV.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
root=$(dirname "$(dirname "$here")")
venv=${WEIR_BENCH_VENV:-$HOME/.cache/weir/bench-venv}
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --upgrade -r "$here/requirements.txt"
fi
if [ -z "${WEIR_BENCH_BIN:-}" ]; then
  (cd "$root" && ./bazelw build //compiler:weir //tests/bench:worker)
  WEIR_BENCH_BIN=$root/bazel-bin
fi
exec "$venv/bin/python" "$here/compare.py" --weir="$WEIR_BENCH_BIN/compiler/weir" \
  --worker="$WEIR_BENCH_BIN/tests/bench/worker" "$@"
