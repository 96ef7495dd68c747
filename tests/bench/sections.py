"""What is compared. Each section measures, and returns a table: a title, a head, rows, notes."""

import dataclasses
import functools
import pathlib

import numpy as np
from safetensors.numpy import save_file

from processes import compete, plain_memory, python

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ("mingru", "flash", "gau", "transformer_pp", "gru")
FIRST = 3  # steps that warm up, and whose losses must agree
# The largest difference of the first losses that may be called the same mathematics.
AGREE = {"f32": 1e-4, "bf16": 2e-2}


@dataclasses.dataclass
class Table:
    title: str
    head: list
    rows: list = dataclasses.field(default_factory=list)
    notes: list = dataclasses.field(default_factory=list)

    def markdown(self):
        lines = [f"### {self.title}", "", "| " + " | ".join(self.head) + " |",
                 "| --- " * len(self.head) + "|"]
        lines += ["| " + " | ".join(map(str, row)) + " |" for row in self.rows]
        return "\n".join(lines + [""] + [note + "\n" for note in self.notes])


@dataclasses.dataclass
class Bench:
    """Everything a section needs: the command line, Weir, and where raw results go."""

    options: object
    weir: object
    raw: list
    chosen: dict  # PyTorch's fastest ways, by what they are for

    def cores(self, threads):
        return self.options.cores[:threads]

    def compete(self, label, starters, warmup=FIRST, rounds=None, runs=None):
        """Results of processes that take turns; prints and keeps them."""
        print(f"  {label}", flush=True)
        rounds = self.options.rounds if rounds is None else rounds
        runs = runs or self.options.runs
        results = compete(starters, warmup, rounds, runs)
        for result in results:
            self.raw.append({"comparison": label} | result.report())
            best = f"{result.least:.4f} s, median {result.median:.4f}" if result.seconds else ""
            print(f"    {result.name}: {result.error or best}", flush=True)
        return results


def model_file(name):
    return ROOT / "models" / f"{name}.mlir"


def weir_settings(size, precision, **more):
    return {"precision": precision, **size, **more}


def weir_step(bench, model, size, precision, threads, file=None):
    """Starts Weir's training step of models/lm_<model>.mlir (or of `file`)."""
    file = file or model_file(f"lm_{model}")
    settings = weir_settings(size, precision)
    inputs = bench.weir.tokens(size["batch"], size["length"], 256)
    program = bench.weir.training(file, settings)
    parameters = bench.weir.parameters(file, settings)
    return functools.partial(bench.weir.process, f"Weir {model}", program, "train_step", inputs,
                             parameters, threads, bench.cores(threads))


def wanted(bench, model, size, precision, threads, **more):
    """The settings of a Python process for the same model, parameters and tokens."""
    file = model_file(more.pop("file", f"lm_{model}"))
    return {
        "kind": "step", "model": model, "precision": precision, "threads": threads,
        "cores": bench.cores(threads), "vocabulary": 256, "heads": 1, "chunk": 256, "scan": "steps",
        "stream": "f32", "compile": False, "optimizer": "fused", **size,
        "inputs": str(bench.weir.tokens(size["batch"], size["length"], 256)),
        "parameters": str(bench.weir.parameters(file, weir_settings(size, precision))), **more,
    }


def torch_step(bench, name, *arguments, **more):
    return functools.partial(python, "torch_worker.py", name, wanted(bench, *arguments, **more))


def jax_step(bench, *arguments):
    return functools.partial(python, "jax_worker.py", "JAX", wanted(bench, *arguments))


def variants(model, precision, scans):
    """The ways to run PyTorch: name -> settings. With bf16, residuals are in bf16 too: quicker, if less exact than Weir's in f32."""
    stream = "bf16" if precision == "bf16" else "f32"
    found = {}
    for scan in scans if model == "mingru" else ("",):
        for compiled in (False, True):
            name = " ".join(filter(None, [scan, "compile" if compiled else "eager"]))
            found[name] = {"compile": compiled, "stream": stream, "scan": scan}
    return found


