"""What `verify` says of an ads manifest: planted faults are found, sound results are left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from verify_scene import VerifyScene, only

from conductor.adapters.stores.open_store import open_store
from conductor.app.workflow_lookup import checks_for, plan
from conductor.model.spec import JobSpec
from conductor.record import manifest
from conductor.verify.report import VerifyReport
from workers.ads import tables
from workers.ads.fatigue import FatigueLimits, judged
from workers.ads.figures import read_figures
from workers.ads.tables import ArmTotals
from workers.tasks import ads_event
from workers.tasks.ads_allocate import allotted
from workers.tasks.ads_fatigue import FatigueReport
from workflows.ads import samples

CONFIG = '[roots.data]\npath = "data"\n[stores.ads]\nurl = "sqlite:data/ads.db"\n'


@pytest.fixture
def place(tmp_path: Path) -> Iterator[VerifyScene]:
    (tmp_path / "conductor.toml").write_text(CONFIG)
    made = VerifyScene(tmp_path)
    yield made
    made.log.close()


def planned(place: VerifyScene, *argv: str) -> list[JobSpec]:
    place.specs = list(manifest.read(plan("ads", argv, place.settings.for_code)[0]))
    return place.specs


def verified(place: VerifyScene) -> VerifyReport:
    return place.verify(checks_for(("ads",), place.settings.for_code))


def a_delivery(place: VerifyScene) -> JobSpec:
    file = place.settings.project / "one.payload"
    file.write_bytes(samples.body_of(3, samples.WINNER, "won"))
    (spec,) = planned(place, "event", str(file), "--attribution", "position")
    return spec


def counted(place: VerifyScene, spec: JobSpec) -> dict[str, Any]:
    """In the store; → what its job says."""
    event = ads_event.counted_event(ads_event.parse(spec.args, ads_event.EventArgs))
    with closing(open_store(place.settings.for_code, "ads")) as store:
        tables.make_tables(store)
        with store.transaction() as change:
            tables.count_event(change, event)
    return {**ads_event.said_of(event), "counted": True}


def test_an_event_that_is_counted_as_its_line_says_is_good(place: VerifyScene) -> None:
    spec = a_delivery(place)
    place.receipt(spec, outcome="ok", result=counted(place, spec))
    assert verified(place).is_good


def test_an_event_with_another_credit_is_wrong(place: VerifyScene) -> None:
    spec = a_delivery(place)
    place.receipt(spec, outcome="ok", result={**counted(place, spec), "credit": {"runner-blue": 1_000_000}})
    assert "its credit is {'runner-blue': 1000000} instead of" in only(verified(place)).message


def test_a_store_that_is_not_there_is_missing(place: VerifyScene) -> None:
    spec = a_delivery(place)
    place.receipt(spec, outcome="ok", result=ads_event.said_of(
        ads_event.counted_event(ads_event.parse(spec.args, ads_event.EventArgs))))  # fmt: skip
    finding = only(verified(place))
    assert (finding.kind, finding.subject) == ("missing", "ads") and "is not there" in finding.message


@pytest.mark.parametrize(("share", "is_good"), [(None, True), (0.9, False)])
def test_shares_that_its_seed_does_not_draw_are_wrong(
    place: VerifyScene, share: float | None, is_good: bool
) -> None:
    (spec,) = planned(place, "allocate", "--seed", "4", "--draws", "50")
    totals = {"a": ArmTotals(2_000_000, 0, 7), "b": ArmTotals(0, 1_500_000, 0), "c": ArmTotals(1, 1, 1)}
    found = allotted(totals, {"c"}, seed=4, draws=50)
    if share is not None:
        found[0] = msgspec.structs.replace(found[0], share=share)
    said = {"seed": 4, "draws": 50, "creatives": found}
    place.done(spec, msgspec.json.encode(said), result={"creatives": 3, "best": "a"})
    assert verified(place).is_good == is_good


def a_judgement(place: VerifyScene, **changed: Any) -> Path:
    """The figures; the report is what they say, less what is `changed` of the worn-out one."""
    figures, _ = samples.make_files(place.settings.project / "inputs")
    judging, _ = planned(place, "monitor_fatigue", str(figures))
    place.specs = [judging]
    with figures.open(encoding="utf-8", newline="") as lines:
        first, *rest = judged(read_figures(lines, "f"), FatigueLimits())
    assert (first.creative, first.level) == (samples.TIRED, "critical")
    creatives = (msgspec.structs.replace(first, **changed), *rest)
    report = FatigueReport(day="2026-11-29", limits=FatigueLimits(), creatives=creatives, asked=())
    place.done(judging, msgspec.json.encode(report), result={"day": "2026-11-29", "levels": {}, "asked": 0})
    return figures


def test_a_level_that_its_figures_do_not_give_is_wrong(place: VerifyScene) -> None:
    a_judgement(place, level="ok")
    assert "spring-sale is ok in its report, and critical by its figures" in only(verified(place)).message


def test_a_judgement_of_an_export_that_was_written_over_stands(place: VerifyScene) -> None:
    figures = a_judgement(place)
    assert verified(place).is_good
    figures.write_text(json.dumps("another one"))
    assert verified(place).is_good
