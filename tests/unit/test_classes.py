"""Classes: the same request is the same class, on every host, and a different one is not."""

from __future__ import annotations

import re

import msgspec
import pytest
from builders import a_spec

from conductor.classes import Classifier, bytes_per_root, class_of
from conductor.core.steps import step_up
from conductor.model.spec import Estimate, Needs, Output, TaskDecl

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
    [{"lane": "io"}, {"needs": Needs(ram_mib=65)}, {"priority": 1}, {"writes": (Output(path="scratch:x", bytes=1),)}],
)
def test_what_the_decision_looks_at_makes_another_class(change: dict[str, object]) -> None:
    assert class_of(a_spec(1, **change), DECL, "b").id != class_of(a_spec(1), DECL, "b").id


def test_backlogs_do_not_share_classes() -> None:
    assert class_of(a_spec(1), DECL, "b").id != class_of(a_spec(1), DECL, "c").id


def test_the_id_is_the_same_in_every_version() -> None:
    # A change here splits the classes of a backlog that is being worked on: think twice.
    assert class_of(a_spec(1), DECL, "b").id == "gtkm2f4wavmp"


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
    assert class_of(a_spec(3, estimate=Estimate(duration_s=200)), DECL, "b").id != class_of(near, DECL, "b").id


def test_parameters_set_kinds_apart_and_name_what_is_kept_warm() -> None:
    decl = msgspec.structs.replace(DECL, parameters=("model",), warm="onnx:{model}")
    small, large = (class_of(a_spec(1, args={"model": m, "n": 1}), decl, "b") for m in ("s", "l"))
    assert (small.kind, small.warm) != (large.kind, large.warm) and small.id != large.id
    assert small.warm == "onnx:s" and small.kind.startswith(f"{DECL.name}:")
    assert class_of(a_spec(1, args={}), decl, "b").warm == ""
