"""Tiny ONNX networks written byte by byte (protocol buffers, onnx.proto): no ONNX package is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while True:
        out.append((value & 0x7F) | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def field(number: int, content: bytes | str | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    data = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(data)) + data


def value(name: str, shape: Sequence[int | str], kind: int = 1) -> bytes:
    dims = b"".join(field(1, field(2, d) if isinstance(d, str) else field(1, d)) for d in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, dims)))


def node(operator: str, inputs: Sequence[str], output: str, attributes: bytes = b"") -> bytes:
    names = b"".join(field(1, name) for name in inputs)
    return names + field(2, output) + field(4, operator) + attributes


def axes(*numbers: int) -> bytes:
    ints = b"".join(field(8, number) for number in numbers)
    return field(5, field(1, "axes") + ints + field(20, 7))


def write_model(
    file: Path,
    *,
    shape: Sequence[int | str] = (1, 3, 64, 64),
    outputs: int = 1,
    squashed: bool = False,
    kind: int = 1,
    second_input: bool = False,
) -> Path:
    """A network whose map is the mean of its three planes, through a sigmoid if `squashed`."""
    steps = [node("ReduceMean", ["picture"], "mean" if squashed else "map0", axes(1))]
    if squashed:
        steps.append(node("Sigmoid", ["mean"], "map0"))
    steps += [node("Identity", ["map0"], f"map{i}") for i in range(1, outputs)]
    inputs = [value("picture", shape, kind)] + ([value("other", (1,))] if second_input else [])
    map_shape = (1, 1, *shape[2:])
    results = [value(f"map{i}", map_shape, kind) for i in range(outputs)]
    graph = (
        b"".join(field(1, step) for step in steps)
        + field(2, "net")
        + b"".join(field(11, item) for item in inputs)
        + b"".join(field(12, item) for item in results)
    )
    model = field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13))
    file.write_bytes(model)
    return file
