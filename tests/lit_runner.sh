#!/usr/bin/env bash
# Runs one test file with lit: lit_runner.sh FILE TOOL...  (see lit.bzl)
set -eu
root=$PWD
file=$1
shift
export WEIR_LIT_PATH=/usr/lib/llvm-22/bin
for tool in "$@"; do
  WEIR_LIT_PATH=$root/$(dirname "$tool"):$WEIR_LIT_PATH
done
export WEIR_LIT_ROOT=$root
work=$(mktemp -d "${TEST_TMPDIR:-${TMPDIR:-/tmp}}/lit.XXXXXX")
trap 'rm -rf "$work"' EXIT
# lit looks for its configuration in the folders above the test, so the test's folder is linked below it.
cp "$root/tests/lit.cfg.py" "$work/"
ln -s "$root/$(dirname "$file")" "$work/suite"
/usr/lib/llvm-22/bin/lit -vv --no-progress-bar --order=lexical -j1 "$work/suite/$(basename "$file")"
