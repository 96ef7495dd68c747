"""The matrix products of a training step alone: forward, and two each in backward, same shapes, same type, outputs in place.

What a causal attention needs is counted in blocks of 256 rows, those above the diagonal left out: less than PyTorch computes.
"""

import torch

ROWS = 256


def linears(options):
    """(outputs, inputs) of the linear layers of a block."""
    d, vocabulary = options.width, options.vocabulary
    gated = [(4 * d + 128, d), (d, 2 * d)]
    glu = 8 * d // 3
    mlp = [(4 * d, d), (d, 4 * d)]
    block = {
        "mingru": [(d, d)] * 4 + mlp,
        "gru": [(d, d), (3 * d, d), (d, d)] + mlp,
        "flash": gated,
        "gau": gated,
        "transformer_pp": [(3 * d, d), (d, d), (glu, d), (glu, d), (d, glu)],
    }[options.model]
    return block * options.layers + [(vocabulary, d)]


def causal(batch, length, head, values):
    """Products q k^T and weights v of causal attention: (batch, m, n, k)."""
    shapes = []
    for begin in range(0, length, ROWS):
        end = min(begin + ROWS, length)
        shapes += [(batch, end - begin, end, head), (batch, end - begin, values, end)]
    return shapes


def attention(options):
    """The batched products of a block: (batch, m, n, k)."""
    batch, length, d = options.batch, options.length, options.width
    if options.model == "transformer_pp":
        return causal(batch * options.heads, length, d // options.heads, d // options.heads)
    if options.model == "gau":
        return causal(batch, length, 128, 2 * d)
    if options.model == "flash":
        chunk = min(options.chunk, length)
        groups = batch * (length // chunk)
        return causal(groups, chunk, 128, 2 * d) + [(groups, 128, 2 * d, chunk), (groups, chunk, 2 * d, 128)]
    return []


class Linear:
    def __init__(self, rows, outputs, inputs, dtype):
        self.x, self.w = torch.randn(rows, inputs, dtype=dtype), torch.randn(outputs, inputs, dtype=dtype)
        self.y = torch.empty(rows, outputs, dtype=dtype)
        self.dx, self.dw = torch.empty_like(self.x), torch.empty_like(self.w)

    def run(self):
        torch.mm(self.x, self.w.t(), out=self.y)
        torch.mm(self.y, self.w, out=self.dx)
        torch.mm(self.y.t(), self.x, out=self.dw)


class Batched:
    def __init__(self, batch, m, n, k, dtype):
        self.a, self.b = torch.randn(batch, m, k, dtype=dtype), torch.randn(batch, k, n, dtype=dtype)
        self.c = torch.empty(batch, m, n, dtype=dtype)
        self.da, self.db = torch.empty_like(self.a), torch.empty_like(self.b)

    def run(self):
        torch.bmm(self.a, self.b, out=self.c)
        torch.bmm(self.c, self.b.transpose(1, 2), out=self.da)
        torch.bmm(self.a.transpose(1, 2), self.c, out=self.db)


class Recurrent:
    """GRU's product with the state, step by step; the weight's gradient is one product over all steps."""

    def __init__(self, options, dtype):
        d, self.length = options.width, options.length
        self.h, self.w = torch.randn(options.batch, d, dtype=dtype), torch.randn(3 * d, d, dtype=dtype)
        self.g = torch.empty(options.batch, 3 * d, dtype=dtype)
        self.dh = torch.empty_like(self.h)
        rows = options.batch * options.length
        self.all_g, self.all_h = torch.randn(rows, 3 * d, dtype=dtype), torch.randn(rows, d, dtype=dtype)
        self.dw = torch.empty_like(self.w)

    def run(self):
        for _ in range(self.length):
            torch.mm(self.h, self.w.t(), out=self.g)
        for _ in range(self.length):
            torch.mm(self.g, self.w, out=self.dh)
        torch.mm(self.all_g.t(), self.all_h, out=self.dw)


def build(options):
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    rows = options.batch * options.length
    work = [Linear(rows, n, k, dtype) for n, k in sorted(set(linears(options)))]
    times = [linears(options).count(shape) for shape in sorted(set(linears(options)))]
    batched = attention(options)
    work += [Batched(*shape, dtype) for shape in sorted(set(batched))]
    times += [batched.count(shape) * options.layers for shape in sorted(set(batched))]
    if options.model == "gru":
        work.append(Recurrent(options, dtype))
        times.append(options.layers)

    def run():
        for one, count in zip(work, times):
            for _ in range(count):
                one.run()

    return run
