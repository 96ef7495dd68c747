"""A PyTorch process that compare.py measures: a training step, the step's products, or the scan alone."""

import torch
from safetensors.torch import load_file

import products
import scans
from serve import serve, settings
from step import Step


def training(wanted):
    step = Step(wanted)
    inputs = load_file(wanted.inputs)
    tokens, targets = inputs["tokens"].long(), inputs["targets"].long()
    count = sum(p.numel() for p in step.model.parameters())
    return lambda: step(tokens, targets), {"parameters": count}


def scan(wanted):
    """Forward and backward of a scan form, gradients of a and b included."""
    inputs = load_file(wanted.inputs)
    dtype = torch.bfloat16 if wanted.precision == "bf16" else torch.float32
    a, b = (inputs[name].to(dtype).requires_grad_() for name in ("a", "b"))
    cotangent = inputs["cotangent"].to(dtype)
    form = getattr(scans, wanted.scan)
    form = torch.compile(form) if wanted.compile else form

    def run():
        a.grad = b.grad = None
        h = form(a, b)
        h.backward(cotangent)
        return h.detach()[:, -1].float().sum().item()

    return run, {}


def main():
    wanted = settings()
    torch.set_num_threads(wanted.threads)
    if wanted.kind == "products":
        run, about = products.build(wanted), {}
    else:
        run, about = {"step": training, "scan": scan}[wanted.kind](wanted)
    serve(run, {"torch": torch.__version__, "threads": torch.get_num_threads(), **about})


main()
