"""h_t = a_t h_{t-1} + b_t over [batch, time, features], h_0 = 0: the forms of it that PyTorch offers."""

import torch
import torch.nn.functional as F
from torch._higher_order_ops.associative_scan import associative_scan

CHUNK = 32


def log_space(log_a, log_b):
    """The form of the published code (Heinsen): a cumulative sum and a cumulative log-sum-exp."""
    log_decay = log_a.cumsum(dim=1)
    return (log_decay + (log_b - log_decay).logcumsumexp(dim=1)).exp()


def log(a, b):
    """The same from a and positive b."""
    return log_space(a.log(), b.log())


def combine(first, second):
    return first[0] * second[0], second[0] * first[1] + second[1]


def associative(a, b):
    """PyTorch's own, which doubles in sweeps over everything; to be compiled."""
    return associative_scan(combine, (a, b), dim=1, combine_mode="generic")[1]


def sweep(a, b, reverse=False):
    """The recurrence itself, a row of [batch, features] after the other, into one tensor."""
    h = torch.empty_like(b)
    rows = list(zip(a.unbind(1), b.unbind(1), h.unbind(1)))
    last = None
    for a_t, b_t, h_t in reversed(rows) if reverse else rows:
        if last is None:
            h_t.copy_(b_t)
        else:
            torch.addcmul(b_t, a_t, last, out=h_t)
        last = h_t
    return h


def sweep_chunks(a, b, reverse=False):
    """All chunks side by side from 0, then what each takes over from the one before: fewer, larger steps."""
    if b.shape[1] % CHUNK:
        return sweep(a, b, reverse)
    decay, h = torch.empty_like(a.unflatten(1, (-1, CHUNK))), torch.empty_like(b.unflatten(1, (-1, CHUNK)))
    rows = list(zip(a.unflatten(1, (-1, CHUNK)).unbind(2), b.unflatten(1, (-1, CHUNK)).unbind(2),
                    decay.unbind(2), h.unbind(2)))
    last = None
    for a_t, b_t, decay_t, h_t in reversed(rows) if reverse else rows:
        if last is None:
            decay_t.copy_(a_t)
            h_t.copy_(b_t)
        else:
            torch.mul(a_t, last[0], out=decay_t)
            torch.addcmul(b_t, a_t, last[1], out=h_t)
        last = decay_t, h_t
    carried = sweep(last[0], last[1], reverse)
    if reverse:
        h[:, :-1].addcmul_(decay[:, :-1], carried[:, 1:, None])
    else:
        h[:, 1:].addcmul_(decay[:, 1:], carried[:, :-1, None])
    return h.flatten(1, 2)


def differentiable(name, sweep):
    """`sweep` as one op with a gradient, so that torch.compile doesn't unroll it."""

    @torch.library.custom_op(f"peer::{name}", mutates_args=())
    def op(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return sweep(a, b)

    # The gradient of b: g_t = dh_t + a_{t+1} g_{t+1}.
    @torch.library.custom_op(f"peer::{name}_gradient", mutates_args=())
    def gradient(a: torch.Tensor, dh: torch.Tensor) -> torch.Tensor:
        return sweep(F.pad(a[:, 1:], (0, 0, 0, 1)), dh, reverse=True)

    op.register_fake(lambda a, b: torch.empty_like(b))
    gradient.register_fake(lambda a, dh: torch.empty_like(dh))

    def keep(ctx, inputs, output):
        ctx.save_for_backward(inputs[0], output)

    def backward(ctx, dh):
        a, h = ctx.saved_tensors
        db = gradient(a, dh.contiguous())
        return db * F.pad(h[:, :-1], (0, 0, 1, 0)), db

    op.register_autograd(backward, setup_context=keep)
    return op


steps = differentiable("steps", sweep)
chunks = differentiable("chunks", sweep_chunks)
