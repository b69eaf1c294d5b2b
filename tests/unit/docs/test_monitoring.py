"""Prometheus rules and the Grafana dashboard name only what is exposed, and each rule has its runbook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import NOW, a_rate
from ledger_scenes import an_entry

from conductor.model.decision import GateLedger, Hold, Shared
from conductor.ports import Ledger
from conductor.views.metrics import metrics

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "monitoring"
RULES: list[dict[str, Any]] = [
    rule
    for group in json.loads((FOLDER / "prometheus-rules.json").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana-dashboard.json").read_text(encoding="utf-8"))
NAMES = re.compile(r"\bconductor_[a-z_]+")
#: What a counter's or a histogram's samples end in, beyond the family's name.
ENDS = re.compile(r"_(total|bucket|sum|count|info)$")


def expressions() -> Iterator[tuple[str, str]]:
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.fixture
def exposed(memory_ledger: Ledger) -> dict[str, set[str]]:
    """Metric → names of its labels, of a ledger in which there is something of everything."""
    epoch = memory_ledger.leadership.lead("conductor-1", 60.0)
    assert epoch is not None
    memory_ledger.intake.put("night", [an_entry("a")])
    at = memory_ledger.bell.now()
    hold = Hold(
        class_id="c1", backlog="night", task="t", lane="gpu", waiting=1, verdicts=(), lost_s={"vram": 1.0}
    )
    shared = (Shared(where="node1/gpu0", gate="vram", unit="MiB", limit=9, reserved=1, others=1, free=7),)
    rate = a_rate("api", usd_left=1.0, usd_limit=2.0, closed_until=NOW + 12)
    gates = GateLedger(
        at=at, holds=(hold,), lost_s={"night": {"vram": 1.0}}, shared=shared, rates=(rate,), reports={"n": at}
    )
    memory_ledger.gate_record.record_gates(epoch, gates)
    found: dict[str, set[str]] = {}
    for line in metrics(memory_ledger).splitlines():
        if line.startswith("# TYPE "):
            found.setdefault(ENDS.sub("", line.split()[2]), set())
        elif match := re.match(r"(conductor_[a-z_]+)(?:\{(.*)\})? ", line):
            labels = re.findall(r'([a-z_]+)="', match[2] or "")
            found.setdefault(ENDS.sub("", match[1]), set()).update(labels)
    return found


@pytest.mark.parametrize(("where", "expression"), [*expressions()], ids=lambda text: text[:40])
def test_every_metric_and_label_that_is_named_is_exposed(
    where: str, expression: str, exposed: dict[str, set[str]]
) -> None:
    names = NAMES.findall(expression)
    assert names, where
    assert [name for name in names if ENDS.sub("", name) not in exposed] == []
    labels = {
        label
        for group in re.findall(r"\{([^}]*)\}|by \(([^)]*)\)", expression)
        for label in re.findall(r"[a-z_]+(?==|,|\)|$)", re.sub(r'"[^"]*"', "", group[0] or group[1]))
    }
    known = set[str]().union({"le"}, *(exposed[ENDS.sub("", name)] for name in names))
    assert labels <= known


def test_a_name_that_nobody_exposes_would_be_seen(exposed: dict[str, set[str]]) -> None:
    assert "conductor_jobs" in exposed and "conductor_no_such_thing" not in exposed
    assert exposed["conductor_shared_free"] == {"place", "gate", "unit"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_says_how_bad_it_is_and_where_its_runbook_is(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"]
    assert (FOLDER.parents[1] / rule["annotations"]["runbook"]).is_file()


def test_the_dashboards_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
