"""The processes that are measured, each alive for as long as its comparison lasts, and the turns they take."""

import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
# OpenMP's threads go on looking for work for a while (libomp: 0.2 s) after a run: not into another's time.
PAUSE = 0.3
# For glibc: keep freed memory instead of asking the system for it again each step, which costs PyTorch some 5 %.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}


@dataclasses.dataclass
class Result:
    """What a process did: seconds of the timed runs, losses from the first run on, the largest peak."""

    name: str
    about: dict
    seconds: list = dataclasses.field(default_factory=list)
    kernels: list = dataclasses.field(default_factory=list)
    loss: list = dataclasses.field(default_factory=list)
    peak_bytes: int = 0
    error: str = ""

    @property
    def median(self):
        return statistics.median(self.seconds) if self.seconds else float("nan")

    @property
    def least(self):
        return min(self.seconds) if self.seconds else float("nan")

    def report(self):
        return dataclasses.asdict(self) | {"median": self.median, "least": self.least}


class Died(Exception):
    """A process ended: what it said last."""


class Process:
    """A process that runs something as often as it is told (peer/serve.py, worker.cc)."""

    def __init__(self, name, command, threads, cores):
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads),
                           CUDA_VISIBLE_DEVICES="")
        command = ["taskset", "-c", ",".join(map(str, cores)), *map(str, command)]
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, env=environment)
        self.result = Result(name, {})
        try:
            self.result.about = self.read()
        except Died as died:
            self.result.error = str(died)

    def read(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        code = self.process.wait()
        self.errors.seek(0)
        said = self.errors.read().strip().split("\n")[-1]
        raise Died(f"ended with {code}: {said[:200]}")

    def run(self, times, timed=True):
        """So many runs; their seconds count unless they warm up."""
        result = self.result
        if result.error:
            return
        try:
            self.process.stdin.write(f"{times}\n")
            self.process.stdin.flush()
            answer = self.read()
        except (Died, BrokenPipeError) as died:
            result.error = str(died)
            return
        result.loss += answer["loss"]
        result.peak_bytes = max(result.peak_bytes, answer["peak_bytes"])
        if timed:
            result.seconds += answer["seconds"]
            result.kernels += answer.get("kernels", [])

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.errors.close()
        return self.result


@contextlib.contextmanager
def plain_memory():
    """Processes that start within leave freed memory to glibc's defaults."""
    kept = {name: os.environ.pop(name) for name in KEEP_MEMORY}
    yield
    os.environ.update(kept)


def python(script, name, wanted):
    """A process of peer/: `wanted` is its settings."""
    command = [sys.executable, HERE / "peer" / script, json.dumps(wanted)]
    return Process(name, command, wanted["threads"], wanted["cores"])


def compete(starters, warmup, rounds, runs):
    """Starts all, then lets them take turns, in the opposite order each round. Results in the order of the starters."""
    processes = []
    for start in starters:
        process = start()
        process.run(warmup, timed=False)
        processes.append(process)
    for i in range(rounds):
        for process in reversed(processes) if i % 2 else processes:
            time.sleep(PAUSE)
            process.run(runs)
    return [process.close() for process in processes]
