"""Weir against PyTorch and JAX. Started by run.sh; docs/comparison.md says how it measures and how to read the tables.

    tests/bench/run.sh steps --models=mingru,flash --precisions=bf16 --threads=2 --rounds=5
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

from processes import KEEP_MEMORY
from sections import MODELS, SECTIONS, Bench
from weir import Weir


def numbers(text):
    return [int(x) for x in text.split(",")]


def words(text):
    return text.split(",")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all if none is named")
    add("--weir", required=True, help="the binary; run.sh gives it")
    add("--worker", required=True, help="//tests/bench:worker; run.sh gives it")
    add("--models", type=words, default=list(MODELS))
    add("--precisions", type=words, default=["bf16", "f32"])
    add("--threads", type=numbers, default=None, help="e.g. 2,1; all cores if absent")
    add("--rounds", type=int, default=5, help="turns of each process")
    add("--runs", type=int, default=2, help="steps in a turn")
    add("--trial", type=int, default=2, help="steps by which PyTorch's fastest way is chosen")
    add("--layers", type=int, default=4)
    add("--width", type=int, default=512)
    add("--length", type=int, default=1024)
    add("--batch", type=int, default=8)
    add("--tokens", type=int, default=16384, help="of a step, for `lengths`")
    add("--lengths", type=numbers, default=[512, 1024, 2048, 4096, 8192, 16384])
    add("--long", type=int, default=65536, help="length and tokens of a step, for `linear`")
    add("--scan-lengths", type=numbers, default=[1024, 65536])
    add("--scan-runs", type=int, default=10, help="runs in a turn, for `scan`")
    add("--ways", help="a file of PyTorch's fastest ways: those in it aren't looked for again, others are added")
    add("--out", help="a folder for comparison.md and comparison.json")
    options = parser.parse_args()
    options.cores = sorted(os.sched_getaffinity(0))
    options.threads = options.threads or [len(options.cores)]
    options.size = {name: getattr(options, name) for name in ("layers", "width", "length", "batch")}
    for name in options.sections:
        if name not in SECTIONS:
            parser.error(f"no section {name}: there are {', '.join(SECTIONS)}")
    if max(options.threads) > len(options.cores):
        parser.error(f"{max(options.threads)} threads on {len(options.cores)} cores")
    return options


def first_line(text, start):
    return next((line.strip(" -") for line in text.split("\n") if line.strip(" -").startswith(start)), "")


def versions():
    """What the figures depend on: (what, version)."""
    script = ("import torch, jax, jaxlib; print(torch.__version__); print(jax.__version__, jaxlib.__version__);"
              "print(torch.__config__.show())")
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    torch, jax, config = said.split("\n", 2)
    cpu = first_line(pathlib.Path("/proc/cpuinfo").read_text(), "model name").split(":")[-1].strip()
    settings = {k: v for k, v in os.environ.items() if k.split("_")[0] in ("OMP", "KMP", "GOMP", "MKL", "MALLOC")}
    commit = subprocess.run(["git", "-C", pathlib.Path(__file__).parent, "describe", "--always", "--dirty"],
                            capture_output=True, text=True).stdout.strip()
    return [
        ("Weir", commit), ("CPU", f"{cpu}, {len(os.sched_getaffinity(0))} cores"), ("kernel", platform.release()),
        ("load before", "%.2f" % os.getloadavg()[0]),
        ("PyTorch", torch), ("its oneDNN", first_line(config, "Intel(R) MKL-DNN")),
        ("its MKL", first_line(config, "Intel(R) oneAPI")), ("its code", first_line(config, "CPU capability")),
        ("JAX, jaxlib (XLA)", jax), ("Python", platform.python_version()),
        ("OpenMP, MKL and malloc variables, both sides",
         ", ".join(f"{k}={v}" for k, v in settings.items()) + "; OMP_NUM_THREADS and MKL_NUM_THREADS are the threads"),
    ]


def main():
    options = parse()
    start = time.time()
    os.environ.update(KEEP_MEMORY)
    facts = versions()
    head = "\n".join(f"- {what}: {version}" for what, version in facts)
    print(head, flush=True)
    tables, raw = [], []
    ways = pathlib.Path(options.ways) if options.ways else None
    chosen = json.loads(ways.read_text()) if ways and ways.exists() else {}
    with tempfile.TemporaryDirectory(prefix="weir_bench.") as work:
        bench = Bench(options, Weir(options.weir, options.worker, work), raw, chosen)
        for name in options.sections or SECTIONS:
            print(name, flush=True)
            try:
                tables += SECTIONS[name](bench)
            finally:
                if ways:
                    ways.write_text(json.dumps(chosen, indent=1))
    command = " ".join(["tests/bench/run.sh", *(a for a in sys.argv[1:] if not a.startswith(("--weir=", "--worker=")))])
    text = "\n".join(["", head, f"- command: `{command}`", f"- it took {(time.time() - start) / 60:.1f} minutes", ""]
                     + [table.markdown() for table in tables])
    print(text)
    if options.out:
        out = pathlib.Path(options.out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "comparison.md").write_text(text)
        (out / "comparison.json").write_text(json.dumps({"facts": dict(facts), "command": command, "raw": raw}, indent=1))


main()
