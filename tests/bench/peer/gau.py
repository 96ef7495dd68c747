"""The gated attention unit (arXiv:2202.10447, section 2 and code 6)."""

import torch
import torch.nn.functional as F
from torch import nn

from parts import Model, Norm, rotary_tables, rotate, toeplitz

HEAD = 128


class Gated(nn.Module):
    """What GAU and FLASH share: everything around the attention."""

    def __init__(self, options, queries, longest):
        super().__init__()
        self.expanded = 2 * options.width
        self.norm = Norm(options.width)
        self.in_ = nn.Linear(options.width, 2 * self.expanded + HEAD)
        self.out = nn.Linear(self.expanded, options.width)
        self.scale = nn.Parameter(torch.empty(queries, HEAD))
        self.offset = nn.Parameter(torch.empty(queries, HEAD))
        self.rel = nn.Parameter(torch.empty(2 * longest - 1))
        cos, sin = rotary_tables(options.length, HEAD)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, x):
        t = F.silu(self.in_(self.norm(x)))
        u, v, z = t.split([self.expanded, self.expanded, HEAD], dim=-1)
        rows = [rotate(z * scale + offset, self.cos, self.sin).to(t.dtype)
                for scale, offset in zip(self.scale, self.offset)]
        return x + self.out(u * self.attend(v, *rows))


def squared_relu(scores, bias):
    """relu(scores + bias)^2 below and on the diagonal, 0 above it."""
    return F.relu(scores + bias).square().tril()


class Block(Gated):
    def __init__(self, options):
        super().__init__(options, 2, options.length)

    def attend(self, v, q, k):
        length = v.shape[1]
        scores = (q / length) @ k.transpose(1, 2)
        bias = toeplitz(self.rel, length)
        return squared_relu(scores, bias).to(v.dtype) @ v


def build(options):
    return Model(Block, options, positions=True)
