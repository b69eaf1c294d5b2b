"""`conductor metrics`: the record as Prometheus text, and nothing that would break its reader."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builders import NOW, a_rate
from cli_tools import Cli

from conductor.model.decision import GateLedger, Hold, Shared
from conductor.views.metrics import lines

if TYPE_CHECKING:
    from tests.unit.conftest import NightScene

SAMPLE = re.compile(
    r'conductor_[a-z_]+(\{[a-z]+="(?:[^"\\\n]|\\["\\n])*"(,[a-z]+="(?:[^"\\\n]|\\["\\n])*")*\})? [-+0-9.e]+'
)

LEDGER = GateLedger(
    at=NOW - 1,
    holds=(
        Hold(
            class_id="c1",
            backlog="films",
            task="media.cut",
            lane="gpu",
            waiting=7,
            verdicts=(),
            lost_s={"vram": 61.5},
        ),
    ),
    lost_s={"films": {"vram": 3600.25, "lane": 2.0}},
    shared=(
        Shared(
            where="node1/gpu0", gate="vram", unit="MiB", limit=24064, reserved=10240, others=512, free=13312
        ),
    ),
    rates=(a_rate("api", requests_left=3, requests_limit=30, closed_until=NOW + 12), a_rate("free")),
    reports={"node1": NOW - 2.5},
)


def test_every_figure_of_the_record_is_a_sample() -> None:
    text = list(lines(LEDGER, {"films": {"waiting": 7, "done": 3}}, NOW, True))

    for sample in (
        'conductor_jobs{backlog="films",state="waiting"} 7',
        'conductor_held_seconds_total{backlog="films",gate="vram"} 3600.25',
        'conductor_class_held_seconds{class="c1",task="media.cut",backlog="films",gate="vram"} 61.5',
        'conductor_shared_free{place="node1/gpu0",gate="vram",unit="MiB"} 13312',
        'conductor_shared_reserved{place="node1/gpu0",gate="vram",unit="MiB"} 10240',
        'conductor_rate_left{key="api",budget="requests"} 3',
        'conductor_rate_closed_seconds{key="api"} 12',
        'conductor_report_age_seconds{node="node1"} 2.5',
        "conductor_record_age_seconds 1",
        "conductor_has_leader 1",
    ):
        assert sample in text
    assert all(line.startswith("# ") or SAMPLE.fullmatch(line) for line in text)
    heads = [line.split()[2] for line in text if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))


def test_a_name_cannot_forge_a_sample() -> None:
    evil = 'x"} 1\nconductor_jobs{backlog="y\x1b'
    text = list(lines(GateLedger(), {evil: {"waiting": 1}}, NOW, False))

    assert all(line.startswith("# ") or SAMPLE.fullmatch(line) for line in text)
    assert sum(line.startswith("conductor_jobs") for line in text) == 1


def test_the_command_prints_what_the_ledger_holds(cli: Cli, night: NightScene) -> None:
    night.finish(0)

    shown = cli("metrics")

    assert shown.code == 0
    assert 'conductor_jobs{backlog="night",state="done"} 1\n' in shown.out
    assert shown.out.endswith("conductor_has_leader 1\n")
