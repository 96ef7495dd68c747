"""Makes the golden tensors: for each case below a model (`<case>.mlir`) and its tensors (`<case>.safetensors`).

    pip install torch safetensors numpy
    python3 tests/golden/make_golden.py          # writes next to itself; --check only compares

Weir's answers are held against these, which come from another hand (layers.py). A file holds

    param.<path>, input.<argument>, input.state.<path>       what goes in (f32, i32)
    cotangent                                                the loss is sum(output * cotangent)
    output, output.state.<path>                              what comes out (f64, computed in f64)
    gradient.param.<path>, gradient.input.<argument>, gradient.state.<path>

and, as metadata, the layer with its options. Random values are drawn by NumPy from the case's name.
"""

import argparse
import dataclasses
import itertools
import json
import pathlib
import sys
import zlib
from typing import Callable

import numpy as np
import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import layers  # noqa: E402

BATCH, TIME, D = 2, 13, 8

SEQ = "tensor<?x?x?xf32>"
IN = f"tensor<?x?x{D}xf32>"


@dataclasses.dataclass
class Case:
    name: str
    compute: Callable  # (parameters, inputs) -> output, or (output, {state: final})
    parameters: dict  # path -> shape
    layer: str = ""  # applied with `options`, unless there is a `body`
    options: dict = dataclasses.field(default_factory=dict)
    body: str = ""  # the model's body
    definitions: str = ""  # layers of the case's own
    arguments: str = f"%x: {IN}"
    result: str = SEQ
    inputs: dict = dataclasses.field(default_factory=lambda: {"x": (BATCH, TIME, D)})
    # Integer inputs: name -> (low, high), drawn from low..high-1.
    integers: dict = dataclasses.field(default_factory=dict)
    why: str = ""

    def model(self):
        body = self.body
        if not body:
            options = ", ".join(f"{key} = {json.dumps(value)}" for key, value in self.options.items())
            options = f" {{{options}}}" if options else ""
            body = f'%y = weir.apply "{self.layer}"(%x){options} : ({IN}) -> {SEQ}'
            body += f"\nweir.return %y : {SEQ}"
        body = "".join(f"  {line}\n" for line in body.strip().split("\n"))
        why = f"// {self.why}\n" if self.why else ""
        return (f"// Golden case {self.name}. Written by make_golden.py.\n{why}{self.definitions}"
                f"weir.model @main({self.arguments}) -> {self.result} {{\n{body}}}\n")

    def tensors(self):
        random = np.random.default_rng(zlib.crc32(self.name.encode()))
        draw = lambda shape, scale, mean=0.0: torch.from_numpy(np.asarray(
            mean + scale * random.standard_normal(shape), dtype=np.float32))
        given = {}
        for path, shape in self.parameters.items():
            given["param." + path] = draw(shape, *distribution(path, shape))
        for name, shape in self.inputs.items():
            if name in self.integers:
                values = random.integers(*self.integers[name], size=shape)
                given["input." + name] = torch.from_numpy(values.astype(np.int32))
            elif name.startswith("state."):
                # Positive: the logarithm of a state must exist.
                given["input." + name] = draw(shape, 1.0).abs() + 0.1
            else:
                given["input." + name] = draw(shape, 1.0)

        leaves = {
            name: value.double().requires_grad_() if value.is_floating_point() else value
            for name, value in given.items()
        }
        parameters = {path: leaves["param." + path] for path in self.parameters}
        inputs = {name: leaves["input." + name] for name in self.inputs}
        output, states = self.compute(parameters, inputs), {}
        if isinstance(output, tuple):
            output, states = output
        cotangent = draw(tuple(output.shape), 1.0)
        (output * cotangent.double()).sum().backward()

        result = dict(given)
        result["cotangent"] = cotangent
        result["output"] = output.detach()
        for path, state in states.items():
            result["output.state." + path] = state.detach()
        for name, leaf in leaves.items():
            if leaf.is_floating_point():
                name = name.replace("input.state.", "state.")
                result["gradient." + name] = leaf.grad
        # Results may be views of one another; the format wants dense tensors.
        return {name: tensor.clone().contiguous() for name, tensor in result.items()}

    def metadata(self):
        # One entry: the library writes several in any order, and the files are to be the same each time.
        return {"layer": f"{self.layer or self.name} {json.dumps(self.options)}"}


def distribution(path, shape):
    """Scale and mean of a parameter. Wider than initial values are: each must matter to the output."""
    if "norm" in path and path.endswith(".weight"):
        return 0.3, 1.0
    if path in ("qk.weight",):
        return 0.5, 1.0
    if path.endswith(".weight") and len(shape) == 2 and not path.startswith("tok"):
        return 1.0 / np.sqrt(shape[1]), 0.0
    return 0.5, 0.0