def choose(bench, model, precision, threads, scans):
    """PyTorch's fastest way, by a few steps of each, a process after the other; or that of an earlier run."""
    size, best = bench.options.size, None
    ways = variants(model, precision, scans)
    key = f"{model} {precision} {threads} {'/'.join(scans)} {size}"
    if bench.chosen.get(key) in ways:
        return bench.chosen[key], ways[bench.chosen[key]]
    for name, more in ways.items():
        start = torch_step(bench, name, model, size, precision, threads, **more)
        label = f"trial {model} {precision}, {threads} threads"
        [result] = bench.compete(label, [start], warmup=1, rounds=1, runs=bench.options.trial)
        if result.seconds and (best is None or result.least < best[0]):
            best = (result.least, name, more)
    if best is None:
        raise RuntimeError(f"no form of {model} runs in PyTorch")
    bench.chosen[key] = best[1]
    return best[1:]


def agreement(precision, weir, peer):
    """Whether two processes that began with the same parameters and tokens have the same losses."""
    if weir.error or peer.error:
        return ""
    gap = max(abs(a - b) for a, b in zip(weir.loss[:FIRST], peer.loss[:FIRST]))
    same = weir.about["parameters"] == peer.about["parameters"] and gap <= AGREE[precision]
    return f"{gap:.1e}" if same else f"**{gap:.1e}: not the same**"


def agree(bench):
    """Whether both compute the same: no times."""
    table = Table(f"The first {FIRST} losses, {bench.options.size}", ["model", "type", "peer", "Weir", "peer's", "differ by"])
    threads, size = bench.options.threads[0], bench.options.size
    for model in bench.options.models:
        for precision in bench.options.precisions:
            starters = [weir_step(bench, model, size, precision, threads)]
            for scan in ("log", "steps", "chunks") if model == "mingru" else ("",):
                starters.append(torch_step(bench, f"PyTorch {scan}".strip(), model, size, precision, threads, scan=scan))
            if model == "mingru":
                starters.append(jax_step(bench, model, size, precision, threads))
            weir, *peers = bench.compete(f"agree {model} {precision}", starters, rounds=0)
            for peer in peers:
                shown = lambda result: result.error or " ".join(f"{x:.6f}" for x in result.loss)
                table.rows.append([model, precision, peer.name, shown(weir), shown(peer), agreement(precision, weir, peer)])
    return [table]


def step_rows(bench, table, model, precision, threads):
    """Weir against PyTorch's best, for minGRU also its log-space form and JAX."""
    size = bench.options.size
    peers = [("", ("log",)), ("", ("steps", "chunks"))] if model == "mingru" else [("", ("",))]
    starters = [weir_step(bench, model, size, precision, threads)]
    names = []
    for _, scans in peers:
        name, more = choose(bench, model, precision, threads, scans)
        names.append("PyTorch " + name)
        starters.append(torch_step(bench, names[-1], model, size, precision, threads, **more))
    if model == "mingru":
        names.append("JAX")
        starters.append(jax_step(bench, model, size, precision, threads))
    starters.append(torch_step(bench, "products", model, size, precision, threads, kind="products"))
    weir, *others, products = bench.compete(
        f"step {model} {precision}, {threads} threads", starters)
    for peer in others:
        if weir.error or peer.error:
            table.rows.append([model, precision, threads, peer.name, weir.error or peer.error] + [""] * 7)
            continue
        rest = weir.median - products.median
        without = f"{(peer.median - products.median) / rest:.2f}" if rest > 0 else "Weir has none left"
        table.rows.append([
            model, precision, threads, peer.name,
            f"{weir.median:.3f} ({weir.least:.3f})", f"{peer.median:.3f} ({peer.least:.3f})",
            f"**{peer.median / weir.median:.2f}**", f"{peer.least / weir.least:.2f}", without,
            f"{peer.median / products.median:.2f}",
            f"{weir.peak_bytes / 2**20:.0f} / {peer.peak_bytes / 2**20:.0f}", agreement(precision, weir, peer)])


