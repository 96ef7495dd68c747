#!/usr/bin/env bash
# Formats every C++ file of the repository in place; with arguments, hands those to clang-format instead of -i.
set -eu
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
[ $# -gt 0 ] || set -- -i
find . \( -name '.git' -o -name 'bazel-*' \) -prune -o -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cc' -o -name '*.c' \) -print0 |
  xargs -0 -r -n 8 -P "$(nproc)" /usr/lib/llvm-22/bin/clang-format --style=file "$@"
