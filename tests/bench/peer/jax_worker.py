"""A JAX process that compare.py measures: the minGRU model's training step, or the scan alone, with lax.associative_scan."""

from functools import partial

import jax
import jax.numpy as jnp
from safetensors.numpy import load_file

from serve import serve, settings

wanted = settings()
LR, BETA1, BETA2, EPS, DECAY, CLIP, WARMUP = 1e-3, 0.9, 0.99, 1e-8, 0.1, 1.0, 100
COMPUTE = jnp.bfloat16 if wanted.precision == "bf16" else jnp.float32


def linear(p, name, x):
    return x.astype(COMPUTE) @ p[name + ".weight"].astype(COMPUTE).T + p[name + ".bias"].astype(COMPUTE)


def norm(p, name, x):
    mean = x.mean(axis=-1, keepdims=True)
    variance = jnp.square(x - mean).mean(axis=-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * p[name + ".weight"] + p[name + ".bias"]


def combine(first, second):
    return first[0] * second[0], second[0] * first[1] + second[1]


def scan(a, b):
    return jax.lax.associative_scan(combine, (a, b), axis=1)[1]


def mingru(p, name, x):
    k, u = linear(p, name + ".to_z", x), linear(p, name + ".to_h", x)
    candidate = jnp.where(u >= 0, u + 0.5, jax.nn.sigmoid(u))
    return scan(jax.nn.sigmoid(-k), jax.nn.sigmoid(k) * candidate)


def conv(p, name, x):
    weight = p[name + ".depthwise.weight"]
    padded = jnp.pad(x, ((0, 0), (weight.shape[1] - 1, 0), (0, 0)))
    taps = (padded[:, j:j + x.shape[1]] * weight[:, j] for j in range(weight.shape[1]))
    return linear(p, name + ".pointwise", sum(taps) + p[name + ".depthwise.bias"])


def block(p, name, x):
    x = x + conv(p, name + "conv", norm(p, name + "norm_conv", x))
    h = mingru(p, name + "rnn", norm(p, name + "norm_rnn", x))
    x = x + linear(p, name + "to_out", h)
    up = linear(p, name + "mlp.up", norm(p, name + "norm_mlp", x))
    return x + linear(p, name + "mlp.down", jax.nn.gelu(up, approximate=False))


def loss(p, tokens, targets):
    x = p["tok.weight"][tokens]
    for i in range(wanted.layers):
        x = block(p, f"layer.{i}.", x)
    logits = norm(p, "norm", x).astype(COMPUTE) @ p["tok.weight"].astype(COMPUTE).T
    chances = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -jnp.take_along_axis(chances, targets[..., None], axis=-1).mean()


def decays(name):
    return not (name.endswith(".bias") or "norm" in name or name.startswith("tok."))


@partial(jax.jit, donate_argnums=(0, 1, 2))
def step(p, m, v, count, tokens, targets):
    value, g = jax.value_and_grad(loss)(p, tokens, targets)
    total = jnp.sqrt(sum(jnp.square(x).sum() for x in g.values()))
    factor = jnp.minimum(1.0, CLIP / (total + 1e-6))
    lr = LR * jnp.minimum(1.0, count / WARMUP)
    new_p, new_m, new_v = {}, {}, {}
    for name, x in p.items():
        clipped = g[name] * factor
        new_m[name] = BETA1 * m[name] + (1 - BETA1) * clipped
        new_v[name] = BETA2 * v[name] + (1 - BETA2) * jnp.square(clipped)
        root = jnp.sqrt(new_v[name] / (1 - BETA2**count)) + EPS
        kept = x * (1 - lr * DECAY) if decays(name) else x
        new_p[name] = kept - lr * new_m[name] / (1 - BETA1**count) / root
    return new_p, new_m, new_v, value


def training():
    inputs = load_file(wanted.inputs)
    tokens, targets = jnp.asarray(inputs["tokens"]), jnp.asarray(inputs["targets"])
    p = {name: jnp.asarray(x) for name, x in load_file(wanted.parameters).items()}
    zeros = lambda: {name: jnp.zeros_like(x) for name, x in p.items()}
    state, count = [p, zeros(), zeros()], 0

    def run():
        nonlocal count
        count += 1
        *state[:], value = step(*state, float(count), tokens, targets)
        return float(value)

    return run, {"parameters": sum(x.size for x in p.values())}


def scanning():
    inputs = load_file(wanted.inputs)
    a, b, cotangent = (jnp.asarray(inputs[name], COMPUTE) for name in ("a", "b", "cotangent"))

    @jax.jit
    def both(a, b, cotangent):
        h, pull = jax.vjp(scan, a, b)
        return h, pull(cotangent)

    def run():
        h, gradients = jax.block_until_ready(both(a, b, cotangent))
        return float(h[:, -1].astype(jnp.float32).sum())

    return run, {}


run, about = training() if wanted.kind == "step" else scanning()
serve(run, {"jax": jax.__version__, "devices": str(jax.devices()), **about})