def steps(bench):
    """Point by point: the training step of each model."""
    size = bench.options.size
    table = Table(
        f"Training step, {size['layers']} layers of width {size['width']}, {size['batch']} rows of {size['length']} tokens",
        ["model", "type", "threads", "peer", "Weir s (least)", "peer s (least)", "ratio", "of the least",
         "without products", "bound by products", "peak MiB, Weir / peer", "losses differ by"])
    for threads in bench.options.threads:
        for model in bench.options.models:
            for precision in bench.options.precisions:
                step_rows(bench, table, model, precision, threads)
    table.notes += [
        "ratio = peer / Weir, of medians. Without products: both less the time of the products that both share, measured in "
        "PyTorch in the same run. The bound: peer / products, the ratio if Weir's products were PyTorch's and the rest free.",
        f"The last column: the largest difference of the losses of the first {FIRST} steps, same parameters, same tokens."]
    return [table]


def scan_inputs(bench, batch, length, width):
    path = bench.weir.work / f"scan_{batch}_{length}_{width}.safetensors"
    random = np.random.default_rng(7)
    shape = (batch, length, width)
    draw = lambda: random.standard_normal(shape, dtype=np.float32)
    rest = {name: np.zeros((batch, width), np.float32) for name in ("state.h", "cotangent.h")}
    save_file({"a": 1 / (1 + np.exp(-draw())), "b": draw(), "cotangent": draw(), **rest}, path)
    return path


def scan_row(bench, table, batch, length, width, threads):
    inputs = scan_inputs(bench, batch, length, width)
    program = bench.weir.gradients(write_scan(bench, width), "f32", batch, length)
    cores = bench.cores(threads)
    common = {"kind": "scan", "precision": "f32", "threads": threads, "cores": cores,
              "inputs": str(inputs), "compile": False}
    starters = [functools.partial(bench.weir.process, "Weir", program, "gradients", inputs, None,
                                  threads, cores)]
    for form, compiled in (("steps", False), ("chunks", False), ("associative", True)):
        name = f"PyTorch {form}" + (", compiled" if compiled else "")
        starters.append(functools.partial(python, "torch_worker.py", name,
                                          common | {"scan": form, "compile": compiled}))
    starters.append(functools.partial(python, "jax_worker.py", "JAX", common | {"layers": 0}))
    weir, *others = bench.compete(f"scan {batch}x{length}x{width}, {threads} threads", starters,
                                  runs=bench.options.scan_runs)
    inside = float(np.median(weir.kernels)) if weir.kernels else float("nan")
    for peer in others:
        table.rows.append([f"{batch} x {length} x {width}", threads, peer.name, f"{1e3 * inside:.2f}",
                           peer.error or f"{1e3 * peer.median:.2f} ({1e3 * peer.least:.2f})",
                           f"**{peer.median / inside:.2f}**"])


def write_scan(bench, width):
    """models/scan.mlir with inputs of this width."""
    text = (pathlib.Path(__file__).parent / "models" / "scan.mlir").read_text()
    path = bench.weir.work / f"scan_{width}.mlir"
    path.write_text(text.replace("@WIDTH@", str(width)))
    return path


