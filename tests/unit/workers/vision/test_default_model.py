"""The built-in model in a real ONNX session, against the same sums in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from workers.vision.default_model import BINS, POOL, build


@pytest.fixture(scope="module")
def session() -> Any:
    return onnxruntime.InferenceSession(build(), providers=["CPUExecutionProvider"])


def expected(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n, h, w, _ = frames.shape
    x = frames.astype(np.float64) / 255
    small = x.reshape(n, h // POOL, POOL, w // POOL, POOL, 3).mean(axis=(2, 4))
    motion = np.abs(small[1:] - small[:-1]).mean(axis=(1, 2, 3))
    centres = np.linspace(0, 1, BINS)
    weights = np.clip(1 - np.abs(small[..., None] - centres) * (BINS - 1), 0, None)
    histogram = weights.mean(axis=(1, 2))
    return motion, np.abs(histogram[1:] - histogram[:-1]).sum(axis=2).mean(axis=1) / 2


def test_the_model_computes_what_it_says(session: Any):
    frames = np.random.default_rng(1).integers(0, 256, (5, 36, 64, 3), dtype=np.uint8)
    motion, change = session.run(None, {"frames": frames})
    want_motion, want_change = expected(frames)
    np.testing.assert_allclose(motion, want_motion, atol=1e-5)
    np.testing.assert_allclose(change, want_change, atol=1e-5)


def test_black_to_white_is_all_motion_and_all_change_and_a_still_is_none(session: Any):
    frames = np.zeros((3, 32, 32, 3), np.uint8)
    frames[1:] = 255
    motion, change = session.run(None, {"frames": frames})
    np.testing.assert_allclose(motion, [1, 0], atol=1e-5)
    np.testing.assert_allclose(change, [1, 0], atol=1e-5)


def test_something_that_wanders_moves_but_changes_no_scene(session: Any):
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    frames[0, :, :16] = 255
    frames[1, :, 16:] = 255
    motion, change = session.run(None, {"frames": frames})
    assert motion[0] == pytest.approx(1)
    assert change[0] == pytest.approx(0, abs=1e-5)


def test_the_model_is_the_same_bytes_every_time():
    assert build() == build()
