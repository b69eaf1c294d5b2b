"""Files of what bodies printed do not add up for ever."""

import os
from pathlib import Path

from conductor.node.worker_output import sweep


def a_file(folder: Path, worker: str, text: str = "", at: float = 1.0) -> Path:
    file = folder / f"worker-{worker}.out"
    file.write_text(text)
    os.utime(file, (at, at))
    return file


def test_of_the_dead_the_last_few_that_said_anything_are_kept(tmp_path: Path):
    silent = a_file(tmp_path, "cpu-here-00000001")
    spoke = [a_file(tmp_path, f"gpu-here-gpu0-0000001{n}", "Traceback", at=n) for n in range(5)]

    gone = sweep(tmp_path, "here", (), kept=2)

    assert {*gone} == {silent, *spoke[:3]}
    assert {*tmp_path.iterdir()} == {*spoke[3:]}


def test_those_that_live_and_those_of_others_are_left_alone(tmp_path: Path):
    files = {
        a_file(tmp_path, "cpu-here-00000001"),
        a_file(tmp_path, "cpu-there-00000002"),
        a_file(tmp_path, "cpu-here-too-00000003"),
        a_file(tmp_path, "cpu-here-mine"),
    }

    assert sweep(tmp_path, "here", {"cpu-here-00000001"}, kept=0) == []
    assert {*tmp_path.iterdir()} == files
