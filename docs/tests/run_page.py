"""Runs a tutorial page from top to bottom, in the current folder.

  run_page.py PAGE

A fenced block after a line that ends in `NAME`: is that file. A block `sh` is run by bash, with what is on the PATH; `sh fails` must
fail. A block `text` is what the last commands print: each of its lines has to be there, where any number stands for any
other and ... for anything. Every other block is an error: what a page shows is used.
"""

import re
import subprocess
import sys

NUMBER = r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"


def blocks(text):
    """(line of the fence, words after it, the last line with text before it, the block) of each fenced block."""
    before, fence = "", None
    for number, line in enumerate(text.splitlines(), 1):
        if fence is None and line.startswith("```"):
            fence, inside = (number, line[3:].split()), []
        elif fence is not None and line == "```":
            yield *fence, before, "".join(one + "\n" for one in inside)
            fence = None
        elif fence is not None:
            inside.append(line)
        elif line.strip():
            before = line
    if fence is not None:
        sys.exit(f"line {fence[0]}: the block has no end")


def pattern(line):
    """What a line of the page says of a line that is printed."""
    words = []
    for word in line.split():
        parts = re.split(rf"(\.\.\.|{NUMBER})", word)
        words.append("".join(
            ".*" if part == "..." else NUMBER if re.fullmatch(NUMBER, part) else re.escape(part)
            for part in parts))
    return re.compile(r"\s*" + r"\s+".join(words) + r"\s*")


def run(commands, must_fail):
    result = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], check=False, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(commands, result.stdout, sep="", flush=True)
    if must_fail != (result.returncode != 0):
        return result.stdout, f"the commands {'should fail' if must_fail else 'failed'}: {result.returncode}"
    return result.stdout, ""


def main(page):
    with open(page, encoding="utf-8") as file:
        text = file.read()
    printed, commands = None, 0
    for number, words, before, block in blocks(text):
        name = re.search(r"`([\w.-]+)`:$", before)
        problem = ""
        if words[:1] == ["sh"] and words[1:] in ([], ["fails"]):
            printed, problem = run(block, must_fail=words[1:] == ["fails"])
            commands += 1
        elif words == ["text"] and printed is not None:
            for line in filter(str.strip, block.splitlines()):
                if not any(pattern(line).fullmatch(one) for one in printed.splitlines()):
                    problem = f"nothing printed is like: {line}"
                    break
        elif name:
            with open(name[1], "w", encoding="utf-8") as file:
                file.write(block)
        else:
            problem = "neither a file, nor commands, nor what they print"
        if problem:
            sys.exit(f"{page}:{number}: {problem}")
    if commands == 0:
        sys.exit(f"{page}: no commands")


main(*sys.argv[1:])
