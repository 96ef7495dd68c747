#!/usr/bin/env bash
# The rules that clang-format can't see (check.py), on the whole source tree; and that they catch what they should.
set -eu
root=$(dirname "$(readlink -f WORKSPACE)")
check=$PWD/tests/style/check.py

bad=$(mktemp -d "${TEST_TMPDIR:-/tmp}/style.XXXXXX")
mkdir -p "$bad/runtime"
printf '#include "mlir/IR/Value.h"\nvoid f() { exit(1); }  \n' > "$bad/runtime/bad.h"
if output=$(python3 "$check" "$bad"); then
  echo "check.py passed a file full of violations" && exit 1
fi
for rule in 'bad.h:1: runtime/ depends' 'bad.h:2: ending the process' 'bad.h:2: trailing space' 'bad.h:1: include guard'; do
  grep -qF "$rule" <<< "$output" || { echo "check.py missed: $rule" && exit 1; }
done

python3 "$check" "$root"
