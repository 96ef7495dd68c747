"""The block of mingru.py with torch.nn.GRU in place of minGRU."""

from torch import nn

import mingru
from parts import Model


class GRU(nn.GRU):
    def forward(self, x):
        return super().forward(x)[0]


class Block(mingru.Block):
    def recurrence(self, options):
        return GRU(options.width, options.width, batch_first=True)


def build(options):
    return Model(Block, options, positions=False)
