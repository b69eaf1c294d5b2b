"""Classes: the same request is the same class, on every host, and a different one is not."""

from __future__ import annotations

import re

import msgspec
import pytest
from builders import a_class, a_spec

from conductor.analysis.simulation.workload import BACKLOG, Workload
from conductor.core.capacity.request import Demand
from conductor.model.job_class import (
    TAUGHT,
    Classifier,
    JobClass,
    bytes_per_root,
    class_id,
    class_of,
    step_up,
)
from conductor.model.spec import EngineNeed, Estimate, JobSpec, Needs, Output, RateNeed, TaskDecl

DECL = TaskDecl(
    name="diagnostics.echo", lane="cpu", needs=Needs(ram_mib=64), estimate=Estimate(duration_s=3), module="x"
)


def test_jobs_that_ask_the_same_share_a_class_whatever_they_do() -> None:
    one = class_of(a_spec(1, timeout_s=5.0), DECL, "b")
    other = class_of(a_spec(2, lane="cpu", needs=Needs(ram_mib=64)), DECL, "b")

    assert one == other and re.fullmatch(r"[a-z2-7]{12}", one.id)
    assert (one.lane, one.needs, one.duration_s) == ("cpu", Needs(ram_mib=64), step_up(3))


@pytest.mark.parametrize(
    "change",
    [
        {"lane": "io"},
        {"needs": Needs(ram_mib=65)},
        {"priority": 1},
        {"writes": (Output(path="scratch:x", bytes=1),)},
    ],
)
def test_what_the_decision_looks_at_makes_another_class(change: dict[str, object]) -> None:
    assert class_of(a_spec(1, **change), DECL, "b").id != class_of(a_spec(1), DECL, "b").id


def test_backlogs_do_not_share_classes() -> None:
    assert class_of(a_spec(1), DECL, "b").id != class_of(a_spec(1), DECL, "c").id


def test_the_id_is_the_same_in_every_version() -> None:
    # A change here splits the classes of a backlog that is being worked on: think twice.
    assert class_of(a_spec(1), DECL, "b").id == "oeue4atfnoue"


def test_bytes_are_summed_per_root_and_nothing_is_left_out() -> None:
    writes = (Output(path="scratch:a", bytes=2), Output(path="scratch:b", bytes=3), Output(path="nas:c"))
    assert bytes_per_root(writes) == {"scratch": 5, "nas": 0}


def test_the_classifier_answers_as_class_of_does_and_makes_each_class_once() -> None:
    classify = Classifier({DECL.name: DECL}, "b")
    specs = [a_spec(n, priority=n % 3) for n in range(30)]

    assert [classify(spec) for spec in specs] == [class_of(spec, DECL, "b") for spec in specs]
    assert len(classify.classes) == 3


def test_nearly_equal_durations_share_a_class_and_none_is_thought_shorter_than_it_is() -> None:
    near, far = a_spec(1, estimate=Estimate(duration_s=100)), a_spec(2, estimate=Estimate(duration_s=101))
    assert class_of(near, DECL, "b") == class_of(far, DECL, "b")
    assert class_of(near, DECL, "b").duration_s >= 101
    assert (
        class_of(a_spec(3, estimate=Estimate(duration_s=200)), DECL, "b").id != class_of(near, DECL, "b").id
    )


def test_parameters_set_kinds_apart_and_name_what_is_kept_warm() -> None:
    decl = msgspec.structs.replace(DECL, parameters=("model",), warm="onnx:{model}")
    small, large = (class_of(a_spec(1, args={"model": m, "n": 1}), decl, "b") for m in ("s", "l"))
    assert (small.kind, small.warm) != (large.kind, large.warm) and small.id != large.id
    assert small.warm == "onnx:s" and small.kind.startswith(f"{DECL.name}:")
    assert class_of(a_spec(1, args={}), decl, "b").warm == ""


# ── nothing that decides is forgotten ─────────────────────────────────────────────────────────────────────

#: What a line says and the decision does not look at by its class; all else makes classes of its own.
DOES_NOT_DECIDE = {
    "v", "id", "workflow", "inputs", "updates", "tag", "timeout_s", "retry", "retry_wait", "expect",
    # Those that share files or wait for others are told apart job by job (`model.chains`).
    "reads", "after", "after_ended",
}  # fmt: skip
#: Another value than `a_spec` has, by field of a line.
OTHER_LINE: dict[str, object] = {
    "v": 1,
    "id": "another-id",
    "workflow": "other",
    "task": "diagnostics.sleep",
    "args": {"model": "l", "key": "k"},
    "lane": "io",
    "needs": Needs(ram_mib=65),
    "reads": ("scratch:r",),
    "inputs": {"/a": "f"},
    "priority": 1,
    "writes": (Output(path="scratch:x", bytes=1),),
    "updates": ("scratch:u",),
    "after": ("other-id-1",),
    "after_ended": ("other-id-2",),
    "timeout_s": 5.0,
    "retry": {"timeout": 3},
    "retry_wait": {"timeout": 3.0},
    "expect": {"n": 1},
    "tag": "again",
    "estimate": Estimate(duration_s=90.0),
}
#: Another value than a class has that asks nothing, by field.
OTHER_CLASS: dict[str, object] = {
    "id": "another",
    "backlog": "c",
    "task": "t",
    "lane": "io",
    "needs": Needs(cpu=1.0),
    "planned": Needs(cpu=2.0),
    "priority": 1,
    "writes": {"scratch": 1},
    "duration_s": 2.0,
    "size": 2.0,
    "kind": "k",
    "warm": "w",
    "learned": ("more",),
    "is_untried": True,
}
OTHER_NEEDS: dict[str, object] = {
    "vram_mib": 101, "devices": 2, "ram_mib": 1, "cpu": 1.0, "scratch_bytes": 1, "rates": {"api": RateNeed()},
    "counters": {"nuke": 1}, "engines": (EngineNeed(name="a"), EngineNeed(name="b")), "engine": "a",
    "node": "host2",
}  # fmt: skip
WHOLE = msgspec.structs.replace(DECL, parameters=("model",), warm="onnx:{model}", rate="{key}")


