"""ONNX bytes written by hand, as much of the format as a small graph needs: the `onnx` package is 20 MB more
for some KB of graph. Numbers of fields are those of onnx.proto.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

OPSET = 13
IR_VERSION = 8
FLOAT, UINT8, INT64 = 1, 2, 7
_ATTR_FLOAT, _ATTR_INT, _ATTR_INTS = 1, 2, 7

Attribute = int | float | Sequence[int]


def model(
    name: str,
    nodes: Sequence[bytes],
    constants: Sequence[bytes],
    inputs: Sequence[bytes],
    outputs: Sequence[bytes],
) -> bytes:
    """A serialised ModelProto; the same bytes every time."""
    graph = b"".join(
        (
            *(_block(1, node) for node in nodes),
            _text(2, name),
            *(_block(5, constant) for constant in constants),
            *(_block(11, value) for value in inputs),
            *(_block(12, value) for value in outputs),
        )
    )
    opset = _number(2, OPSET)
    return _number(1, IR_VERSION) + _text(2, "conductor") + _block(7, graph) + _block(8, opset)


def node(op: str, inputs: Sequence[str], output: str | Sequence[str], **attributes: Attribute) -> bytes:
    """One step, of one result or of several."""
    made = [output] if isinstance(output, str) else list(output)
    parts = [
        *(_text(1, each) for each in inputs),
        *(_text(2, each) for each in made),
        _text(3, f"make_{made[0]}"),
        _text(4, op),
    ]
    return b"".join([*parts, *(_block(5, _attribute(name, value)) for name, value in attributes.items())])


def floats(name: str, values: Sequence[float], shape: Sequence[int] | None = None) -> bytes:
    """A constant. `shape`: default: one row."""
    return _tensor(name, FLOAT, shape or [len(values)], struct.pack(f"<{len(values)}f", *values))


def ints(name: str, values: Sequence[int], shape: Sequence[int] | None = None) -> bytes:
    return _tensor(name, INT64, shape or [len(values)], struct.pack(f"<{len(values)}q", *values))


def value(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    """What goes in or comes out; a side of any length has a name."""
    sides = (_number(1, side) if isinstance(side, int) else _text(2, side) for side in shape)
    tensor = _number(1, kind) + _block(2, b"".join(_block(1, side) for side in sides))
    return _text(1, name) + _block(2, _block(1, tensor))


# ── protobuf ──────────────────────────────────────────────────────────────────────────────────────────────


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _block(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _block(field, text.encode())


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, _ATTR_INT)
    if isinstance(value, float):
        return _text(1, name) + _varint(2 << 3 | 5) + struct.pack("<f", value) + _number(20, _ATTR_FLOAT)
    return _text(1, name) + b"".join(_number(8, item) for item in value) + _number(20, _ATTR_INTS)


def _tensor(name: str, kind: int, shape: Sequence[int], raw: bytes) -> bytes:
    assert math.prod(shape) * {FLOAT: 4, INT64: 8}[kind] == len(raw), f"{name} has another shape"
    sides = b"".join(_number(1, side) for side in shape)
    return sides + _number(2, kind) + _text(8, name) + _block(9, raw)
