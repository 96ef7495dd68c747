#!/usr/bin/env bash
# library_test.sh LIBRARY HEADER: the library exports what the header declares and no more, and needs no compiler.
set -euo pipefail
libraries=$(ldd "$1")
if echo "$libraries" | grep -E 'libLLVM|libMLIR|not found'; then
  echo "the library links the compiler, or lacks a library" >&2
  exit 1
fi
declared=$(grep -oE '^WEIR_API .*' "$2" | grep -oE 'weir_[a-z_]+\(' | tr -d '(' | sort)
exported=$(nm -D --defined-only "$1" | awk '{print $3}' | sort)
diff <(echo "$declared") <(echo "$exported")
