"""The project's own model, written as ONNX bytes on the spot: how much moves, and where the scene changes.

Input `frames`: uint8 [n, height, width, 3]. Outputs `motion` and `change`: float [n-1], 0 to 1, of each frame
against the one before.
"""

from __future__ import annotations

from workers.vision.onnx_graph import FLOAT, UINT8, floats, ints, model, node, value

#: Frames are averaged over squares of this many pixels first, so that noise is not motion.
POOL = 4
#: Colour histogram: this many overlapping bins a channel.
BINS = 16


def build() -> bytes:
    """A serialised ModelProto; the same bytes every time."""
    constants = [
        floats("per_255", [1 / 255]),
        floats("one", [1.0]),
        floats("bins_less_1", [float(BINS - 1)]),
        floats("half_bins", [BINS / 2]),
        floats("centres", [k / (BINS - 1) for k in range(BINS)]),
        ints("zero", [0]),
        ints("first", [1]),
        ints("last", [-1]),
        ints("end", [2**31]),
    ]
    return model(
        "motion_and_change",
        [*_prepare(), *_motion(), *_change()],
        constants,
        [value("frames", UINT8, ["n", "height", "width", 3])],
        [value("motion", FLOAT, ["pairs"]), value("change", FLOAT, ["pairs"])],
    )


def _prepare() -> list[bytes]:
    """frames → `small`, float [n, 3, h/POOL, w/POOL], 0 to 1."""
    return [
        node("Cast", ["frames"], "raw", to=FLOAT),
        node("Mul", ["raw", "per_255"], "scaled"),
        node("Transpose", ["scaled"], "planes", perm=[0, 3, 1, 2]),
        node("AveragePool", ["planes"], "small", kernel_shape=[POOL, POOL], strides=[POOL, POOL]),
    ]


def _motion() -> list[bytes]:
    return [
        *_differences("small", "moved"),
        node("ReduceMean", ["moved"], "motion", axes=[1, 2, 3], keepdims=0),
    ]


def _change() -> list[bytes]:
    """How differently the colours are spread: half the sum of the histogram's differences, averaged over
    channels.

    A pixel counts for the two bins it lies between, so a slow fade does not jump from bin to bin.
    """
    return [
        node("Unsqueeze", ["small", "last"], "pixels"),
        node("Sub", ["pixels", "centres"], "off"),
        node("Abs", ["off"], "distance"),
        node("Mul", ["distance", "bins_less_1"], "bins_away"),
        node("Sub", ["one", "bins_away"], "near"),
        node("Relu", ["near"], "weights"),
        node("ReduceMean", ["weights"], "histogram", axes=[2, 3], keepdims=0),
        *_differences("histogram", "spread"),
        node("ReduceMean", ["spread"], "mean_spread", axes=[1, 2], keepdims=0),
        node("Mul", ["mean_spread", "half_bins"], "change"),
    ]


def _differences(of: str, result: str) -> list[bytes]:
    """|x[1:] - x[:-1]| along the first axis."""
    return [
        node("Slice", [of, "first", "end", "zero"], f"{of}_after"),
        node("Slice", [of, "zero", "last", "zero"], f"{of}_before"),
        node("Sub", [f"{of}_after", f"{of}_before"], f"{result}_signed"),
        node("Abs", [f"{result}_signed"], result),
    ]
