"""Works out anew what ads jobs say, from their lines and inputs: credit, posteriors, fatigue, the index."""

from __future__ import annotations

import sys
from pathlib import Path

# run as a plain file: the project's root is not on the path, nor perhaps its environment
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from workflows import standalone

    standalone.ensure_environment()

import io
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from conductor.base.errors import ConductorError, ConfigError, UsageError
from conductor.base.files import paths
from conductor.base.files.layout import CodeSettings
from conductor.base.text import many
from conductor.model.receipt import Receipt
from conductor.model.spec import JobSpec
from conductor.planning import input_of, open_store
from conductor.verify.report import VerifyFinding
from conductor.verify.verify import Checks, JobFacts
from workers.ads import tables, vector_index
from workers.ads.embedding import HASHED, content_of, hashed
from workers.ads.fatigue import judged
from workers.ads.figures import BadFigures, latest, read_figures
from workers.ads.sampler import winners
from workers.ads.tables import ArmTotals, CountedEvent
from workers.tasks.ads_allocate import AllocateArgs, ArmShare, allotted
from workers.tasks.ads_event import EventArgs, counted_event, said_of
from workers.tasks.ads_fatigue import FatigueReport


def checks(settings: CodeSettings) -> Checks:
    proof = AdsProof(settings)
    return Checks(jobs=(proof.check_job,), whole=(proof.check_stores,))


class BudgetFile(msgspec.Struct, frozen=True):
    """What `ads.allocate` writes."""

    seed: int
    draws: int
    creatives: tuple[ArmShare, ...]


class AdsProof:
    """Remembers which events went into which store, and looks into each store once at the end."""

    def __init__(self, settings: CodeSettings) -> None:
        self.settings = settings
        #: Store → event → what it says.
        self.events: dict[str, dict[str, CountedEvent]] = {}
        #: Arguments and results of jobs that made vectors.
        self.indexed: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []

    def check_job(self, spec: JobSpec, receipt: Receipt, facts: JobFacts) -> Iterator[str]:
        match spec.task:
            case "ads.event":
                yield from self._event(spec, receipt)
            case "ads.allocate":
                yield from self._budget(spec)
            case "ads.fatigue":
                yield from self._fatigue(spec)
            case "ads.index":
                self.indexed.append((spec.args, receipt.result))
            case _:
                pass

    # ── each job ──────────────────────────────────────────────────────────────────────────────────────────

    def _event(self, spec: JobSpec, receipt: Receipt) -> Iterator[str]:
        event = counted_event(msgspec.convert(dict(spec.args), EventArgs))
        self.events.setdefault(spec.args["store"], {})[event.event] = event
        for name, right in said_of(event).items():
            if receipt.result.get(name) != right:
                yield f"its {name} is {receipt.result.get(name)!r} instead of {right!r}"

    def _budget(self, spec: JobSpec) -> Iterator[str]:
        with paths.open_to_read(self.settings, spec.writes[0].path) as file:
            said = msgspec.json.decode(file.read(), type=BudgetFile)
        given = msgspec.convert(dict(spec.args), AllocateArgs)
        totals = {a.creative: ArmTotals(a.won_ppm, a.lost_ppm, a.expected_micros) for a in said.creatives}
        paused = {a.creative for a in said.creatives if a.is_paused}
        if list(said.creatives) != allotted(totals, paused, given.seed, given.draws):
            yield "its shares are not those that its seed draws from its posteriors"

    def _fatigue(self, spec: JobSpec) -> Iterator[str]:
        # An export that was written over since says nothing of what was judged then.
        if any(mark_of(path) != mark for path, mark in spec.inputs.items()):
            return
        with paths.open_to_read(self.settings, spec.writes[0].path) as file:
            said = msgspec.json.decode(file.read(), type=FatigueReport)
        try:
            rows = [row for path in spec.reads for row in self._rows(path)]
        except BadFigures as e:
            yield str(e)
            return
        right = tuple(judged(latest(rows).values(), said.limits))
        for found, wanted in zip(said.creatives, right, strict=False):
            if found != wanted:
                yield f"{found.creative} is {found.level} in its report, and {wanted.level} by its figures"
        if len(said.creatives) != len(right):
            yield f"its report has {many(len(said.creatives), 'creative')}, its figures have {len(right)}"

    def _rows(self, path: str) -> list[Any]:
        with (
            paths.open_to_read(self.settings, path) as raw,
            io.TextIOWrapper(raw, "utf-8", newline="") as file,
        ):
            return list(read_figures(file, Path(path).name))

    # ── the stores ────────────────────────────────────────────────────────────────────────────────────────

    def check_stores(self) -> Iterator[VerifyFinding]:
        stores = self.events.keys() | {args["store"] for args, _ in self.indexed}
        for store in sorted(stores):
            try:
                yield from self._store(store)
            except ConductorError as e:
                yield VerifyFinding(kind="missing", subject=store, message=str(e))

    def _store(self, name: str) -> Iterator[VerifyFinding]:
        wanted = self.events.get(name, {})
        with open_store(self.settings, name) as store:
            kept, arms = self._standing(store)
            yield from (wrong(name, words) for words in compared(wanted, kept, arms))
            # Who won is what these events say, as long as no others have come in.
            whole = arms if wanted and kept.keys() == wanted.keys() else None
            for args, result in self.indexed:
                if args["store"] == name:
                    yield from (wrong(name, words) for words in index_faults(store, args, result, whole))

    def _standing(self, store: Any) -> tuple[dict[str, CountedEvent], dict[str, ArmTotals]]:
        """Events and posteriors of one moment: looked at again where an event came in between."""
        while True:
            kept = {event.event: event for event in map(tables.event_of, store.read(tables.EVENT))}
            arms = tables.totals_in(store.read(tables.ARMS))
            if [(len(kept),)] == list(store.read("SELECT COUNT(*) FROM ads_events")):
                return kept, arms


