"""What a smoke run measures, and how it is held against the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest
from msgspec.structs import replace

from conductor.analysis.smoke.record import keep, last, lines, record_of
from conductor.analysis.smoke.run import SmokeFigures, smoke, specs_of
from conductor.base.errors import ConductorError
from conductor.model.ledger_entries import JobState
from conductor.model.spec import JobSpec

FIGURES = SmokeFigures(
    jobs=4, put_s=0.5, first_admission_s=0.6, first_done_s=0.7, end_s=2.0, jobs_per_s=2.0, verify_s=0.4
)


class PlayedDoor:
    """A second a look; a backlog in which four jobs had ended before."""

    def __init__(self, *looks: dict[JobState, int], is_proved: bool = True) -> None:
        self.now = 100.0
        self.looks = list(looks)
        self.is_proved = is_proved
        self.did: list[str] = []

    def counts(self) -> dict[JobState, int]:
        if not self.did:
            return {"done": 4, "dead": 1}
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def put(self, specs: Sequence[JobSpec]) -> None:
        self.did.append(f"put {len(specs)}")
        self.now += 0.5

    def verify(self) -> bool:
        self.did.append("verify")
        self.now += 0.25
        return self.is_proved

    def clean(self, specs: Sequence[JobSpec]) -> None:
        self.did.append("clean")

    def pause(self, seconds: float) -> None:
        self.now += 1.0

    def run(self, limit_s: float = 60.0) -> SmokeFigures:
        return smoke(self, 4, "s", limit_s, lambda: self.now, self.pause, self.beside)

    def beside(self, act: Callable[[], float]) -> Future[float]:
        done: Future[float] = Future()
        done.set_result(act())
        return done


def test_every_figure_counts_from_the_moment_the_jobs_are_handed_in_and_old_jobs_do_not_count():
    door = PlayedDoor(
        {"waiting": 4, "done": 4, "dead": 1},
        {"waiting": 3, "admitted": 1, "done": 4, "dead": 1},
        {"waiting": 1, "running": 1, "done": 6, "dead": 1},
        {"done": 8, "dead": 1},
    )

    found = door.run()

    assert (found.put_s, found.first_admission_s, found.first_done_s, found.end_s) == (0.5, 1.5, 2.5, 3.5)
    assert (found.jobs_per_s, found.verify_s) == (round(4 / 3.5, 2), 0.25)
    assert door.did == ["put 4", "verify", "clean"]


@pytest.mark.parametrize(
    ("looks", "is_proved", "words"),
    [
        ({"done": 7, "dead": 2}, True, "1 of the 4 jobs of the smoke run did not end well"),
        ({"waiting": 4, "done": 4, "dead": 1}, True, "0 of the 4 jobs of the smoke run are done after 3 s"),
        ({"done": 8, "dead": 1}, False, "verify does not say so"),
    ],
)
def test_a_run_that_does_not_end_well_says_why_and_is_cleaned_up_all_the_same(
    looks: dict[JobState, int], is_proved: bool, words: str
):
    door = PlayedDoor(looks, is_proved=is_proved)

    with pytest.raises(ConductorError, match=words):
        door.run(limit_s=3.0)

    assert door.did[-1] == "clean"


def test_what_begins_while_the_rest_is_still_handed_in_is_seen():
    class SlowDoor(PlayedDoor):
        """Two of the four are in, and one of them runs, before the last two are."""

        def beside(self, act: Callable[[], float]) -> Future[float]:
            self.did.append("put begins")
            self.putting: Future[float] = Future()
            return self.putting

        def pause(self, seconds: float) -> None:
            super().pause(seconds)
            if self.now == 103.0:
                self.putting.set_result(3.0)

    old: dict[JobState, int] = {"done": 4, "dead": 1}
    door = SlowDoor(
        old, {**old, "waiting": 1, "running": 1}, {**old, "done": 5, "waiting": 1},
        {**old, "done": 6, "waiting": 2}, {**old, "done": 8},
    )  # fmt: skip

    found = door.run()

    assert (found.put_s, found.first_admission_s, found.first_done_s, found.end_s) == (3.0, 1.0, 2.0, 4.0)


def test_a_hand_over_that_fails_is_the_error():
    class RefusedDoor(PlayedDoor):
        def beside(self, act: Callable[[], float]) -> Future[float]:
            self.did.append("put")
            refused: Future[float] = Future()
            refused.set_exception(ConductorError("`conductor dispatch` ended with 3"))
            return refused

    with pytest.raises(ConductorError, match="ended with 3"):
        RefusedDoor({"done": 4, "dead": 1}).run()


def test_no_two_runs_have_a_job_in_common():
    assert not {spec.id for spec in specs_of(5, "a")} & {spec.id for spec in specs_of(5, "b")}


def test_a_run_is_held_against_the_last_of_its_kind_and_of_no_other(tmp_path: Path):
    first = replace(record_of(FIGURES, "cli", tmp_path), at=1000.0)
    other = replace(first, transport="http", at=1500.0)
    larger = replace(first, figures=replace(FIGURES, jobs=9), at=1600.0)
    now = replace(first, figures=replace(FIGURES, end_s=1.0, jobs_per_s=4.0, put_s=1.0), at=2000.0)
    assert last(tmp_path, first) is None
    for record in (first, other, larger):
        assert keep(record, tmp_path).parent == tmp_path / "benchmarks" / "smoke"
    (tmp_path / "benchmarks" / "smoke" / "2000-cli.json").write_text("{half")

    before = last(tmp_path, now)

    assert before == first
    shown = "\n".join(lines(now, before))
    assert "-50% (better)" in shown and "+100% (better)" in shown and "+100% (worse)" in shown
    assert "the same" in shown
    assert "before" not in "\n".join(lines(now, None))
    assert first.host["cpus"] and first.commit
