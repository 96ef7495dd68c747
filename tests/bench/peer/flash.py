"""FLASH: GAU with mixed chunk attention (arXiv:2202.10447, section 3.2 and code 8)."""

import torch

from gau import Gated, squared_relu
from parts import Model, toeplitz


class Block(Gated):
    def __init__(self, options):
        self.chunk = min(options.chunk, options.length)
        super().__init__(options, 4, options.chunk)

    def attend(self, v, quad_q, quad_k, lin_q, lin_k):
        size = self.chunk
        v, quad_q, quad_k, lin_q, lin_k = (
            x.unflatten(1, (-1, size)) for x in (v, quad_q, quad_k, lin_q, lin_k))
        scores = (quad_q / size) @ quad_k.transpose(2, 3)
        y = squared_relu(scores, toeplitz(self.rel, size)).to(v.dtype) @ v
        # The mean of the chunks before: 0 for the first.
        sums = ((lin_k / size).transpose(2, 3) @ v)[:, :-1].float().cumsum(dim=1)
        count = torch.arange(1, sums.shape[1] + 1)[:, None, None]
        means = (sums / count).to(v.dtype)
        y = torch.cat([y[:, :1], y[:, 1:] + lin_q[:, 1:] @ means], dim=1)
        return y.flatten(1, 2)


def build(options):
    return Model(Block, options, positions=True)
