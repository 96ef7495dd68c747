#!/usr/bin/env python3
"""Checks every file of the repository against the rules below. Usage: check.py ROOT

What clang-format can't see: which room may include which, what may not be called, how long a file may be.
Prints `file:line: rule` for each violation.
"""

import os
import re
import shutil
import subprocess
import sys

CPP = (".h", ".cpp", ".cc", ".c")
TEXT = CPP + (".td", ".mlir", ".md", ".bzl", ".py", ".sh", ".BUILD")
MAX_LINES = 800
# Headers that stand alone outside the repository, where its paths mean nothing.
PUBLIC_HEADERS = ("runtime/plugin/weir_plugin.h",)

# (files it holds for, what is forbidden, why)
RULES = [
    (r".*", re.compile(r"^(<{7}|>{7}|={7})( |$)"), "a conflict marker"),
    (r".*\.(h|cpp|cc|c|td|bzl|py|sh|mlir)$|.*/?BUILD$", re.compile(r"[ \t]+$"), "trailing space"),
    (r".*\.(h|cpp|cc|c|td|bzl|py|mlir)$|.*/?BUILD$", re.compile(r"\t"), "a tab"),
    (r".*", re.compile(r"(^|[\s\"'(=:])/(home|root|work)/[a-z]"), "a path of one machine"),
    (r".*\.(h|cpp|cc|c|td|bzl|py|sh|mlir)$", re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"), "a note to self: do it or file it"),
    (r".*\.(h|cpp|cc)$", re.compile(r"using namespace std\b"), "using namespace std"),
    (r".*\.h$", re.compile(r"^using namespace "), "using namespace in a header"),
    (r".*\.(h|cpp|cc|c)$", re.compile(r"#include \"\.\.?/"), "a relative include: write it from the root of the repository"),
    (r"^runtime/.*\.(h|cpp|cc|c)$", re.compile(r"#include [\"<](mlir|llvm|lld|compiler)/"),
     "runtime/ depends on neither MLIR, LLVM nor the compiler"),
    (r"^compiler/.*\.(h|cpp)$", re.compile(r"#include \"(tests|models)/"), "the compiler depends on no test or model"),
    (r"^compiler/(?!driver/|tools/).*(?<!_test)\.(h|cpp)$", re.compile(r"std::(cout|cerr)\b|\bprintf\("),
     "printing from inside the compiler: emit a diagnostic"),
    (r"^(compiler|runtime|plugins)/.*(?<!_test)(?<!_fuzzer)\.(h|cpp|cc)$", re.compile(r"(?<![\w.:>])(std::)?(abort|exit)\("),
     "ending the process: return an error"),
    (r"^(compiler|runtime|plugins)/.*\.(h|cpp|cc)$", re.compile(r"\b(s?rand|random_device|mt19937\w*)\b\s*[({]"),
     "random numbers come from the counter-based generator"),
]


def files(root):
    """Paths of the repository's files, relative to root: those git knows or would add."""
    command = ["git", "-C", root, "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"]
    if shutil.which("git"):
        out = subprocess.run(command, check=False, capture_output=True, text=True)
        if out.returncode == 0:
            return [f for f in out.stdout.splitlines() if os.path.isfile(os.path.join(root, f))]
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith("bazel-") and f != ".git"]
        found += [os.path.relpath(os.path.join(folder, n), root) for n in names]
    return found


def guard(path):
    return "WEIR_" + re.sub(r"[^A-Za-z0-9]", "_", path).upper() + "_"


def check(path, text):
    """Yields (line number, message) for each violation in one file."""
    lines = text.split("\n")
    for pattern, forbidden, why in RULES:
        if path == "tests/style/check.py" or not re.match(pattern, path):
            continue
        for number, line in enumerate(lines, 1):
            if forbidden.search(line) and "style: allow" not in line:
                yield number, why
    if text and not text.endswith("\n"):
        yield len(lines), "no newline at the end"
    if path.endswith(CPP) and len(lines) > MAX_LINES:
        yield len(lines), "more than %d lines: it wants to be two files" % MAX_LINES
    if path.endswith(".h") and path not in PUBLIC_HEADERS and "#ifndef " + guard(path) not in text:
        yield 1, "include guard is not " + guard(path)


def main():
    root = sys.argv[1]
    bad = 0
    seen = 0
    for path in sorted(files(root)):
        base = os.path.basename(path)
        if not (path.endswith(TEXT) or base in ("BUILD", "WORKSPACE", "bazelw", "weir", "run")):
            continue
        try:
            with open(os.path.join(root, path), encoding="utf-8") as file:
                text = file.read()
        except UnicodeDecodeError:
            print("%s:1: not UTF-8" % path)
            bad += 1
            continue
        seen += 1
        for number, why in check(path, text):
            print("%s:%d: %s" % (path, number, why))
            bad += 1
    print("%d files, %d violations" % (seen, bad))
    sys.exit(1 if bad or seen == 0 else 0)


if __name__ == "__main__":
    main()
