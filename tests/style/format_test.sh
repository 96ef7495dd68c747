#!/usr/bin/env bash
# Every C++ file is as clang-format would write it. To format them all: tests/style/format.sh
set -eu
exec "$(dirname "$(readlink -f WORKSPACE)")/tests/style/format.sh" --dry-run --Werror