def scan(bench):
    """The scan alone, forward and backward, f32."""
    table = Table("The scan alone, forward and backward, f32",
                  ["rows x length x width", "threads", "peer", "Weir ms", "peer ms (least)", "ratio"])
    tokens = bench.options.size["batch"] * bench.options.size["length"]
    width = bench.options.size["width"]
    for threads in bench.options.threads:
        for length in bench.options.scan_lengths:
            scan_row(bench, table, max(1, tokens // length), length, width, threads)
    table.notes.append("Weir's time is that of its kernels: copies of inputs into its memory, which a scan within a model "
                       "doesn't have, are left out.")
    return [table]


def weir_only(bench, models, length, tokens, precision, threads):
    """Weir's models at one length, equal tokens a batch, in turns."""
    size = bench.options.size | {"length": length, "batch": tokens // length}
    starters = []
    for model in models:
        starters.append(weir_step(bench, model, size, precision, threads))
    return bench.compete(f"length {length}: {', '.join(models)} {precision}, {threads} threads",
                         starters, warmup=1, runs=1)


# Figure 1 and table 12 of arXiv:2202.10447 (Wiki-40B, 64 TPU-v4 cores, 110M parameters): ms of Transformer++ over FLASH. Figure
# 1 of arXiv:2410.01201: GRU over minGRU on a T4, batch 64.
PAPER = {
    ("transformer_pp", "flash"): {512: 54.7 / 57.2, 1024: 70.9 / 56.9, 2048: 96.6 / 56.7, 4096: 149.2 / 57.0,
                                  8192: 261.0 / 62.5},
    ("gru", "mingru"): {512: 175, 4096: 1324},
}


def lengths(bench):
    """How many times faster a step is than that of the model it replaces, by length."""
    tables = []
    threads, precision, tokens = bench.options.threads[0], bench.options.precisions[0], bench.options.tokens
    for (old, new), paper in PAPER.items():
        table = Table(f"{new} over {old}, {tokens} tokens a step, {precision}, {threads} threads",
                      ["length", f"{old} s", f"{new} s", "speed-up", "paper"])
        for length in bench.options.lengths:
            a, b = weir_only(bench, (old, new), length, tokens, precision, threads)
            ratio = f"**{a.median / b.median:.2f}**" if a.seconds and b.seconds else ""
            table.rows.append([length, a.error or f"{a.median:.3f}", b.error or f"{b.median:.3f}", ratio,
                               f"{paper[length]:.2f}" if length in paper else ""])
        tables.append(table)
    return tables


def linear(bench):
    """Time per token at a long and at a short length, in turns."""
    threads, precision = bench.options.threads[0], bench.options.precisions[0]
    short, long = 512, bench.options.long
    table = Table(f"Linear is linear: {long} tokens a step, {precision}, {threads} threads",
                  ["model", f"s at length {short}", f"s at length {long}", "long / short"])
    for model in [m for m in ("mingru", "flash") if m in bench.options.models]:
        starters = [weir_step(bench, model, bench.options.size | {"length": length, "batch": long // length},
                              precision, threads) for length in (short, long)]
        a, b = bench.compete(f"linear {model}", starters, warmup=1, runs=1)
        table.rows.append([model, a.error or f"{a.median:.3f}", b.error or f"{b.median:.3f}",
                           f"**{b.median / a.median:.3f}**"])
    return [table]


def memory(bench):
    """Peak memory of a training step of 12 layers of FLASH, width 768, memory freed as glibc does it by itself."""
    threads = bench.options.threads[0]
    size = {"layers": 12, "width": 768, "batch": 8, "length": 1024}
    table = Table("Peak memory of a process: 12 layers of FLASH, width 768, 8 rows of 1024 tokens",
                  ["type", "process", "peak MiB", "over Weir", "s a step"])
    for precision in bench.options.precisions:
        starters = [weir_step(bench, "flash", size, precision, threads)]
        starters += [torch_step(bench, f"PyTorch {name}", "flash", size, precision, threads, **more)
                     for name, more in variants("flash", precision, ()).items()]
        with plain_memory():
            results = [bench.compete(f"memory {precision}", [start], warmup=1, rounds=1, runs=1)[0]
                       for start in starters]
        for result in results:
            table.rows.append([precision, result.name, result.error or f"{result.peak_bytes / 2**20:.0f}",
                               f"{result.peak_bytes / max(1, results[0].peak_bytes):.2f}", f"{result.median:.2f}"])
    table.notes.append("The largest resident set of the whole process, libraries and start included; without the MALLOC variables.")
    return [table]


SECTIONS = {"agree": agree, "steps": steps, "scan": scan, "lengths": lengths, "linear": linear, "memory": memory}