def linear(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name, kind="layer", d=D):
    if kind == "layer":
        return {f"{name}.weight": (d,), f"{name}.bias": (d,)}
    return {f"{name}.weight": (d,) if kind == "rms" else ()}


def mingru(hidden, prefix=""):
    return linear(prefix + "to_z", D, hidden) | linear(prefix + "to_h", D, hidden)


def gru(hidden):
    return linear("input", D, 3 * hidden) | linear("hidden", hidden, 3 * hidden)


def conv(kernel, prefix="", pointwise=True):
    shapes = {f"{prefix}depthwise.weight": (D, kernel), f"{prefix}depthwise.bias": (D,)}
    return shapes | (linear(prefix + "pointwise", D, D) if pointwise else {})


def mlp(hidden, prefix=""):
    return linear(prefix + "up", D, hidden) | linear(prefix + "down", hidden, D)


def glu(hidden, prefix=""):
    return linear(prefix + "gate", D, hidden) | mlp(hidden, prefix)


def attention(prefix=""):
    return linear(prefix + "in", D, 3 * D) | linear(prefix + "out", D, D)


def gated(expanded, head, heads, bias, norm_="layer"):
    shapes = norm("norm", norm_) | linear("in", D, 2 * expanded + head)
    shapes |= {"qk.weight": (heads, head), "qk.bias": (heads, head)}
    if bias:
        shapes["rel.weight"] = (2 * bias - 1,)
    return shapes | linear("out", expanded, D)


def minrnn(hidden, conv_=True, mlp_=0, norm_="layer"):
    shapes = {}
    if conv_:
        shapes |= norm("norm_conv", norm_) | conv(4, "conv.")
    shapes |= norm("norm_rnn", norm_) | mingru(hidden, "rnn.") | linear("to_out", hidden, D)
    if mlp_:
        shapes |= norm("norm_mlp", norm_) | mlp(mlp_ * D, "mlp.")
    return shapes


def with_final(compute):
    """A recurrence's output, and its last step as the final state."""
    def run(p, i):
        h = compute(p, i)
        return h, {"h": h[:, -1]}
    return run


def sequence(length):
    return {"x": (BATCH, length, D)}


def mingru_cases():
    for candidate in ("positive", "identity"):
        yield Case(f"mingru_{candidate}",
                   with_final(lambda p, i, c=candidate: layers.mingru(p, i["x"], candidate=c)),
                   mingru(12), "mingru", {"hidden": 12, "candidate": candidate})
    log = dict(candidate="positive", arithmetic="log")
    yield Case("mingru_log", with_final(lambda p, i: layers.mingru(p, i["x"], **log)),
               mingru(12), "mingru", {"hidden": 12, **log})
    yield Case("mingru_length_1", with_final(lambda p, i: layers.mingru(p, i["x"])),
               mingru(8), "mingru", inputs=sequence(1))
    state = {"x": (BATCH, TIME, D), "state.h": (BATCH, 12)}
    for arithmetic in ("linear", "log"):
        yield Case(
            f"mingru_state_{arithmetic}",
            with_final(lambda p, i, a=arithmetic: layers.mingru(
                p, i["x"], arithmetic=a, h0=i["state.h"])),
            mingru(12), "mingru", {"hidden": 12, "arithmetic": arithmetic}, inputs=state,
            why="With an initial state.")


