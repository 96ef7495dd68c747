#!/usr/bin/env bash
# Runs the fuzzer ($1) over its corpus and 5,000 mutations of it.
set -euo pipefail
exec "$1" -runs=5000 -seed=1 -max_len=8192 -timeout=30 "$TEST_TMPDIR" "$(dirname "$0")/corpus"
