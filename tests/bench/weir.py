"""Weir's side: programs compiled from models, and what goes into them."""

import pathlib
import subprocess
import zlib

import numpy as np
from safetensors.numpy import save_file

from processes import Process


class Weir:
    """weir, worker: the binaries; work: a folder for programs and tensors."""

    def __init__(self, weir, worker, work):
        self.weir, self.worker, self.work = weir, worker, pathlib.Path(work)
        # The task wants a text, whose tokens nobody reads: the steps' come from tokens().
        self.text = self.work / "text"
        self.text.write_bytes(np.random.default_rng(0).bytes(1 << 20))

    def call(self, *arguments):
        done = subprocess.run([self.weir, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"weir {arguments[0]}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def parameters(self, model, settings):
        """The file of the parameters that training begins with."""
        path = self.work / f"{name_of(model, settings)}.init.safetensors"
        if not path.exists():
            self.call("init", model, f"--set=task.data={self.text}", *sets(settings), f"--out={path}")
        return path

    def training(self, model, settings):
        """The program of a training step."""
        path = self.work / f"{name_of(model, settings)}.weir"
        if not path.exists():
            self.call("compile", model, "--emit=program", f"--set=task.data={self.text}", *sets(settings),
                      f"--out={path}")
        return path

    def gradients(self, model, precision, batch, length):
        """The program of a model without an experiment, forward and backward."""
        path = self.work / f"{name_of(model, {'precision': precision, 'batch': batch, 'length': length})}.weir"
        if not path.exists():
            self.call("compile", model, "--entry=run", "--emit=program", f"--precision={precision}",
                      f"--batch={batch}", f"--length={length}", f"--out={path}")
        return path

    def process(self, name, program, entry, inputs, parameters, threads, cores):
        files = [inputs] + ([parameters] if parameters else [])
        return Process(name, [self.worker, program, entry, *files], threads, cores)

    def tokens(self, batch, length, vocabulary):
        """A file with random tokens and, as targets, those that follow."""
        path = self.work / f"tokens_{batch}_{length}.safetensors"
        random = np.random.default_rng(zlib.crc32(path.name.encode()))
        text = random.integers(vocabulary, size=(batch, length + 1)).astype(np.int32)
        save_file({"tokens": text[:, :-1].copy(), "targets": text[:, 1:].copy()}, path)
        return path


def sets(settings):
    return [f"--set={key}={value}" for key, value in settings.items()]


def name_of(model, settings):
    return "_".join([pathlib.Path(model).stem, *(f"{k}-{v}" for k, v in sorted(settings.items()))])