def cases():
    yield from mingru_cases()
    yield Case("gru", with_final(lambda p, i: layers.gru(p, i["x"])), gru(12), "gru", {"hidden": 12})
    yield Case("gru_state", with_final(lambda p, i: layers.gru(p, i["x"], i["state.h"])), gru(10),
               "gru", {"hidden": 10}, inputs={"x": (BATCH, TIME, D), "state.h": (BATCH, 10)},
               why="With an initial state.")
    yield Case("causal_conv", lambda p, i: layers.causal_conv(p, i["x"]), conv(4), "causal_conv")
    yield Case("causal_conv_depthwise",
               lambda p, i: layers.causal_conv(p, i["x"], pointwise=False),
               conv(3, pointwise=False), "causal_conv", {"kernel": 3, "pointwise": False})
    yield Case("causal_conv_short", lambda p, i: layers.causal_conv(p, i["x"]), conv(4),
               "causal_conv", inputs=sequence(2), why="Shorter than the kernel.")
    yield Case("minrnn_block", lambda p, i: layers.minrnn_block(p, i["x"]),
               minrnn(16, True, 4), "minrnn_block", {"hidden": 16})
    yield Case("minrnn_block_bare",
               lambda p, i: layers.minrnn_block(p, i["x"], "identity", False, False, "rms"),
               minrnn(24, False, 0, "rms"), "minrnn_block",
               {"hidden": 24, "candidate": "identity", "conv": False, "mlp": False, "norm": "rms"})

    yield Case("mlp", lambda p, i: layers.mlp(p, i["x"]), mlp(32), "mlp")
    for activation in ("relu", "silu", "relu2"):
        yield Case(f"mlp_{activation}",
                   lambda p, i, a=activation: layers.mlp(p, i["x"], activation=a), mlp(10), "mlp",
                   {"hidden": 10, "activation": activation})
    yield Case("glu", lambda p, i: layers.glu(p, i["x"]), glu(21), "glu")
    for activation in ("silu", "sigmoid", "identity"):
        yield Case(f"glu_{activation}",
                   lambda p, i, a=activation: layers.glu(p, i["x"], activation=a), glu(10), "glu",
                   {"hidden": 10, "activation": activation})

    yield Case("attention", lambda p, i: layers.attention(p, i["x"]), attention(), "attention")
    yield Case("attention_heads", lambda p, i: layers.attention(p, i["x"], heads=2), attention(),
               "attention", {"heads": 2})
    yield Case("attention_rotary",
               lambda p, i: layers.attention(p, i["x"], heads=2, rotary=True), attention(),
               "attention", {"heads": 2, "rotary": True})
    yield Case("attention_bidirectional",
               lambda p, i: layers.attention(p, i["x"], heads=2, causal=False), attention(),
               "attention", {"heads": 2, "causal": False})
    block = norm("norm1") | attention("attention.") | norm("norm2")
    yield Case("transformer", lambda p, i: layers.transformer(p, i["x"], 2),
               block | mlp(32, "mlp."), "transformer", {"heads": 2})
    yield Case("transformer_plus", lambda p, i: layers.transformer_plus(p, i["x"], 2),
               block | mlp(32, "mlp."), "transformer_plus", {"heads": 2})
    yield Case("transformer_pp", lambda p, i: layers.transformer_pp(p, i["x"], 2),
               block | glu(21, "glu."), "transformer_pp", {"heads": 2})

    options = {"expanded": 12, "head": 6}
    yield Case("gau", lambda p, i: layers.gau(p, i["x"]), gated(12, 6, 2, TIME), "gau",
               {**options, "length": TIME})
    yield Case("gau_longer_bias", lambda p, i: layers.gau(p, i["x"]), gated(12, 6, 2, 20), "gau",
               {**options, "length": 20}, why="The sequence is shorter than the longest one.")
    yield Case("gau_bidirectional", lambda p, i: layers.gau(p, i["x"], causal=False),
               gated(12, 6, 2, TIME), "gau", {**options, "length": TIME, "causal": False})
    yield Case("gau_no_bias", lambda p, i: layers.gau(p, i["x"], norm_="scale"),
               gated(12, 6, 2, 0, "scale"), "gau", {**options, "bias": "none", "norm": "scale"})
    for length in (TIME, 16, 3):
        yield Case(f"flash_length_{length}", lambda p, i: layers.flash(p, i["x"], 4),
                   gated(12, 6, 4, 4), "flash", {**options, "chunk": 4}, inputs=sequence(length))
    yield Case("flash_bidirectional", lambda p, i: layers.flash(p, i["x"], 4, causal=False),
               gated(12, 6, 4, 4), "flash", {**options, "chunk": 4, "causal": False})
    yield Case("flash_scale_norm", lambda p, i: layers.flash(p, i["x"], 4, norm_="scale"),
               gated(16, 6, 4, 4, "scale"), "flash", {"head": 6, "chunk": 4, "norm": "scale"})

    for kind in ("layer", "rms", "scale"):
        yield Case(f"{kind}_norm", lambda p, i, k=kind: layers.norm(p, "norm", i["x"], k),
                   norm("norm", kind),
                   body=f'%y = weir.{kind}_norm %x, "norm" : {IN} -> {SEQ}\nweir.return %y : {SEQ}')
    yield Case("scaled_sin", lambda p, i: layers.scaled_sin(p, i["x"]), {"pos.weight": ()},
               body=f'%y = weir.scaled_sin %x, "pos" : {IN} -> {SEQ}\nweir.return %y : {SEQ}')
    yield Case(
        "cross_entropy", lambda p, i: layers.cross_entropy(i["x"], i["targets"]), {},
        body="%loss, %sum, %correct, %count, %sequences = weir.cross_entropy %x, %targets : "
             f"{IN}, tensor<?x?xi32> -> tensor<f32>\nweir.return %loss : tensor<f32>",
        arguments=f"%x: {IN}, %targets: tensor<?x?xi32>", result="tensor<f32>",
        inputs={"x": (BATCH, TIME, D), "targets": (BATCH, TIME)}, integers={"targets": (-1, D)},
        why="Targets of -1 have no loss.")
    for tied in (True, False):
        head = 'tied("tok")' if tied else '"out" [11]'
        name = "tok" if tied else "out"
        yield Case(
            "lm_tied" if tied else "lm_separate",
            lambda p, i, n=name: layers.mingru(
                p, layers.scaled_sin(p, p["tok.weight"][i["tokens"].long()]), "layer.")
            @ p[n + ".weight"].T,
            {"tok.weight": (11, D), "pos.weight": ()} | mingru(D, "layer.")
            | ({} if tied else {"out.weight": (11, D)}),
            body=f"""%e = weir.embedding %tokens, "tok" [11, {D}] : tensor<?x?xi32> -> {SEQ}
%p = weir.scaled_sin %e, "pos" : {SEQ}
%h = weir.apply "mingru"(%p) as "layer" : {SEQ}
%y = weir.head %h{" " if tied else ", "}{head} : {SEQ}
weir.return %y : {SEQ}""",
            arguments="%tokens: tensor<?x?xi32>", inputs={"tokens": (BATCH, TIME)},
            integers={"tokens": (0, 11)}, why="From tokens to logits.")