def compared(
    wanted: Mapping[str, CountedEvent], kept: Mapping[str, CountedEvent], arms: Mapping[str, ArmTotals]
) -> Iterator[str]:
    """What does not agree, in words."""
    for event, right in sorted(wanted.items()):
        if event not in kept:
            yield f"event {event} is done, and the store does not have it"
        elif kept[event] != right:
            yield f"event {event} is in the store as {kept[event]}, and its line says {right}"
    others = sorted(kept.keys() - wanted.keys()) if wanted else []
    if others:
        yield (
            f"{many(len(others), 'event')} came in beside these deliveries, the first is {others[0]}: "
            "plan again; if that finds no more, somebody wrote to the store by hand"
        )
    right_arms = tables.totals_of(kept.values())
    for creative in sorted(right_arms.keys() | arms.keys()):
        found, right_arm = arms.get(creative, ArmTotals()), right_arms.get(creative, ArmTotals())
        if found != right_arm:
            yield f"the posterior of {creative} is {found}, and its events make it {right_arm}"


def index_faults(
    store: Any, args: Mapping[str, Any], result: Mapping[str, Any], arms: Mapping[str, ArmTotals] | None
) -> Iterator[str]:
    if arms is not None:
        right = winners(tables.arms_of(arms), args["least_leads"], args["sure"])
        right = [creative for creative in right if creative in args["creatives"]]
        if result["winners"] != right:
            yield f"the winners are {result['winners']}, and by the events they are {right}"
    rows = {str(row[0]): row for row in store.read(vector_index.VECTORS, [args["embedder"]])}
    for creative in result["winners"]:
        if creative not in rows:
            yield f"{creative} is a winner, and has no vector of {args['embedder']}"
            continue
        _, words, vector = rows[creative]
        if args["embedder"] == HASHED and bytes(vector) != hashed([str(words)])[0].tobytes():
            yield f"the vector of {creative} is not the one of its words"
    contents = {str(c): content for c, content, _ in store.read(vector_index.CONTENTS, [args["embedder"]])}
    for creative, row in rows.items():
        if contents.get(creative) != content_of(str(row[1])):
            yield f"the words of {creative} are not those that it was indexed by"


def wrong(store: str, message: str) -> VerifyFinding:
    return VerifyFinding(kind="wrong", subject=store, message=message)


def mark_of(path: str) -> str | None:
    try:
        return input_of(Path(path), "content")[path]
    except (UsageError, ConfigError):
        return None


if __name__ == "__main__":
    from workflows.protocol import run_verify_script

    sys.exit(run_verify_script("ads"))
