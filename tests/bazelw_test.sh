#!/usr/bin/env bash
# bazelw with stand-ins for the system's commands: what it installs, when, and what it says.
set -eu
bazelw=$(readlink -f bazelw)
dir=$(mktemp -d "${TEST_TMPDIR:-/tmp}/bazelw.XXXXXX")
mkdir "$dir/bin"
export CALLS=$dir/calls INSTALLED=$dir/installed
stub() { printf '#!/bin/bash\n%s\n' "$2" > "$dir/bin/$1" && chmod +x "$dir/bin/$1"; }
stub dpkg-query 'for p in "${@:3}"; do [ -e "$INSTALLED" ] && echo -n "$p:installed "; [ "$p" = clang-22 ] && echo -n "$p:installed "; done; true'
stub apt-get 'echo "apt-get $*" >> "$CALLS"; if [ "$1" = install ]; then touch "$INSTALLED"; [ -z "${FAIL-}" ] || { echo "E: broken"; exit 100; }; fi'
stub apt-cache 'exit 0'
stub id 'echo "${UID_OF_USER:-0}"'
stub bazel 'echo "bazel $*" >> "$CALLS"; echo "from $WEIR_WORKING_DIRECTORY in $PWD" >> "$CALLS"'
export PATH=$dir/bin:/usr/bin:/bin WEIR_BAZEL=$dir/bin/bazel WEIR_OS_RELEASE=$dir/os-release
printf 'ID=debian\nVERSION_ID="12"\n' > "$WEIR_OS_RELEASE"
fail() { echo "FAIL: $*" && cat "$CALLS" "$dir/output" && exit 1; }
run() { : > "$CALLS"; status=0; (cd "$dir" && "$bazelw" "$@") > "$dir/output" 2>&1 || status=$?; }

run test //...
[ "$status" = 0 ] || fail "status $status"
[ "$(sed -n 1p "$CALLS")" = "apt-get update -qq" ] || fail "no update first"
sed -n 2p "$CALLS" | grep -q '^apt-get install .*libmlir-22-dev' || fail "no install"
if sed -n 2p "$CALLS" | grep -q clang-22; then fail "installed what was there"; fi
[ "$(sed -n 3p "$CALLS")" = "bazel test //..." ] || fail "arguments"
grep -q 'installing with apt-get: bazel-bootstrap ' "$dir/output" || fail "silent about installing"

run run //compiler:weir -- 'a b'
[ "$status" = 0 ] && [ ! -s "$dir/output" ] || fail "not silent when nothing is missing"
[ "$(sed -n 1p "$CALLS")" = "bazel run //compiler:weir -- a b" ] || fail "arguments"
[ "$(sed -n 2p "$CALLS")" = "from $dir in $(dirname "$bazelw")" ] || fail "directories"

rm "$INSTALLED"
FAIL=1 run test //...
[ "$status" = 1 ] && grep -q 'E: broken' "$dir/output" || fail "a failed installation"

rm "$INSTALLED"
mkdir "$dir/tools"
for tool in bash env sed tr dirname readlink head mktemp cat rm; do ln -s "$(command -v "$tool")" "$dir/tools/$tool"; done
UID_OF_USER=1000 PATH=$dir/bin:$dir/tools run test //...
[ "$status" = 1 ] && grep -q 'need root to install: apt-get install' "$dir/output" || fail "neither root nor sudo"

printf 'ID=ubuntu\nVERSION_ID="24.04"\n' > "$WEIR_OS_RELEASE"
run test //...
[ "$status" = 1 ] && [ ! -s "$CALLS" ] || fail "another system"
grep -q "builds on Debian 12 .* this system is 'ubuntu 24.04'" "$dir/output" || fail "another system's sentence"
echo ok
