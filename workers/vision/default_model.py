"""The project's own model, written as ONNX bytes on the spot: how much moves, and where the scene changes.

Input `frames`: uint8 [n, height, width, 3]. Outputs `motion` and `change`: float [n-1], 0 to 1, of each frame
against the one before. Built by hand because the `onnx` package is 20 MB more for 3 KB of graph.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

#: Frames are averaged over squares of this many pixels first, so that noise is not motion.
POOL = 4
#: Colour histogram: this many overlapping bins a channel.
BINS = 16
OPSET = 13
IR_VERSION = 8

_FLOAT, _UINT8, _INT64 = 1, 2, 7
_ATTR_INT, _ATTR_INTS = 2, 7


def build() -> bytes:
    """A serialised ModelProto; the same bytes every time."""
    opset = _number(2, OPSET)
    return b"".join(
        (_number(1, IR_VERSION), _text(2, "conductor"), _block(7, _graph()), _block(8, opset)),
    )


def _graph() -> bytes:
    nodes = [*_prepare(), *_motion(), *_change()]
    values = [
        _floats("per_255", [1 / 255]),
        _floats("one", [1.0]),
        _floats("bins_less_1", [float(BINS - 1)]),
        _floats("half_bins", [BINS / 2]),
        _floats("centres", [k / (BINS - 1) for k in range(BINS)]),
        _ints("zero", [0]),
        _ints("first", [1]),
        _ints("last", [-1]),
        _ints("end", [2**31]),
    ]
    return b"".join(
        (
            *(_block(1, node) for node in nodes),
            _text(2, "motion_and_change"),
            *(_block(5, value) for value in values),
            _block(11, _value("frames", _UINT8, ["n", "height", "width", 3])),
            _block(12, _value("motion", _FLOAT, ["pairs"])),
            _block(12, _value("change", _FLOAT, ["pairs"])),
        )
    )


def _prepare() -> list[bytes]:
    """frames → `small`, float [n, 3, h/POOL, w/POOL], 0 to 1."""
    return [
        _node("Cast", ["frames"], "raw", to=_FLOAT),
        _node("Mul", ["raw", "per_255"], "scaled"),
        _node("Transpose", ["scaled"], "planes", perm=[0, 3, 1, 2]),
        _node("AveragePool", ["planes"], "small", kernel_shape=[POOL, POOL], strides=[POOL, POOL]),
    ]


def _motion() -> list[bytes]:
    return [
        *_differences("small", "moved"),
        _node("ReduceMean", ["moved"], "motion", axes=[1, 2, 3], keepdims=0),
    ]


def _change() -> list[bytes]:
    """How differently the colours are spread: half the sum of the histogram's differences, averaged over
    channels.

    A pixel counts for the two bins it lies between, so a slow fade does not jump from bin to bin.
    """
    return [
        _node("Unsqueeze", ["small", "last"], "pixels"),
        _node("Sub", ["pixels", "centres"], "off"),
        _node("Abs", ["off"], "distance"),
        _node("Mul", ["distance", "bins_less_1"], "bins_away"),
        _node("Sub", ["one", "bins_away"], "near"),
        _node("Relu", ["near"], "weights"),
        _node("ReduceMean", ["weights"], "histogram", axes=[2, 3], keepdims=0),
        *_differences("histogram", "spread"),
        _node("ReduceMean", ["spread"], "mean_spread", axes=[1, 2], keepdims=0),
        _node("Mul", ["mean_spread", "half_bins"], "change"),
    ]


def _differences(of: str, result: str) -> list[bytes]:
    """|x[1:] - x[:-1]| along the first axis."""
    return [
        _node("Slice", [of, "first", "end", "zero"], f"{of}_after"),
        _node("Slice", [of, "zero", "last", "zero"], f"{of}_before"),
        _node("Sub", [f"{of}_after", f"{of}_before"], f"{result}_signed"),
        _node("Abs", [f"{result}_signed"], result),
    ]


# ── protobuf, as much as a graph needs ────────────────────────────────────────────────────────────────────


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


def _node(op: str, inputs: Sequence[str], output: str, **attributes: int | list[int]) -> bytes:
    parts = [*(_text(1, name) for name in inputs), _text(2, output), _text(3, f"make_{output}"), _text(4, op)]
    return b"".join([*parts, *(_block(5, _attribute(name, value)) for name, value in attributes.items())])


def _attribute(name: str, value: int | list[int]) -> bytes:
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, _ATTR_INT)
    return _text(1, name) + b"".join(_number(8, item) for item in value) + _number(20, _ATTR_INTS)


def _floats(name: str, values: list[float]) -> bytes:
    return _tensor(name, _FLOAT, len(values), struct.pack(f"<{len(values)}f", *values))


def _ints(name: str, values: list[int]) -> bytes:
    return _tensor(name, _INT64, len(values), struct.pack(f"<{len(values)}q", *values))


def _tensor(name: str, kind: int, size: int, raw: bytes) -> bytes:
    return _number(1, size) + _number(2, kind) + _text(8, name) + _block(9, raw)


def _value(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    dims = (_number(1, d) if isinstance(d, int) else _text(2, d) for d in shape)
    tensor = _number(1, kind) + _block(2, b"".join(_block(1, dim) for dim in dims))
    return _text(1, name) + _block(2, _block(1, tensor))
