#!/bin/sh
# weir_test.sh WRITE_TOY_PROGRAM TEST [ARGUMENT...]: makes the files that a test in C loads, and runs it in their folder.
set -eu
write=$1 test=$PWD/$2
shift 2
for argument; do
  set -- "$@" "$PWD/$argument"
  shift
done
"$write" "$TEST_TMPDIR"
cd "$TEST_TMPDIR"
exec "$test" "$@"
