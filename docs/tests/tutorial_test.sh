#!/usr/bin/env bash
# Every file of the tutorial is quoted in its page, word for word.
set -eu
cd docs/tutorial
for file in *.mlir; do
  python3 - "$file" <<'PYTHON'
import sys
text = open(sys.argv[1]).read()
if "```mlir\n" + text + "```" not in open("write_a_layer.md").read():
    sys.exit(f"docs/tutorial/write_a_layer.md doesn't show {sys.argv[1]} as it is")
PYTHON
done
