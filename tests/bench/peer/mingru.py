"""minGRU in the block of arXiv:2410.01201, appendix C.2: convolution, RNN, MLP, each behind a norm and with a residual."""

import torch
import torch.nn.functional as F
from torch import nn

import scans
from parts import Model, Norm


class MinGRU(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.to_z = nn.Linear(options.width, options.width)
        self.to_h = nn.Linear(options.width, options.width)
        self.scan = options.scan

    def forward(self, x):
        k, u = self.to_z(x), self.to_h(x)
        if self.scan == "log":
            k, u = k.float(), u.float()
            log_g = torch.where(u >= 0, (F.relu(u) + 0.5).log(), -F.softplus(-u))
            return scans.log_space(-F.softplus(k), -F.softplus(-k) + log_g)
        candidate = torch.where(u >= 0, u + 0.5, u.sigmoid())
        return getattr(scans, self.scan)((-k).sigmoid(), k.sigmoid() * candidate)


class CausalConv(nn.Module):
    """Depthwise along time (kernel 4), then across channels."""

    def __init__(self, width):
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, 4, groups=width)
        self.pointwise = nn.Linear(width, width)

    def forward(self, x):
        y = self.depthwise(F.pad(x.transpose(1, 2), (3, 0))).transpose(1, 2)
        return self.pointwise(y)


class MLP(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.down(F.gelu(self.up(x)))


class Block(nn.Module):
    def __init__(self, options):
        super().__init__()
        width = options.width
        self.norm_conv, self.norm_rnn, self.norm_mlp = Norm(width), Norm(width), Norm(width)
        self.conv = CausalConv(width)
        self.rnn = self.recurrence(options)
        self.to_out = nn.Linear(width, width)
        self.mlp = MLP(width)

    def recurrence(self, options):
        return MinGRU(options)

    def forward(self, x):
        x = x + self.conv(self.norm_conv(x))
        x = x + self.to_out(self.rnn(self.norm_rnn(x)))
        return x + self.mlp(self.norm_mlp(x))


def build(options):
    return Model(Block, options, positions=False)
