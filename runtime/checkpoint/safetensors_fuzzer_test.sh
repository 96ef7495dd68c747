#!/bin/sh
# A short, repeatable run of the fuzzer, from the files given.
fuzzer=$1
shift
corpus=$TEST_TMPDIR/corpus
mkdir -p "$corpus"
cp -L "$@" "$corpus"
exec "$fuzzer" -runs=20000 -seed=1 -max_len=1024 "$corpus"
