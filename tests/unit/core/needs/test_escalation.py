"""What a failed attempt teaches about the needs of its job: how much more, and when there is no more to be
had.
"""

from __future__ import annotations

import pytest
from builders import a_report

from conductor.core.failures.retry import after_failure
from conductor.core.needs.escalation import (
    as_planned,
    differences,
    placed,
    raised,
)
from conductor.core.needs.learned_amounts import largest
from conductor.model.causes import Cause
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.job_class import class_id, class_of
from conductor.model.limits import Limits
from conductor.model.receipt import Usage
from conductor.model.snapshot import JobClass
from conductor.model.spec import JobSpec, Needs, TaskDecl

MIB = 1 << 20
GIB = 1 << 30


def a_class(**needs: int) -> JobClass:
    return JobClass(
        id="c", backlog="b", task="t", lane="gpu", needs=Needs(**needs), writes={"scratch": 100 * MIB}
    )


@pytest.mark.parametrize(
    ("cause", "needs", "usage", "want"),
    [
        # × 1.25, in grains of 256
        ("cuda_oom", {"vram_mib": 8192}, Usage(vram_mib=12_000), {"vram_mib": 15_104}),
        ("cuda_oom", {"vram_mib": 8192}, Usage(), {"vram_mib": 12_288}),  # not measured: half as much again
        ("cuda_oom", {"vram_mib": 8192}, Usage(vram_mib=4000), {"vram_mib": 12_288}),
        ("host_oom", {"ram_mib": 1000}, Usage(rss_mib=2000, vram_mib=1), {"ram_mib": 2560}),
        ("no_space", {}, Usage(scratch_bytes=GIB), {"scratch_bytes": GIB - 100 * MIB}),  # with its outputs
        # the disk was full of other things
        ("no_space", {"scratch_bytes": GIB}, Usage(scratch_bytes=MIB), {}),
        ("task_error", {"vram_mib": 8192}, Usage(vram_mib=12_000), {}),
        ("host_oom", {}, Usage(), {}),
    ],
)
def test_the_next_attempt_asks_for_what_was_measured_and_a_margin(
    cause: Cause, needs: dict[str, int], usage: Usage, want: dict[str, int]
) -> None:
    lesson = raised(
        cause, a_class(**needs), usage, {"vram_mib": 24_000, "ram_mib": 64_000, "scratch_bytes": 100 * GIB}
    )
    assert lesson.hopeless == ""
    got = lesson.job_class.needs if lesson.job_class else None
    assert got == (Needs(**{**needs, **want}) if want else None)


def test_never_more_than_the_largest_place_and_after_that_no_more_attempts() -> None:
    most = {"vram_mib": 24_000, "ram_mib": 64_000}
    first = raised("cuda_oom", a_class(vram_mib=20_000), Usage(vram_mib=23_000), most)
    assert first.job_class is not None and first.job_class.needs.vram_mib == 24_000
    second = raised("cuda_oom", first.job_class, Usage(vram_mib=23_900), most)
    assert second.job_class is None
    assert second.hopeless == (
        "it had all that the largest device has to give, 23.4 GiB of VRAM (measured: 23.3 GiB)"
    )
    assert after_failure("cuda_oom", {}, {}, raised=first) == Retry(delay_s=5, job_class=first.job_class)
    assert after_failure("cuda_oom", {}, {}, raised=second) == Dead(because=second.hopeless)
    assert after_failure("cuda_oom", {"cuda_oom": 3}, {}, raised=first) == Dead()


def test_a_full_disk_never_makes_a_job_hopeless() -> None:
    lesson = raised(
        "no_space", a_class(scratch_bytes=GIB), Usage(scratch_bytes=3 * GIB), {"scratch_bytes": 2 * GIB}
    )
    assert lesson.job_class is not None
    assert lesson.job_class.needs.scratch_bytes + 100 * MIB == 2 * GIB


def test_the_largest_place_is_looked_for_among_all_nodes_less_their_headrooms() -> None:
    nodes = [a_report("a", devices=0), a_report("b", ram_total_mib=1000)]
    assert largest(nodes, Limits(vram_headroom_mib=576, ram_headroom_mib=1024)) == {
        "vram_mib": 24_000,
        "ram_mib": 65_536 - 1024,
        "scratch_bytes": 99 * GIB,
    }
    assert largest([], Limits()) == {}


def test_raised_needs_make_another_class_that_knows_what_its_line_asks() -> None:
    decl = TaskDecl(name="t", lane="gpu", module="m")
    plain = JobSpec(v=1, id="x" * 8, workflow="w", task="t", needs=Needs(vram_mib=10))
    more = JobSpec(v=1, id="y" * 8, workflow="w", task="t", needs=Needs(vram_mib=20))
    planned = class_of(plain, decl, "b")
    twice = placed(placed(planned, Needs(vram_mib=20)), Needs(vram_mib=30))
    assert (twice.needs.vram_mib, twice.planned) == (30, Needs(vram_mib=10))
    assert as_planned(twice) == planned == placed(twice, Needs(vram_mib=10)), "and back"
    assert placed(planned, Needs(vram_mib=20)).id != class_of(more, decl, "b").id, (
        "whose line asks that, and means it"
    )
    assert class_id(class_of(plain, decl, "b")) == class_of(plain, decl, "b").id


def test_what_was_raised_is_said_in_words() -> None:
    own, now = Needs(vram_mib=10_240, ram_mib=100), Needs(vram_mib=14_541, ram_mib=200)
    assert differences(own, now, ["cuda_oom"]) == ["asks 14.2 GiB of VRAM instead of 10.0 GiB"]
    assert differences(Needs(), now, ["host_oom"]) == ["asks 200 MiB of memory"]
    assert differences(own, own, ["cuda_oom"]) == []
