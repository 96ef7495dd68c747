#!/bin/sh
# A compiled program runs without a compiler: the runner must not need LLVM's or MLIR's libraries.
libraries=$(ldd "$1") || exit 1
if echo "$libraries" | grep -E 'libLLVM|libMLIR|not found'; then
  echo "the runner links the compiler, or lacks a library" >&2
  exit 1
fi
echo "$libraries" | grep -q libomp || { echo "the runner lacks the OpenMP runtime" >&2; exit 1; }
