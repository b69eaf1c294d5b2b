"""What a body returned becomes plain JSON, or a sentence that names the value which is none."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from conductor.base.errors import BadResult
from workers.isolation.results import MAX_BYTES, plain


@dataclass
class ResultPoint:
    x: float


def a_circle() -> dict[str, Any]:
    found: dict[str, Any] = {"a": [1]}
    found["a"].append(found)
    return found


def a_pit() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(sys.getrecursionlimit() * 2):
        found = {"x": found}
    return found


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"frames": [0, {"seen": {1, 2}}]}, "result.frames[1].seen is a set"),
        ({"thumb": b"\xff\xd8"}, "result.thumb is a bytes"),
        ({"by_frame": {7: "x"}}, "result.by_frame has the key 7, a int, and keys are strings"),
        ({"by_none": {None: 1}}, "result.by_none has the key None"),
        ({"n": [1, 2**70]}, r"result.n[1] is a number of more than 64 bits"),
        ({"name": "\udcff"}, "result.name is no text that can be encoded"),
        ({"error": ValueError("x")}, "result.error is a ValueError"),
        (a_circle(), "result.a[1] holds itself"),
        (a_pit(), "lies too deep"),
        ([1, 2], "it is a list, and a result is a dict"),
        (True, "it is a bool, and a result is a dict"),
        ("done", "it is a str, and a result is a dict"),
        ({"text": "x" * MAX_BYTES}, "more than 1.0 MiB: what is large belongs into a declared output"),
    ],
)
def test_what_cannot_be_written_down_is_named(result: Any, words: str):
    with pytest.raises(BadResult) as caught:
        plain(result)
    assert words in str(caught.value)
    assert caught.value.cause == "bad_result"


def test_what_is_no_number_is_kept_by_its_name():
    result = {
        "psnr": math.inf, "low": -math.inf, "deep": [{"ssim": math.nan}, None], "np": np.float32("nan"),
        "array": np.array([1.0, math.nan]), "point": ResultPoint(math.nan), "none": None, "yes": True,
    }  # fmt: skip

    assert plain(result) == {
        "psnr": "Infinity", "low": "-Infinity", "deep": [{"ssim": "NaN"}, None], "np": "NaN",
        "array": [1.0, "NaN"], "point": {"x": "NaN"}, "none": None, "yes": True,
    }  # fmt: skip


def test_the_rest_is_as_it_was():
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert plain(None) == {}
    assert plain({"a": (1, 2), "n": np.int64(3), "at": at}) == {
        "a": [1, 2],
        "n": 3,
        "at": "2026-01-01T00:00:00+00:00",
    }
    assert plain({"text": "x" * (MAX_BYTES - 20)})["text"]