@pytest.mark.parametrize("field", JobSpec.__struct_fields__)
def test_each_field_of_a_line_makes_another_class_or_is_said_not_to_decide(field: str) -> None:
    assert field in OTHER_LINE, f"{field} is new: does the decision look at it? Say so here"
    line = a_spec(1, args={"model": "s"})
    other = msgspec.structs.replace(line, **{field: OTHER_LINE[field]})

    is_same = class_of(line, WHOLE, "b") == class_of(other, WHOLE, "b")

    assert is_same == (field in DOES_NOT_DECIDE)


@pytest.mark.parametrize("field", JobClass.__struct_fields__)
def test_each_field_of_a_class_is_in_its_name_unless_it_was_taught(field: str) -> None:
    plain = a_class()
    other = msgspec.structs.replace(plain, **{field: OTHER_CLASS[field]})

    assert (class_id(plain) == class_id(other)) == (field in TAUGHT)


#: Whose engine it is decides nothing by itself: what an attempt takes of one is asked as rates and counters.
ASKED_AS_OTHERS = {"engines", "engine"}


@pytest.mark.parametrize("field", Needs.__struct_fields__)
def test_each_need_makes_another_request(field: str) -> None:
    plain = a_class(vram_mib=100)
    other = msgspec.structs.replace(
        plain, needs=msgspec.structs.replace(plain.needs, **{field: OTHER_NEEDS[field]})
    )

    assert class_id(plain) != class_id(other)
    assert (Demand(plain).key != Demand(other).key) == (field not in ASKED_AS_OTHERS)


#: What of a class chooses no place; all else is an amount, or stands in `Demand.where`.
CHOOSES_NO_PLACE = {
    "id", "backlog", "task", "planned", "priority", "duration_s", "size", "kind", "learned", "is_untried",
    # It goes there rather, and fits as well elsewhere.
    "warm",
}  # fmt: skip
#: What a tick asks of a request before it takes the refusal of another for its own (`Deciding._may_fit`).
OF_ITSELF = {
    "counters": "nor is who asks for what is counted by name",
    "rates": "budgets are asked before any place is",
}


@pytest.mark.parametrize("field", Needs.__struct_fields__)
def test_one_that_found_no_room_says_nothing_of_one_that_asks_otherwise(field: str) -> None:
    """A need that is no amount stands in `Demand.where`: else a job were refused for what another one asked,
    and wait for a tick that never looks at its own place."""
    plain = a_class(vram_mib=100)
    other = msgspec.structs.replace(
        plain, needs=msgspec.structs.replace(plain.needs, **{field: OTHER_NEEDS[field]})
    )
    one, another = Demand(plain), Demand(other)

    is_taken_for_the_other = (
        one.where == another.where and one.demands_as_much(another) and another.demands_as_much(one)
    )

    assert is_taken_for_the_other == (field in OF_ITSELF or field in ASKED_AS_OTHERS)


@pytest.mark.parametrize("field", JobClass.__struct_fields__)
def test_each_field_of_a_class_is_asked_or_is_said_not_to_choose_a_place(field: str) -> None:
    plain = a_class()
    one, another = Demand(plain), Demand(msgspec.structs.replace(plain, **{field: OTHER_CLASS[field]}))

    assert (one.key == another.key) == (field in CHOOSES_NO_PLACE)
    assert (one.where == another.where) == (field in CHOOSES_NO_PLACE | {"needs", "writes"})


def test_what_is_simulated_is_told_apart_as_dispatch_does() -> None:
    lines = [
        a_spec(n, args={"n": n, "model": model}, estimate=Estimate(duration_s=9.0, size=size))
        for n, (model, size) in enumerate([("s", 1.0), ("s", 1.0), ("l", 1.0), ("s", 100.0)])
    ]

    workload, classify = (
        Workload(lines, {DECL.name: WHOLE}, is_batch=True),
        Classifier({DECL.name: WHOLE}, BACKLOG),
    )

    assert [job.job_class for job in workload.jobs] == [classify(line) for line in lines]
    assert len({job.job_class.id for job in workload.jobs}) == 3
