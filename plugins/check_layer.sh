#!/usr/bin/env bash
# `weir check` as a test: check_layer.sh WEIR ARGUMENT...
set -euo pipefail
weir=$1
shift
exec "$weir" check "$@"
