"""Transformer++: softmax attention with rotary positions, and a GLU with GELU; pre-norm (arXiv:2202.10447, section 4)."""

import torch.nn.functional as F
from torch import nn

from parts import Model, Norm, rotary_tables, rotate


class Attention(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.heads = options.heads
        self.in_ = nn.Linear(options.width, 3 * options.width)
        self.out = nn.Linear(options.width, options.width)
        cos, sin = rotary_tables(options.length, options.width // options.heads)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, x):
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for y in self.in_(x).chunk(3, dim=-1))
        q, k = rotate(q, self.cos, self.sin), rotate(k, self.cos, self.sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).flatten(-2))


class GLU(nn.Module):
    def __init__(self, width):
        super().__init__()
        hidden = 8 * width // 3
        self.gate = nn.Linear(width, hidden)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(F.gelu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.norm1, self.norm2 = Norm(options.width), Norm(options.width)
        self.attention, self.glu = Attention(options), GLU(options.width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.glu(self.norm2(x))


def build(options):
    return Model(Block, options, positions=True)
