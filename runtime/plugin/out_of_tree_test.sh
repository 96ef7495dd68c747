#!/usr/bin/env bash
# Builds a layer as a shared library the way a stranger would: in an empty folder that holds the public header,
# with the system's compiler and nothing of Bazel or Weir. Then loads it.
#   out_of_tree_test.sh HEADER LAYER.mlir CONFORMANCE_TEST
set -euo pipefail
header=$PWD/$1 layer=$PWD/$2 conformance=$PWD/$3
name=$(basename "$layer" .mlir)
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/out_of_tree.XXXXXX")
cp "$header" "$work/"
cd "$work"

# The header stands alone, in C and in C++.
echo '#include "weir_plugin.h"' > alone.c
clang=$(command -v clang-22 || command -v clang || command -v cc)
"$clang" -std=c99 -pedantic -Wall -Wextra -Werror -fsyntax-only -I. alone.c
"$clang" -x c++ -std=c++11 -Wall -Wextra -Werror -fsyntax-only -I. alone.c

# The layer's text as a C string, a literal per line.
{
  echo '#include "weir_plugin.h"'
  echo 'static const char ir[] ='
  sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$/\\n"/' "$layer"
  cat << END
    "";
static const WeirLayer layer = {sizeof(WeirLayer), "$name", ir, NULL};
static const WeirLayer* const layers[] = {&layer};
static const WeirPlugin plugin = {sizeof(WeirPlugin), WEIR_PLUGIN_VERSION, "stranger", "0.1",
    "Built out of tree.", layers, 1, NULL, 0, NULL, 0};
WEIR_PLUGIN_EXPORT const WeirPlugin* weir_plugin_query(uint32_t host_max_version) {
  return host_max_version >= WEIR_PLUGIN_VERSION ? &plugin : NULL;
}
END
} > stranger.c
"$clang" -std=c99 -Wall -Werror -O2 -shared -fPIC -fvisibility=hidden -I. stranger.c -o stranger.so

"$conformance" stranger.so | tee report
grep -qF "stranger.so: ok: layer '$name': found by its name" report
# The doc came along in the text.
if grep -q advice report; then exit 1; fi

# What a truncated download looks like.
head -c 3000 stranger.so > half.so
if "$conformance" half.so > report; then exit 1; fi
grep -q 'half.so: ERROR: half.so: is truncated' report
