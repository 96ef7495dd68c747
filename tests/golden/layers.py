"""The layers' equations, written out naively in PyTorch, with nothing of Weir in them.

Each function takes the parameters by name (`p["to_z.weight"]`, ...), the inputs, and the options.
Where PyTorch has the layer itself (GRU, convolution, attention, TransformerEncoderLayer, norms, losses),
PyTorch's own is used. Everything runs in float64.
"""

import math

import torch
import torch.nn.functional as F


def linear(p, name, x):
    return F.linear(x, p[name + ".weight"], p.get(name + ".bias"))


def norm(p, name, x, kind="layer"):
    if kind == "layer":
        return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"], eps=1e-5)
    eps = {"rms": 1e-6, "scale": 1e-5}[kind]
    # A weight per feature (RMSNorm) or a scalar one (ScaleNorm): both broadcast.
    return x / (x.pow(2).mean(dim=-1, keepdim=True) + eps).sqrt() * p[name + ".weight"]


def rope(x):
    """Rotary positions over all features, in halves; positions from 0 along the second to last dimension."""
    length, half = x.shape[-2], x.shape[-1] // 2
    frequency = 10000.0 ** (-torch.arange(half, dtype=x.dtype) / half)
    angle = torch.arange(length, dtype=x.dtype)[:, None] * frequency[None, :]
    first, second = x[..., :half], x[..., half:]
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def toeplitz(weight, length):
    """bias[i, j] = weight[(i - j) + longest - 1] of a weight with 2 * longest - 1 elements."""
    longest = (weight.shape[0] + 1) // 2
    rows = [[weight[i - j + longest - 1] for j in range(length)] for i in range(length)]
    return torch.stack([torch.stack(row) for row in rows])


# Gated recurrences: arXiv:2410.01201.


def mingru(p, x, prefix="", candidate="positive", arithmetic="linear", h0=None):
    k, u = linear(p, prefix + "to_z", x), linear(p, prefix + "to_h", x)
    if h0 is None:
        h0 = torch.zeros_like(k[:, 0])
    if arithmetic == "log":
        # Heinsen's form, of the paper's appendix B: a cumulative sum and a cumulative log-sum-exp.
        log_g = torch.where(u >= 0, (F.relu(u) + 0.5).log(), -F.softplus(-u))
        log_a, log_b = -F.softplus(k), -F.softplus(-k) + log_g
        log_decay = F.pad(log_a.cumsum(dim=1), (0, 0, 1, 0))
        log_values = torch.cat([h0.clamp_min(1e-300).log()[:, None], log_b], dim=1)
        return (log_decay + torch.logcumsumexp(log_values - log_decay, dim=1)).exp()[:, 1:]
    if candidate == "positive":
        u = torch.where(u >= 0, u + 0.5, u.sigmoid())
    z, h, steps = k.sigmoid(), h0, []
    for t in range(x.shape[1]):
        h = (1 - z[:, t]) * h + z[:, t] * u[:, t]
        steps.append(h)
    return torch.stack(steps, dim=1)


def two_gates(p, x):
    """No published layer: a decay computed another way, another activation, a second gate."""
    a = (-F.softplus(linear(p, "decay", x))).exp()
    b = (1 - a) * linear(p, "value", x).tanh() * F.silu(linear(p, "gate", x))
    # h_t = sum over s <= t of (a_{s+1} ... a_t) b_s, with no recurrence at all.
    steps = []
    for t in range(x.shape[1]):
        terms = [b[:, s] * a[:, s + 1:t + 1].prod(dim=1) for s in range(t + 1)]
        steps.append(sum(terms))
    return linear(p, "output_gate", x).sigmoid() * torch.stack(steps, dim=1)


def gru(p, x, h0=None):
    hidden = p["hidden.weight"].shape[1]
    module = torch.nn.GRU(x.shape[-1], hidden, batch_first=True, dtype=x.dtype)
    weights = {
        "weight_ih_l0": p["input.weight"],
        "bias_ih_l0": p["input.bias"],
        "weight_hh_l0": p["hidden.weight"],
        "bias_hh_l0": p["hidden.bias"],
    }
    state = None if h0 is None else h0[None]
    return torch.func.functional_call(module, weights, (x, state))[0]


def causal_conv(p, x, prefix="", pointwise=True):
    weight = p[prefix + "depthwise.weight"]
    channels, kernel = weight.shape
    padded = F.pad(x.transpose(1, 2), (kernel - 1, 0))
    y = F.conv1d(padded, weight[:, None], p[prefix + "depthwise.bias"], groups=channels)
    y = y.transpose(1, 2)
    return linear(p, prefix + "pointwise", y) if pointwise else y


def minrnn_block(p, x, candidate="positive", conv=True, mlp_=True, norm_="layer"):
    if conv:
        x = x + causal_conv(p, norm(p, "norm_conv", x, norm_), "conv.")
    h = mingru(p, norm(p, "norm_rnn", x, norm_), "rnn.", candidate)
    x = x + linear(p, "to_out", h)
    if mlp_:
        x = x + mlp(p, norm(p, "norm_mlp", x, norm_), "mlp.")
    return x


# Feed-forward layers.

