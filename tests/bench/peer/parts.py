"""What the five models share: norms, linear layers, positions, the frame around the blocks.

The parameters are those that `weir init` writes, under the same names; `load` puts them into a model.
"""

import re

import torch
import torch.nn.functional as F
from torch import nn


class Norm(nn.LayerNorm):
    def __init__(self, width):
        super().__init__(width, eps=1e-5)


def rotary_tables(length, features):
    """cos and sin [length, features / 2] of the rotary positions, in f32, angles reduced in f64."""
    half = features // 2
    frequency = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * frequency[None, :]
    return angle.cos().float(), angle.sin().float()


def rotate(x, cos, sin):
    """Rotary positions, in halves: x is [..., length, features]."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)


def sine_table(length, width):
    """[sin | cos] of the positions, [length, width]."""
    cos, sin = rotary_tables(length, width)
    return torch.cat([sin, cos], dim=-1)


def toeplitz(weight, size):
    """bias[i, j] = weight[i - j + longest - 1] of a weight of 2 longest - 1 numbers: [size, size]."""
    longest = (weight.shape[0] + 1) // 2
    used = weight[longest - size:longest + size - 1]
    # Rows a number longer than they are read back: each begins one number before the row above.
    rows = F.pad(used.flip(0), (0, 1)).expand(size, 2 * size).reshape(-1)
    return rows[:size * (2 * size - 1)].view(size, 2 * size - 1)[:, size - 1:]


class Model(nn.Module):
    """Embedding, positions where the model has them, blocks, norm, and a head tied to the embedding."""

    def __init__(self, block, options, positions):
        super().__init__()
        self.tok = nn.Embedding(options.vocabulary, options.width)
        self.layer = nn.ModuleList(block(options) for _ in range(options.layers))
        self.norm = Norm(options.width)
        self.stream = torch.bfloat16 if options.stream == "bf16" else torch.float32
        if positions:
            self.pos = nn.Parameter(torch.empty(()))
            self.register_buffer("sines", sine_table(options.length, options.width), persistent=False)

    def forward(self, tokens, targets):
        x = self.tok(tokens)
        if hasattr(self, "pos"):
            x = x + self.pos * self.sines
        x = x.to(self.stream)
        for layer in self.layer:
            x = layer(x)
        logits = F.linear(self.norm(x), self.tok.weight)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


# PyTorch's names of parameters where they aren't Weir's.
NAMES = (
    (r"^pos$", "pos.weight"),
    (r"\.in_\.", ".in."),
    (r"\.rel$", ".rel.weight"),
    (r"\.scale$", ".qk.weight"),
    (r"\.offset$", ".qk.bias"),
    (r"\.rnn\.weight_ih_l0$", ".rnn.input.weight"),
    (r"\.rnn\.bias_ih_l0$", ".rnn.input.bias"),
    (r"\.rnn\.weight_hh_l0$", ".rnn.hidden.weight"),
    (r"\.rnn\.bias_hh_l0$", ".rnn.hidden.bias"),
)


def weir_name(name):
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def load(model, tensors):
    """Copies Weir's parameters (path -> tensor) into the model; each must be used, and each found."""
    parameters = {weir_name(name): value for name, value in model.named_parameters()}
    if parameters.keys() != tensors.keys():
        raise SystemExit(f"parameters differ: {sorted(parameters.keys() ^ tensors.keys())}")
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(tensors[name].reshape(value.shape))
    return parameters
