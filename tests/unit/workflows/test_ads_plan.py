"""What a CRM may send: each body becomes one job that says the same again, or is refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conductor.app.workflow_lookup import plan
from conductor.base.errors import ConductorError, ConfigError, UsageError
from conductor.base.settings.settings import Settings, load
from conductor.model.spec import JobSpec
from conductor.record import manifest

NOON = "2026-11-29T12:00:00Z"
CONFIG = """
[stores.ads]
url = "sqlite:data/ads.db"
[roots.data]
path = "data"
[endpoints.vectors]
base_url = "http://127.0.0.1:1/v1"
model = "small"
"""


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    (tmp_path / "conductor.toml").write_text(CONFIG)
    return load(tmp_path)


def planned(project: Settings, *argv: str) -> list[JobSpec]:
    return list(manifest.read(plan("ads", argv, project.for_code)[0]))


def delivery(project: Settings, body: bytes | str, *argv: str) -> list[JobSpec]:
    file = project.project / "body.payload"
    file.write_bytes(body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass"))
    return planned(project, "event", str(file), "--tag", "crm-1", *argv)


def body(kind: str = "lead.stage_changed", **data: Any) -> str:
    touches = [
        {"creative": "b", "at": "2026-11-28T12:00:00+01:00"},
        {"creative": "a", "at": "2026-11-27T00:00:00Z"},
    ]
    said = {
        "lead": "L-1",
        "stage": "qualified",
        "value": 1200.5,
        "currency": "EUR",
        "touches": touches,
        **data,
    }
    return json.dumps({"type": kind, "timestamp": NOON, "data": said})


def test_a_delivery_is_a_job_that_says_all_of_it(project: Settings) -> None:
    (spec,) = delivery(project, body())
    assert (spec.task, spec.tag, spec.args) == (
        "ads.event",
        "crm-1",
        {
            "store": "ads",
            "event": "crm-1",
            "lead": "L-1",
            "at": 1795953600.0,
            "chance_ppm": 400_000,
            "value_micros": 1_200_500_000,
            # In the order of time, in UTC.
            "touches": [["a", 1795737600.0], ["b", 1795863600.0]],
            "model": "time_decay",
            "half_life_days": 7.0,
            "lookback_days": 30.0,
        },
    )
    assert delivery(project, body()) == [spec] != delivery(project, body(lead="L-2"))


def test_by_hand_its_content_is_its_name(project: Settings) -> None:
    (file := project.project / "one.payload").write_text(body())
    (spec,) = planned(project, "event", str(file))
    assert spec.args["event"].startswith("body-") and spec.tag == ""


def test_what_is_left_out_and_what_is_added(project: Settings) -> None:
    (spec,) = delivery(project, body(value=None, currency=None, touches=[]), "--average-value", "80")
    assert (spec.args["value_micros"], spec.args["touches"]) == (80_000_000, [])
    (spec,) = delivery(project, body(stage="demo", unknown={"x": [1]}), "--stage", "demo=0.55")
    assert spec.args["chance_ppm"] == 550_000
    assert delivery(project, body("contact.created")) == []
    assert delivery(project, '{"type": "lead.removed"}') == []


HUGE = "x" * (1 << 20)
DAMAGED: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "its body: input data was truncated"),
    "no JSON": ("lead=1&stage=won", "its body: JSON is malformed"),
    "no object": ("[1]", "its body: expected `object`, got `array`"),
    "no type": ("{}", "missing required field `type`"),
    "no data": (f'{{"type": "lead.stage_changed", "timestamp": "{NOON}"}}', "missing required field `data`"),
    "no lead": (body(lead=None), r"data.lead: expected `str`, got `null`"),
    "an empty lead": (body(lead=""), "data.lead: expected `str` of length >= 1"),
    "a long lead": (body(lead="x" * 201), "data.lead: expected `str` of length <= 200"),
    "a wrong type": (body(value="12"), "data.value: expected `float | null`, got `str`"),
    "NaN": (body().replace("1200.5", "NaN"), "JSON is malformed"),
    "Infinity": (body().replace("1200.5", "1e999"), "data.value|[Nn]umber out of range"),
    "less than nothing": (body(value=-1), "data.value: expected `float` >= 0"),
    "more than there is": (body(value=1e13), "data.value: expected `float` <= 1000000000000"),
    "no time": (body().replace("2026-11-29T", "29.11.2026 "), "timestamp: invalid RFC3339"),
    "no touch": (body(touches=[{"creative": "a"}]), "object missing required field `at`"),
    "many touches": (
        body(touches=[{"creative": "a", "at": NOON}] * 501),
        "data.touches: expected `array` of length <= 500",
    ),
    # Where Python's stack is deep enough for it (from 3.14 on), its end is missed.
    "a nest": ('{"type": "lead.stage_changed", "timestamp": ' + "[" * 200_000, "nested too deeply|truncated"),
    "a nest that nobody reads": (
        body().replace('"EUR"', '"EUR", "x": ' + "[" * 9000),
        "nested too deeply|JSON is malformed",
    ),
    "too much": (body(note=HUGE), "is larger than 1 MiB"),
    "no UTF-8": (body().encode().replace(b"L-1", b"L-\xff"), "data.lead: invalid|nvalid"),
    "half a letter": (body().replace("L-1", "\\ud800"), "JSON is malformed"),
    "a terminal's command": (body(lead="L\x1b[2J"), "data.lead: a name has no control characters"),
    "a NUL": (body(touches=[{"creative": "a\0", "at": NOON}]), r"data.touches\[0\].creative"),
    "a blank at its end": (body(stage="won "), "data.stage: a name has no control characters, nor blanks"),
    "no such stage": (body(stage="Won"), "data.stage: 'Won' is no stage that is known"),
    "another currency": (body(currency="USD"), "amounts are added up in EUR, and this is in 'USD'"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_delivery_is_refused_in_one_sentence(project: Settings, kind: str) -> None:
    text, words = DAMAGED[kind]
    with pytest.raises(UsageError, match=words) as refused:
        delivery(project, text)
    assert "\n" not in str(refused.value) and str(refused.value).isprintable()
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    "name",
    ['=HYPERLINK("http://x")', "+1", "'; DROP TABLE x", "\N{PILE OF POO} e\u0301", "{payload}", "--tag"],
)
def test_a_name_that_is_strange_is_a_name(project: Settings, name: str) -> None:
    (spec,) = delivery(project, body(lead=name, touches=[{"creative": name, "at": NOON}]))
    assert spec.args["lead"] == name and spec.args["touches"][0][0] == name


@pytest.mark.parametrize(
    ("argv", "error", "words"),
    [
        (("event", "nowhere"), UsageError, "nowhere cannot be read: No such file"),
        (("event", "b", "--stage", "won=2"), UsageError, "--stage won=2: is to be NAME=SHARE"),
        (("event", "b", "--stage", "won=nan"), UsageError, "--stage won=nan"),
        (("event", "b", "--half-life-days", "0"), UsageError, "--half-life-days: more than 0"),
        (("event", "b", "--average-value", "nan"), UsageError, "--average-value: from 0"),
        (("day", "nowhere"), UsageError, "nowhere is no folder"),
        (("allocate", "--draws", "0"), UsageError, "--draws 0"),
        (("monitor_fatigue", "nowhere"), UsageError, "nowhere is no CSV file with daily figures"),
        (("monitor_fatigue", "f.csv", "--frequency", "0"), UsageError, "the limits: Expected `float` > 0.0"),
        (("auto_index_winner", "nowhere"), UsageError, "nowhere cannot be read"),
        (("auto_index_winner", "c.jsonl"), UsageError, r"c.jsonl:2: .*a line is {\"creative\""),
        (("auto_index_winner", "c.jsonl", "--sure", "1"), UsageError, "--sure between 0 and 1"),
        (("auto_index_winner", "c.jsonl", "--endpoint", "x"), ConfigError, "x. is not in conductor.toml"),
        (("auto_index_winner", "c.jsonl", "--model", "x"), ConfigError, "no model is named 'x'"),
        (("auto_index_winner", "c", "--model", "x", "--endpoint", "y"), UsageError, "one of them makes"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_says_why(
    project: Settings, argv: tuple[str, ...], error: type[ConductorError], words: str, monkeypatch: Any
) -> None:
    monkeypatch.chdir(project.project)
    Path("b").write_text(body())
    Path("f.csv").touch()
    Path("c.jsonl").write_text('{"creative": "a", "text": "b"}\n{"creative": 1}\n')
    with pytest.raises(error, match=words):
        planned(project, *argv)


def test_a_request_has_as_many_creatives_as_it_takes_and_its_share_of_the_budget(project: Settings) -> None:
    file = project.project / "c.jsonl"
    lines = [json.dumps({"creative": f"c{n:03}", "text": "x" * (8000 if n < 40 else 10)}) for n in range(130)]
    file.write_text("\n".join(lines))

    jobs = planned(project, "auto_index_winner", str(file), "--endpoint", "vectors")

    assert [len(spec.args["creatives"]) for spec in jobs] == [32, 32, 64, 2]
    assert all(spec.needs and spec.needs.rates["vectors"].requests == 1 for spec in jobs)
    assert jobs[0].needs and jobs[0].needs.rates["vectors"].tokens >= 32 * 8000 / 4
    assert (jobs[0].lane, jobs[0].args["embedder"]) == ("cloud", "endpoint-vectors-small")
    (first, *_) = planned(project, "auto_index_winner", str(file))
    assert (first.lane, first.args["embedder"], "endpoint" in first.args) == ("cpu", "hashed-1", False)


def test_a_day_has_each_delivery_once_and_is_another_one_when_more_came(project: Settings) -> None:
    folder = project.manifests_dir / "hooks"
    folder.mkdir(parents=True)

    def arrive(name: str) -> None:
        (project.project / "p").write_text(body(lead=name))
        argv = ["event", str(project.project / "p"), "--tag", name, "-o", str(folder / f"{name}.jsonl")]
        plan("ads", argv, project.for_code)

    arrive("crm-1")
    arrive("crm-2")
    (folder / "copy.jsonl").write_bytes((folder / "crm-1.jsonl").read_bytes())
    first = planned(project, "day", str(folder))
    assert [spec.task for spec in first] == ["ads.event", "ads.event", "ads.allocate"]
    assert set(first[-1].after) == {spec.id for spec in first[:2]}
    assert planned(project, "day", str(folder)) == first
    arrive("crm-3")
    more = planned(project, "day", str(folder))
    assert len(more) == 4 and more[-1].id != first[-1].id and {s.id for s in first[:2]} < {s.id for s in more}
