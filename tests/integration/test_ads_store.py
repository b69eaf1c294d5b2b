"""The tasks of the ads workflow on a real store, SQLite and PostgreSQL: what counts once counts once."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ads_scene import NOW, counted, lead_event, proof
from chat_server import ChatServer
from postgres_server import PASSWORD, PostgresServer
from task_bench import Bench

from conductor.base.errors import BadInput, EndpointUnavailable, JobError
from conductor.model.review import ItemVerdict
from conductor.planning import open_store
from workers.ads import tables
from workers.ads.embedding import DIMENSIONS
from workers.ads.shares import MICROS, WHOLE_PPM
from workers.tasks import ads_allocate, ads_event, ads_fatigue, ads_index
from workflows.ads import samples, search, verify

KINDS = ("sqlite", "postgresql")


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    lines = ["[roots.data]", 'path = "data"', "[stores.ads]"]
    if request.param == "sqlite":
        lines += ['url = "sqlite:data/ads.db"']
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        monkeypatch.setenv("ADS_PASSWORD", PASSWORD)
        lines += [f'url = "{server.url(server.database())}"', 'password_env = "ADS_PASSWORD"']
    (tmp_path / "conductor.toml").write_text("\n".join(lines) + '\n[endpoints.vectors]\nbase_url = "x"\n')
    return Bench(tmp_path)


def standing(bench: Bench) -> dict[str, tables.ArmTotals]:
    with open_store(bench.settings.for_code, "ads") as store:
        return tables.totals_in(store.read(tables.ARMS))


def test_an_event_counts_once_and_a_lead_is_where_its_latest_event_says(bench: Bench) -> None:
    first = lead_event("e1", "L", chance=400_000)
    won = lead_event("e2", "L", at=NOW + 60)
    late = lead_event("e0", "L", chance=0, at=NOW - 60)

    assert counted(bench, first, first) == [True, False]
    assert standing(bench) == {name: tables.ArmTotals(0, 0, 20 * MICROS) for name in "ab"}
    assert counted(bench, won, late, won, late) == [True, True, False, False]
    half = tables.ArmTotals(WHOLE_PPM // 2, 0, 50 * MICROS)
    assert standing(bench) == {"a": half, "b": half}
    assert proof(bench, first, won, late) == []
    # Paid back: it is lost after all.
    assert counted(bench, back := lead_event("e3", "L", chance=0, at=NOW + 90)) == [True]
    assert standing(bench) == {name: tables.ArmTotals(0, WHOLE_PPM // 2, 0) for name in "ab"}
    assert proof(bench, first, won, late, back) == []


def test_events_that_come_at_once_and_twice_make_the_same_as_in_a_row(bench: Bench) -> None:
    stages = (0, 400_000, WHOLE_PPM)
    events = [
        lead_event(
            f"e{n}", f"L{n % 5}", stages[n % 3], NOW + n % 7, touches=[[f"c{n % 4}", NOW], ["c9", NOW]]
        )
        for n in range(30)
    ]
    every = [*events, *events]
    random.Random(1).shuffle(every)

    def work(part: list[dict[str, Any]]) -> int:
        total = 0
        for event in part:
            with bench.context(args=event).store("ads") as store:
                tables.make_tables(store)
                one = ads_event.counted_event(ads_event.parse(event, ads_event.EventArgs))
                with store.transaction() as change:
                    total += tables.count_event(change, one)
        return total

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, [every[n::4] for n in range(4)]))

    assert sum(found) == 30
    given = [ads_event.counted_event(ads_event.parse(event, ads_event.EventArgs)) for event in events]
    assert standing(bench) == tables.totals_of(given)
    assert proof(bench, *events) == []


def test_who_dies_before_the_commit_leaves_nothing(bench: Bench) -> None:
    event = ads_event.counted_event(ads_event.parse(lead_event("e1", "L"), ads_event.EventArgs))
    with bench.context().store("ads") as store:
        tables.make_tables(store)
        with pytest.raises(KeyboardInterrupt), store.transaction() as change:
            assert tables.count_event(change, event)
            raise KeyboardInterrupt
    assert standing(bench) == {} and counted(bench, lead_event("e1", "L")) == [True]


def test_names_of_strangers_are_kept_as_they_are(bench: Bench) -> None:
    hostile = ("'; DROP TABLE ads_arms; --", '=HYPERLINK("http://x")', "\N{PILE OF POO} e\u0301", "$1 %s ?")
    events = [lead_event(f"e{n}", name, touches=[[name, NOW]]) for n, name in enumerate(hostile)]
    assert all(counted(bench, *events))
    assert set(standing(bench)) == set(hostile) and proof(bench, *events) == []


def test_what_was_changed_by_hand_is_found(bench: Bench) -> None:
    events = [lead_event("e1", "L1"), lead_event("e2", "L2", chance=0)]
    counted(bench, *events)
    with bench.context().store("ads") as store, store.transaction() as change:
        change.execute("UPDATE ads_arms SET won_ppm = won_ppm + 1 WHERE creative = 'a'")
    (finding,) = proof(bench, *events)
    assert finding.kind == "wrong" and "the posterior of a is" in finding.message
    with bench.context().store("ads") as store, store.transaction() as change:
        change.execute("UPDATE ads_arms SET won_ppm = won_ppm - 1 WHERE creative = 'a'")
        change.execute("DELETE FROM ads_events WHERE event = 'e2'")
    words = [finding.message for finding in proof(bench, *events)]
    assert words[0] == "event e2 is done, and the store does not have it" and len(words) == 3
    (forged,) = [found for found in proof(bench, events[1]) if "came in beside" in found.message]
    assert "the first is e1" in forged.message


def test_shares_are_drawn_from_the_posteriors_and_who_is_paused_has_none(bench: Bench) -> None:
    leads = [(f"w{n}", WHOLE_PPM, "good") for n in range(8)] + [(f"l{n}", 0, "bad") for n in range(8)]
    counted(bench, *(lead_event(lead, lead, chance, touches=[[c, NOW]]) for lead, chance, c in leads))
    with bench.context().store("ads") as store, store.transaction() as change:
        change.execute(tables.SET_VERDICT, ["worn", 1, "2026-11-29", "somebody", ""])
        change.execute(tables.ADD_TO_ARM, ["worn", 9 * WHOLE_PPM, 0, 5])
    written = ["published:ads/b.json"]

    said = bench.run(ads_allocate.run, {"seed": 3, "draws": 500}, writes=written)

    assert said == {"creatives": 3, "best": "good"}
    shares = {e["creative"]: e for e in json.loads(bench.made(written[0]).read_text())["creatives"]}
    assert shares["good"]["share"] > 0.95 and shares["worn"]["share"] == 0 and shares["worn"]["is_paused"]


# ── fatigue ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_worn_out_creative_is_asked_about_until_somebody_has_said(bench: Bench, monkeypatch: Any) -> None:
    figures, _ = samples.make_files(bench.inputs)
    report = "published:ads/f.json"

    def look(**args: Any) -> dict[str, Any]:
        said = bench.run(ads_fatigue.run, args, reads=[figures], writes=[report])
        bench.put(report, bench.made(report))
        return said

    def judge(is_accepted: bool) -> dict[str, Any]:
        ctx = bench.context(reads=[report], task="ads.pause")
        ctx.spec = msgspec.structs.replace(ctx.spec, after=("the_job_before",))
        verdict = ItemVerdict(item=1, is_accepted=is_accepted, who="anna", at=1.0, note="too often")

        def verdicts(job_id: str) -> tuple[ItemVerdict, ...]:
            return (verdict,)

        monkeypatch.setattr(ctx, "verdicts", verdicts)
        return ads_fatigue.pause({}, ctx) or {}

    assert look() == {"day": "2026-11-29", "levels": {"critical": 1, "ok": 3}, "asked": 1}
    assert judge(is_accepted=False) == {"paused": [], "kept": ["spring-sale"]}
    assert look()["asked"] == 0, "kept: not asked again for a week of figures"
    assert look(keep_days=0)["asked"] == 0, "nor twice about the same day"
    assert look(limits={"frequency": 9.0})["levels"] == {"ok": 3, "tired": 1}
    with bench.context().store("ads") as store, store.transaction() as change:
        change.execute("UPDATE ads_verdicts SET day = '2026-11-22'")
    assert look()["asked"] == 1, "a week has passed"
    assert judge(is_accepted=True) == {"paused": ["spring-sale"], "kept": []}
    assert look(keep_days=0)["asked"] == 0


def test_figures_with_a_fault_are_refused_by_their_line(bench: Bench) -> None:
    (file := bench.inputs / "f.csv").write_text(
        "creative,day,impressions,clicks,spend,reach_7d\na,b,1,1,1,1\n"
    )
    with pytest.raises(BadInput, match=r"f\.csv:2: day 'b' is no date"):
        bench.run(ads_fatigue.run, {}, reads=[file], writes=["published:f.json"])
    file.write_bytes(b"creative,day,impressions,clicks,spend,reach_7d\n\xff\n")
    with pytest.raises(BadInput, match="is not UTF-8"):
        bench.run(ads_fatigue.run, {}, reads=[file], writes=["published:f.json"])
    file.write_text("creative,day,impressions,clicks,spend,reach_7d\n")
    with pytest.raises(BadInput, match="not one row"):
        bench.run(ads_fatigue.run, {}, reads=[file], writes=["published:f.json"])


# ── the index ─────────────────────────────────────────────────────────────────────────────────────────────


def left_out(rows: list[Any]) -> Any:
    return rows[1:]


def one_place(rows: list[Any]) -> Any:
    return [{**row, "index": 0} for row in rows]


def uneven(rows: list[Any]) -> Any:
    return [rows[0], {**rows[1], "embedding": [1.0]}]


def empty(rows: list[Any]) -> Any:
    return [{**row, "embedding": []} for row in rows]


def of_words(rows: list[Any]) -> Any:
    return [{**row, "embedding": ["x"]} for row in rows]


def no_list(rows: list[Any]) -> Any:
    return {"not": "a list"}


SPOILT = {
    left_out: "sent 1 vectors for 2 texts",
    one_place: "of 2 texts each has one",
    uneven: "of different lengths",
    empty: "of different lengths",
    of_words: "no list of embeddings",
    no_list: "no list of embeddings",
}


class VectorServer(ChatServer):
    """OpenAI-shaped embeddings: as many numbers as `length`, of how often a text has which letter."""

    def __init__(self) -> None:
        self.length, self.status, self.asked = 8, 200, list[str]()
        self.spoil: Callable[[list[Any]], Any] | None = None
        super().__init__()

    def reply(
        self, path: str, headers: Mapping[str, str], body: dict[str, Any]
    ) -> tuple[int, Mapping[str, str], bytes]:
        if self.status != 200:
            return self.status, {}, json.dumps({"error": {"message": "not today"}}).encode()
        assert path == "/v1/embeddings"
        self.asked += body["input"]
        letters = "abcdefgh"[: self.length]
        counts = [[text.count(letter) + 0.5 for letter in letters] for text in body["input"]]
        # Backwards: it is `index` that says whose a vector is.
        rows = [{"index": n, "embedding": each} for n, each in enumerate(counts)][::-1]
        answer = {"model": body["model"], "data": self.spoil(rows) if self.spoil else rows}
        return 200, {}, json.dumps({**answer, "usage": {"prompt_tokens": 7, "total_tokens": 7}}).encode()


def with_winners(bench: Bench, *names: str) -> None:
    with bench.context().store("ads") as store:
        tables.make_tables(store)
        with store.transaction() as change:
            for name in names:
                change.execute(tables.ADD_TO_ARM, [name, 30 * WHOLE_PPM, 0, 0])
            change.execute(tables.ADD_TO_ARM, ["loser", 0, 60 * WHOLE_PPM, 0])


def test_winners_are_indexed_once_and_found_by_what_they_say(
    bench: Bench, capsys: Any, monkeypatch: Any
) -> None:
    with_winners(bench, "shoes", "tax")
    texts = {"shoes": "Running shoes for the city", "tax": "File your tax return", "loser": "Running on"}
    args = {"creatives": texts}

    said = bench.run(ads_index.run, args)
    assert said == {"winners": ["shoes", "tax"], "embedded": ["shoes", "tax"], "embedder": "hashed-1",
                    "dimensions": DIMENSIONS}  # fmt: skip
    assert bench.run(ads_index.run, args)["embedded"] == []
    assert bench.run(ads_index.run, {"creatives": {**texts, "tax": "Taxes, done"}})["embedded"] == ["tax"]

    monkeypatch.setenv("CONDUCTOR_PROJECT", str(bench.settings.project))
    assert search.main(["shoes to run in", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["found"]
    assert [each["creative"] for each in found] == ["shoes", "tax"] and found[0]["score"] > 0.3 > found[1][
        "score"
    ]
    assert found[1]["words"] == "Taxes, done"
    assert search.main([" "]) == 2
    assert (
        search.main(["x", "--endpoint", "vectors"]) == 2
        and "the index has: hashed-1" in capsys.readouterr().err
    )

    line = {"store": "ads", "embedder": "hashed-1", **args}
    with open_store(bench.settings.for_code, "ads") as store:
        assert list(verify.index_faults(store, line, said, None)) == []
    with bench.context().store("ads") as store, store.transaction() as change:
        change.execute("UPDATE ads_vectors SET words = 'other' WHERE creative = 'shoes'")
        change.execute("DELETE FROM ads_vectors WHERE creative = 'tax'")
    with open_store(bench.settings.for_code, "ads") as store:
        assert list(verify.index_faults(store, line, said, None)) == [
            "the vector of shoes is not the one of its words",
            "tax is a winner, and has no vector of hashed-1",
            "the words of shoes are not those that it was indexed by",
        ]


def test_an_endpoint_is_asked_once_a_text_and_one_that_misbehaves_leaves_nothing(
    bench: Bench, monkeypatch: Any
) -> None:
    with VectorServer() as server:
        endpoint = msgspec.structs.replace(
            bench.settings.endpoints["vectors"], base_url=server.base_url, model="m"
        )
        bench.settings.endpoints["vectors"] = endpoint
        with_winners(bench, "one", "two")
        args = {
            "creatives": {"one": "a cab", "two": "a dad"},
            "embedder": "endpoint-vectors-m",
            "endpoint": "vectors",
        }

        for server.spoil, words in SPOILT.items():
            with pytest.raises(JobError, match=words):
                bench.run(ads_index.run, args)
        server.spoil, server.status = None, 401
        with pytest.raises(EndpointUnavailable, match="does not accept the key"):
            bench.run(ads_index.run, args)
        server.status, server.asked = 200, []

        assert bench.run(ads_index.run, args)["embedded"] == ["one", "two"]
        assert bench.run(ads_index.run, args)["embedded"] == [] and sorted(server.asked) == ["a cab", "a dad"]

        server.length = 4
        with pytest.raises(BadInput, match="vectors of length 4, and its index has those of length 8"):
            bench.run(ads_index.run, {**args, "creatives": {"one": "anew"}})
        monkeypatch.setenv("CONDUCTOR_PROJECT", str(bench.settings.project))
        server.length = 8
        found = search.searched(search.parsed(["dad", "--endpoint", "vectors"]), bench.settings.for_code)
        assert [each.creative for each in found] == ["two", "one"]
    with pytest.raises(EndpointUnavailable, match="did not answer"):
        bench.run(ads_index.run, {**args, "creatives": {"one": "once more"}})