ACTIVATIONS = {
    "gelu": F.gelu,  # exact, by erf
    "relu": F.relu,
    "silu": F.silu,
    "relu2": lambda x: F.relu(x).square(),
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x,
}


def mlp(p, x, prefix="", activation="gelu"):
    return linear(p, prefix + "down", ACTIVATIONS[activation](linear(p, prefix + "up", x)))


def glu(p, x, prefix="", activation="gelu"):
    gate = ACTIVATIONS[activation](linear(p, prefix + "gate", x))
    return linear(p, prefix + "down", gate * linear(p, prefix + "up", x))


# Attention.


def attention(p, x, prefix="", heads=1, rotary=False, causal=True):
    q, k, v = linear(p, prefix + "in", x).chunk(3, dim=-1)
    split = lambda y: y.unflatten(-1, (heads, -1)).transpose(1, 2)  # to [batch, head, time, feature]
    q, k, v = split(q), split(k), split(v)
    if rotary:
        q, k = rope(q), rope(k)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return linear(p, prefix + "out", y.transpose(1, 2).flatten(-2))


def transformer(p, x, heads=1):
    """PyTorch's own layer, with its names for the parameters."""
    features, hidden = x.shape[-1], p["mlp.up.weight"].shape[0]
    module = torch.nn.TransformerEncoderLayer(
        features, heads, hidden, dropout=0.0, activation=F.gelu, batch_first=True,
        norm_first=True, dtype=x.dtype)
    names = {
        "norm1": "norm1", "norm2": "norm2", "attention.out": "self_attn.out_proj",
        "mlp.up": "linear1", "mlp.down": "linear2",
    }
    weights = {"self_attn.in_proj_weight": p["attention.in.weight"],
               "self_attn.in_proj_bias": p["attention.in.bias"]}
    for ours, theirs in names.items():
        weights[theirs + ".weight"] = p[ours + ".weight"]
        weights[theirs + ".bias"] = p[ours + ".bias"]
    mask = torch.nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
    return torch.func.functional_call(module, weights, (x, mask))


def transformer_plus(p, x, heads=1):
    x = x + attention(p, norm(p, "norm1", x), "attention.", heads, rotary=True)
    return x + mlp(p, norm(p, "norm2", x), "mlp.")


def transformer_pp(p, x, heads=1):
    x = x + attention(p, norm(p, "norm1", x), "attention.", heads, rotary=True)
    return x + glu(p, norm(p, "norm2", x), "glu.")


# Gated attention units: arXiv:2202.10447.


def gated_inputs(p, x, norm_):
    """u, v and the shared z of a gated attention unit."""
    head = p["qk.weight"].shape[1]
    expanded = p["out.weight"].shape[1]
    y = F.silu(linear(p, "in", norm(p, "norm", x, norm_)))
    u, v, z = y.split([expanded, expanded, head], dim=-1)
    heads = [z * p["qk.weight"][i] + p["qk.bias"][i] for i in range(p["qk.weight"].shape[0])]
    return u, v, [rope(h) for h in heads]


def gau(p, x, causal=True, norm_="layer"):
    """Code 6 of the paper: relu(q k / n + bias)^2, the causal mask after the square."""
    length = x.shape[1]
    u, v, (q, k) = gated_inputs(p, x, norm_)
    scores = q @ k.transpose(1, 2) / length
    if "rel.weight" in p:
        scores = scores + toeplitz(p["rel.weight"], length)
    weights = F.relu(scores).square()
    if causal:
        weights = weights * torch.ones(length, length, dtype=x.dtype).tril()
    return x + linear(p, "out", u * (weights @ v))


def flash(p, x, chunk, causal=True, norm_="layer"):
    """Codes 7 and 8: chunk by chunk; the linear part is the mean over the visible chunks."""
    u, v, (quad_q, quad_k, lin_q, lin_k) = gated_inputs(p, x, norm_)
    length = x.shape[1]
    starts = range(0, length, chunk)
    sums = [
        lin_k[:, s:s + chunk].transpose(1, 2) @ v[:, s:s + chunk] / chunk for s in starts
    ]
    outputs = []
    for g, s in enumerate(starts):
        rows = slice(s, min(s + chunk, length))
        size = rows.stop - rows.start
        scores = quad_q[:, rows] @ quad_k[:, rows].transpose(1, 2) / chunk
        weights = F.relu(scores + toeplitz(p["rel.weight"], size)).square()
        if causal:
            weights = weights * torch.ones(size, size, dtype=x.dtype).tril()
        y = weights @ v[:, rows]
        visible = sums[:g] if causal else sums
        if visible:
            y = y + lin_q[:, rows] @ (sum(visible) / len(visible))
        outputs.append(y)
    return x + linear(p, "out", u * torch.cat(outputs, dim=1))


# Positions and losses.


def scaled_sin(p, x, prefix="pos"):
    length, features = x.shape[1:]
    rows = []
    for t in range(length):
        angles = [t * 10000.0 ** (-j / (features / 2)) for j in range(features // 2)]
        rows.append([math.sin(a) for a in angles] + [math.cos(a) for a in angles])
    return x + p[prefix + ".weight"] * torch.tensor(rows, dtype=x.dtype)


def cross_entropy(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten().long(), ignore_index=-1)
