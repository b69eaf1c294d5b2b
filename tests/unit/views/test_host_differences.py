"""What is said of hosts that are not alike: one sentence each, with what to do; of alike ones nothing."""

from __future__ import annotations

from typing import Any

import pytest
from builders import NOW, a_report, a_reservation, a_volume
from msgspec.structs import replace

from conductor.model.report import NodeReport
from conductor.views.host_differences import differences


def hosts(count: int = 3, **changed: Any) -> list[NodeReport]:
    """Alike, but for the last one."""
    nas = replace(a_volume(), root="published", root_id="1f")
    plain = replace(a_report(devices=0), build="1.0+aa", code={"a.cut": "1.0+11"}, volumes=(nas,))
    alike = [replace(plain, node=f"h{n}") for n in range(count)]
    return [*alike[:-1], replace(alike[-1], **changed)]


def words(nodes: list[NodeReport]) -> list[str]:
    return [difference.words for difference in differences(nodes, {}, (), NOW)]


def test_of_hosts_that_are_alike_nothing_is_said() -> None:
    assert words(hosts()) == []
    assert words(hosts(1)) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"clock_ahead_s": 7_200.0}, "the clock of h2 is 2 h 00 min ahead of Redis's"),
        ({"clock_ahead_s": -90.0}, "the clock of h2 is 1 min 30 s behind Redis's"),
        ({"build": "1.1+bb"}, "h2 runs Conductor 1.1+bb, and h0, h1 1.0+aa"),
        ({"build": ""}, "h2 runs Conductor an older version"),
        ({"code": {"a.cut": "1.0+22"}}, "h2 has other code of a.cut than h0, h1"),
        ({"volumes": ()}, "h2 declares no root published, unlike h0, h1"),
        (
            {"volumes": (replace(a_volume(), root="published", root_id="2e"),)},
            "the root published of h2 is another folder than that of h0, h1",
        ),
    ],
)
def test_what_is_not_alike_is_said_in_one_sentence(changed: dict[str, Any], said: str) -> None:
    (found,) = words(hosts(**changed))

    assert found.startswith(said)


def test_a_clock_that_is_a_second_off_disturbs_nobody() -> None:
    assert words(hosts(clock_ahead_s=1.0)) == []


def test_each_host_has_a_scratch_of_its_own() -> None:
    scratch = [replace(a_volume(), root="scratch", root_id=f"3{n}") for n in range(2)]
    nodes = [replace(node, volumes=(v,)) for node, v in zip(hosts(2), scratch, strict=True)]

    assert words(nodes) == []


def test_a_host_that_is_silent_is_said_with_since_when_and_what_it_had_in_hand() -> None:
    held = a_reservation("j1", node="h9")

    (found,) = differences(hosts(), {"h9": NOW - 240}, [held], NOW)

    assert (found.node, found.kind, found.since) == ("h9", "silent", NOW - 240)
    assert "(4 min 00 s)" in found.words
    assert "others get the 1 job that it had in hand" in found.words


def test_a_root_that_only_one_host_has_is_said_once() -> None:
    nas = replace(a_volume(), root="published", root_id="1f")

    (found,) = words(hosts(5, volumes=(nas, replace(nas, root="models"))))

    assert found.startswith("only h4 declares the root models")
