"""A batch halves when memory runs out, gives every answer once and in order, and the size is remembered."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from workers.task_api.batch_size import FOLDER, KEPT_S, BatchSize


class SmallModel:
    """Has room for so many at once."""

    def __init__(self, room: int, words: str = "CUDA error: out of memory") -> None:
        self.room = room
        self.words = words
        self.calls: list[int] = []

    def __call__(self, things: list[int]) -> list[int]:
        self.calls.append(len(things))
        if len(things) > self.room:
            raise RuntimeError(self.words)
        return [-thing for thing in things]


def answers(batch: BatchSize, model: SmallModel, count: int) -> list[int]:
    return [answer for part in batch.map(list(range(count)), model, has_device=True) for answer in part]


def test_it_halves_until_it_fits_and_loses_nothing(tmp_path: Path):
    batch, model = BatchSize(16, "m", tmp_path), SmallModel(room=5)

    assert answers(batch, model, 23) == [-n for n in range(23)]
    assert batch.size == 4 and model.calls == [16, 8, 4, 4, 4, 4, 4, 3]


def test_what_fits_is_known_to_the_next_who_asks_and_to_nobody_else(tmp_path: Path):
    answers(BatchSize(16, "m", tmp_path), SmallModel(room=5), 23)
    next_model = SmallModel(room=5)
    batch = BatchSize(16, "m", tmp_path)

    answers(batch, next_model, 8)
    assert next_model.calls == [4, 4]
    assert BatchSize(16, "other", tmp_path).size == 16
    assert BatchSize(2, "m", tmp_path).size == 2


def test_after_a_week_there_may_be_more_room(tmp_path: Path):
    answers(BatchSize(16, "m", tmp_path), SmallModel(room=5), 23)
    (file,) = (tmp_path / FOLDER).iterdir()
    old = time.time() - KEPT_S - 60
    os.utime(file, (old, old))
    assert BatchSize(16, "m", tmp_path).size == 16


def test_one_alone_that_does_not_fit_is_the_job_s_to_ask_more_memory_for(tmp_path: Path):
    model = SmallModel(room=0)
    with pytest.raises(RuntimeError, match="out of memory"):
        answers(BatchSize(4, "m", tmp_path), model, 4)
    assert model.calls == [4, 2, 1]


def test_any_other_fault_goes_on_at_once(tmp_path: Path):
    model = SmallModel(room=0, words="shapes do not fit")
    with pytest.raises(RuntimeError, match="shapes"):
        answers(BatchSize(4, "m", tmp_path), model, 4)
    assert model.calls == [4] and not (tmp_path / FOLDER).exists()


def test_a_memory_that_cannot_be_read_or_written_is_none(tmp_path: Path):
    (tmp_path / FOLDER).touch()
    batch = BatchSize(4, "m", tmp_path)
    assert answers(batch, SmallModel(room=1), 3) == [0, -1, -2] and batch.size == 1