TWO_GATES = f"""\
// h_t = a_t h_{{t-1}} + (1 - a_t) tanh(V x_t) silu(W x_t), a_t = exp(-softplus(U x_t)); y_t = sigmoid(G x_t) h_t.
weir.layer @two_gates(%x: {SEQ}) -> {SEQ} {{
  %d = weir.dim %x, feature : {SEQ}
  %u = weir.linear %x, "decay" [%d] bias : {SEQ}
  %v = weir.linear %x, "value" [%d] : {SEQ}
  %w = weir.linear %x, "gate" [%d] bias : {SEQ}
  %g = weir.linear %x, "output_gate" [%d] bias : {SEQ}
  %s = weir.softplus %u : {SEQ}
  %n = arith.negf %s : {SEQ}
  %a = math.exp %n : {SEQ}
  %one = weir.constant 1.0 like %a : {SEQ}
  %rest = arith.subf %one, %a : {SEQ}
  %tanh = math.tanh %v : {SEQ}
  %silu = weir.silu %w : {SEQ}
  %c = arith.mulf %tanh, %silu : {SEQ}
  %b = arith.mulf %rest, %c : {SEQ}
  %h, %last = weir.scan(%a, %b) : ({SEQ}, {SEQ}) -> ({SEQ}, tensor<?x?xf32>)
  %o = weir.sigmoid %g : {SEQ}
  %y = arith.mulf %o, %h : {SEQ}
  weir.return %y : {SEQ}
}}

"""


def own_layer_case():
    shapes = linear("decay", D, D) | {"value.weight": (D, D)}
    yield Case("two_gates", lambda p, i: layers.two_gates(p, i["x"]),
               shapes | linear("gate", D, D) | linear("output_gate", D, D), "two_gates",
               definitions=TWO_GATES, why="A layer that is no plugin: it is defined where it is used.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the files, write nothing")
    arguments = parser.parse_args()
    folder = pathlib.Path(__file__).parent
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    differing = 0
    for case in itertools.chain(cases(), own_layer_case()):
        tensors, model = case.tensors(), case.model()
        for name, tensor in tensors.items():
            assert torch.isfinite(tensor).all(), f"{case.name}: {name} is not finite"
            # A gradient of zero would pass with a wrong one of nearly zero.
            assert tensor.abs().max() > 1e-4, f"{case.name}: {name} is all zero"
        file = folder / f"{case.name}.safetensors"
        text = folder / f"{case.name}.mlir"
        if not arguments.check:
            save_file(tensors, file, metadata=case.metadata())
            text.write_text(model)
            continue
        stored = load_file(file)
        close = stored.keys() == tensors.keys() and all(
            torch.allclose(stored[name], tensors[name], rtol=1e-9, atol=1e-12) for name in tensors)
        if not close or text.read_text() != model:
            print(f"{case.name}: differs")
            differing += 1
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
