"""Tensors in safetensors files for deploy_test.sh: make, cut, compare.

  tensors.py tokens FILE BATCH LENGTH VOCABULARY   random tokens
  tensors.py list FILE TOKEN...                    these tokens, one row
  tensors.py slice IN OUT BEGIN END                times BEGIN to END of each tensor (batch x time x ...)
  tensors.py only IN OUT NAME                      one tensor of several
  tensors.py raw IN OUT                            the bytes of the only tensor
  tensors.py join_c_outputs IN BATCH LENGTH SPLIT FEATURES OUT   what c_outputs.c wrote, as the tensor `output`
  tensors.py compare REFERENCE FILE TOLERANCE      max|error| / max|reference| of each tensor
  tensors.py greedy LOGITS FIRST TOKEN...          TOKENs are the likeliest after times FIRST - 1, FIRST, ...
"""

import array
import json
import random
import struct
import sys

CODES = {"F32": "f", "I32": "i", "I64": "q", "F64": "d"}


def read(path):
    """{name: (dtype, shape, values)}"""
    with open(path, "rb") as file:
        data = file.read()
    (size,) = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        values = array.array(CODES[entry["dtype"]], data[begin:end])
        tensors[name] = (entry["dtype"], entry["shape"], values)
    return tensors


def write(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, values) in tensors.items():
        piece = values.tobytes()
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def times(tensor, begin, end):
    dtype, shape, values = tensor
    inner = 1
    for extent in shape[2:]:
        inner *= extent
    cut = array.array(values.typecode)
    for row in range(shape[0]):
        start = row * shape[1] * inner
        cut += values[start + begin * inner : start + end * inner]
    return dtype, [shape[0], end - begin] + shape[2:], cut


def compare(reference, path, tolerance):
    expected, actual = read(reference), read(path)
    if expected.keys() != actual.keys():
        sys.exit(f"{path} holds {list(actual)}, not {list(expected)}")
    for name, (_, shape, values) in expected.items():
        if actual[name][1] != shape:
            sys.exit(f"{path}: {name} is {actual[name][1]}, not {shape}")
        error = max((abs(a - b) if a == a else float("inf")) for a, b in zip(actual[name][2], values))
        relative = error / max(abs(value) for value in values)
        print(f"{path}: {name}: {relative:.2e}")
        if not relative <= tolerance:
            sys.exit(f"{path}: {name} is off by {relative:.2e}, more than {tolerance}")


def join_c_outputs(source, batch, length, split, features, target):
    with open(source, "rb") as file:
        values = array.array("f", file.read())
    joined = array.array("f")
    for row in range(batch):
        for time in range(split):
            start = (time * batch + row) * features
            joined += values[start : start + features]
        start = (split * batch + row * (length - split)) * features
        joined += values[start : start + (length - split) * features]
    write(target, {"output": ("F32", [batch, length, features], joined)})


def greedy(path, first, tokens):
    ((_, shape, values),) = read(path).values()
    for i, token in enumerate(tokens):
        start = (first - 1 + i) * shape[2]
        row = values[start : start + shape[2]]
        if token != row.index(max(row)):
            sys.exit(f"after {first + i} tokens {row.index(max(row))} is likeliest, not {token}")


def main(command, *arguments):
    if command == "tokens":
        path, batch, length, vocabulary = arguments[0], *map(int, arguments[1:])
        random.seed(1)
        values = array.array("i", (random.randrange(vocabulary) for _ in range(batch * length)))
        write(path, {"tokens": ("I32", [batch, length], values)})
    elif command == "list":
        values = array.array("i", map(int, arguments[1:]))
        write(arguments[0], {"tokens": ("I32", [1, len(values)], values)})
    elif command == "slice":
        begin, end = map(int, arguments[2:])
        write(arguments[1], {name: times(tensor, begin, end) for name, tensor in read(arguments[0]).items()})
    elif command == "only":
        write(arguments[1], {arguments[2]: read(arguments[0])[arguments[2]]})
    elif command == "raw":
        ((_, _, values),) = read(arguments[0]).values()
        with open(arguments[1], "wb") as file:
            file.write(values.tobytes())
    elif command == "join_c_outputs":
        join_c_outputs(arguments[0], *map(int, arguments[1:5]), arguments[5])
    elif command == "compare":
        compare(arguments[0], arguments[1], float(arguments[2]))
    elif command == "greedy":
        greedy(arguments[0], int(arguments[1]), [int(token) for token in arguments[2:]])
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])
