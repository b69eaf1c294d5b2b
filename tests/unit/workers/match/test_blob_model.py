"""The detector that stands in for a trained one, in a real ONNX session."""

from __future__ import annotations

import numpy as np
import pytest

from workers.match import blob_model
from workers.match.blob_model import COLOURS, HALF, MOST
from workers.match.detector import Detector, Labels
from workers.vision.onnx_session import image_input, open_session
from workflows.match import drawn

PLACES = {"ball": (52.0, 102.0), "red": (205.0, 35.0), "blue": (105.0, 65.0), "yellow": (20.0, 20.0)}


@pytest.fixture(scope="module")
def session() -> object:
    return open_session(blob_model.build(), "cpu", has_device=False, threads=1)


def a_picture(**places: tuple[float, float]) -> np.ndarray:
    picture = np.empty((200, 320, 3), np.uint8)
    picture[:] = drawn.GRASS
    for name, (x, y) in places.items():
        colour = drawn.BALL if name == "ball" else drawn.COLOURS[name]
        picture[int(y) - 3 : int(y) + 3, int(x) - 3 : int(x) + 3] = colour
    return picture


def test_each_colour_is_found_where_it_is_and_grass_is_nothing(session: object):
    detector = Detector(session, image_input(session), Labels())
    with_all, empty = detector(np.stack([a_picture(**PLACES), a_picture()]))

    assert len(empty) == 0
    kinds = {"ball": 0, "red": 2, "blue": 2, "yellow": 1}
    found = sorted((int(kind), round(x * 320), round(y * 200)) for kind, x, y, _ in with_all.tolist())
    assert found == sorted((kinds[name], *map(round, place)) for name, place in PLACES.items())


def test_its_answer_has_the_form_of_a_detector_that_is_exported_whole(session: object):
    (boxes,) = session.run(None, {"images": a_picture(ball=(52, 102))[None]})  # type: ignore[attr-defined]
    assert boxes.shape == (1, len(COLOURS) * MOST, 6)
    x1, y1, x2, y2, score, kind = boxes[0, 0]
    assert (x2 - x1, y2 - y1, kind) == (2 * HALF, 2 * HALF, 0) and score > 0.9
    assert blob_model.build() == blob_model.build()


def test_the_size_of_the_batch_changes_nothing(session: object):
    detector = Detector(session, image_input(session), Labels())
    pictures = np.stack([a_picture(ball=(50 + 9 * n, 90), red=(200, 40 + 9 * n)) for n in range(5)])
    alone = [detector(pictures[n : n + 1])[0].tolist() for n in range(5)]
    assert [rows.tolist() for rows in detector(pictures)] == alone
