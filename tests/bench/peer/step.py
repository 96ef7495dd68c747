"""A training step as Weir does it: loss, gradients, clipping by the global norm, AdamW with decoupled decay."""

import fnmatch
import importlib

import torch
from safetensors.torch import load_file

import parts

LR, BETAS, EPS, DECAY, CLIP, WARMUP = 1e-3, (0.9, 0.99), 1e-8, 0.1, 1.0, 100
NO_DECAY = ("*.bias", "*norm*", "tok.*")


class Step:
    """options: model, precision (f32, bf16), compile, optimizer (fused, foreach), parameters (a checkpoint), and the sizes."""

    def __init__(self, options):
        self.options = options
        self.model = importlib.import_module(options.model).build(options)
        named = parts.load(self.model, load_file(options.parameters))
        self.named = named
        plain = [any(fnmatch.fnmatch(name, pattern) for pattern in NO_DECAY) for name in named]
        groups = [{"params": [p for p, no in zip(named.values(), plain) if no == which],
                   "weight_decay": 0.0 if which else DECAY} for which in (False, True)]
        self.optimizer = torch.optim.AdamW(
            groups, lr=LR, betas=BETAS, eps=EPS, fused=options.optimizer == "fused",
            foreach=options.optimizer == "foreach")
        self.loss = torch.compile(self.compute) if options.compile else self.compute
        self.count = 0

    def compute(self, tokens, targets):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.options.precision == "bf16"):
            return self.model(tokens, targets)

    def __call__(self, tokens, targets):
        """One step; the loss before it."""
        self.count += 1
        for group in self.optimizer.param_groups:
            group["lr"] = LR * min(1.0, self.count / WARMUP)
        loss = self.loss(tokens, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.named.values(), CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()
