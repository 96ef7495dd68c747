#!/usr/bin/env bash
# The manual in docs/manual is what TableGen says.
set -eu
diff -r "$1" docs/manual || {
  echo "docs/manual is out of date; write it anew with ./bazelw run //docs:update"
  exit 1
}
