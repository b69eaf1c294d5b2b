"""A detector that stands in for a trained one, written as ONNX bytes: blobs of five strong colours.

Input `images`: uint8 [n, height, width, 3], sides that are multiples of `CELL`. Output `boxes`: float
[n, classes x `MOST`, 6], each x1, y1, x2, y2 (pixels of the input), score (0 to 1), class: the form in which
detectors are exported that need no sorting out afterwards. It knows what a drawn match shows, no real one.
"""

from __future__ import annotations

from workers.vision.onnx_graph import FLOAT, UINT8, floats, ints, model, node, value

#: In the order of their numbers. Per class: what a pixel's red, green and blue count, and what is taken off.
COLOURS: dict[str, tuple[float, float, float, float]] = {
    "ball": (1.0, 1.0, 1.0, 2.35),
    "red": (1.0, -1.0, -1.0, 0.15),
    "blue": (-1.0, -1.0, 1.0, 0.15),
    "yellow": (1.0, 1.0, -1.0, 1.15),
    "magenta": (1.0, -1.5, 1.0, 0.75),
}
#: Pixels a side of the squares in which colour is added up.
CELL = 4
#: So many of a class are found at most.
MOST = 12
#: So much colour of a class, pixels × strength, makes a blob a sure one.
FULL = 2.0
#: Half the side of every box: a blob's place is known, its size is not.
HALF = 5.0


def build() -> bytes:
    """A serialised ModelProto; the same bytes every time."""
    weights = [part / 255 for colour in COLOURS.values() for part in colour[:3]]
    constants = [
        floats("weights", weights, [len(COLOURS), 3, 1]),
        floats("less", [-colour[3] for colour in COLOURS.values()]),
        floats("zero", [0.0]),
        floats("one", [1.0]),
        floats("half", [0.5]),
        floats("cells", [float(CELL)]),
        floats("area", [float(CELL * CELL * 9)]),
        floats("tiny", [1e-6]),
        floats("per_full", [1 / FULL]),
        floats("reach", [HALF]),
        ints("most", [MOST]),
        floats(
            "numbers", [float(k) for k in range(len(COLOURS)) for _ in range(MOST)], [1, len(COLOURS), MOST]
        ),
        ints("flat", [0, 0, -1]),
        ints("rows", [0, -1, 1]),
        ints("two", [2]),
        ints("four", [4]),
        ints("same_classes", [0, len(COLOURS)]),
        ints("first", [1]),
        ints("axis_x", [3]),
        ints("axis_y", [2]),
        ints("zeros", [0]),
    ]
    return model(
        "blobs",
        [*_strength(), *_places(), *_peaks(), *_boxes()],
        constants,
        [value("images", UINT8, ["n", "height", "width", 3])],
        [value("boxes", FLOAT, ["n", "found", 6])],
    )


def _strength() -> list[bytes]:
    """images → `mass`, [n, classes, h / CELL, w / CELL]: how much of each colour a cell has.

    Colours are added up over one long row of pixels: as pictures, the runtime would first put eight classes
    in the place of five, and back."""
    return [
        node("Transpose", ["images"], "planes", perm=[0, 3, 1, 2]),
        node("Reshape", ["planes", "flat"], "lines"),
        node("Cast", ["lines"], "raw", to=FLOAT),
        node("Conv", ["raw", "weights", "less"], "shades"),
        node("Relu", ["shades"], "strong_lines"),
        node("Shape", ["planes"], "shape"),
        node("Slice", ["shape", "two", "four", "zeros"], "sides"),
        node("Concat", ["same_classes", "sides"], "strong_shape", axis=0),
        node("Reshape", ["strong_lines", "strong_shape"], "strong"),
        node("AveragePool", ["strong"], "mass", kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
    ]


def _places() -> list[bytes]:
    """`around`: the mass of each cell with its eight neighbours; `x`, `y`: where it is heaviest, in pixels,
    by the cells' own places."""
    wide = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}
    return [
        node("AveragePool", ["mass"], "around", **wide),
        *_grid("x", "axis_x"),
        *_grid("y", "axis_y"),
        *(node("Mul", ["mass", f"{axis}_grid"], f"{axis}_mass") for axis in "xy"),
        *(node("AveragePool", [f"{axis}_mass"], f"{axis}_around", **wide) for axis in "xy"),
        node("Add", ["around", "tiny"], "some"),
        *(node("Div", [f"{axis}_around", "some"], axis) for axis in "xy"),
    ]


def _grid(axis: str, along: str) -> list[bytes]:
    """The middle of each cell along one axis, in pixels, as large as one class of one picture."""
    return [
        node("Slice", ["mass", "zeros", "first", "zeros"], f"{axis}_one"),
        node("Slice", [f"{axis}_one", "zeros", "first", "first"], f"{axis}_plane"),
        node("Mul", [f"{axis}_plane", "zero"], f"{axis}_nought"),
        node("Add", [f"{axis}_nought", "one"], f"{axis}_ones"),
        node("Squeeze", [along], f"{axis}_along"),
        # Ones added up along the axis: 1, 2, 3, …
        node("CumSum", [f"{axis}_ones", f"{axis}_along"], f"{axis}_count"),
        node("Sub", [f"{axis}_count", "half"], f"{axis}_middle"),
        node("Mul", [f"{axis}_middle", "cells"], f"{axis}_grid"),
    ]


def _peaks() -> list[bytes]:
    """The heaviest places of each class: `weight` and `where`, [n, classes, MOST]."""
    return [
        node("MaxPool", ["around"], "highest", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Equal", ["around", "highest"], "is_peak"),
        node("Cast", ["is_peak"], "peak", to=FLOAT),
        node("Mul", ["around", "peak"], "peaks"),
        *(node("Reshape", [name, "flat"], f"{name}_flat") for name in ("peaks", "x", "y")),
        node("TopK", ["peaks_flat", "most"], ["weight", "where"], axis=-1),
    ]


def _boxes() -> list[bytes]:
    sides = [("x1", "x", "Sub"), ("y1", "y", "Sub"), ("x2", "x", "Add"), ("y2", "y", "Add")]
    columns = ["x1", "y1", "x2", "y2", "score", "class"]
    return [
        *(node("GatherElements", [f"{axis}_flat", "where"], f"{axis}_found", axis=2) for axis in "xy"),
        *(node(op, [f"{axis}_found", "reach"], name) for name, axis, op in sides),
        node("Mul", ["weight", "area"], "amount"),
        node("Mul", ["amount", "per_full"], "filled"),
        node("Min", ["filled", "one"], "score"),
        node("Mul", ["score", "zero"], "no_class"),
        node("Add", ["no_class", "numbers"], "class"),
        *(node("Reshape", [name, "rows"], f"{name}_column") for name in columns),
        node("Concat", [f"{name}_column" for name in columns], "boxes", axis=2),
    ]
