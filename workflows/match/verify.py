"""Holds a match's reels against its events: as many pictures as the windows around them have, the very ones
where the film carries numbers, nothing of what a person rejected; and the events against the truth where it
is known.
"""

from __future__ import annotations

import sys
from pathlib import Path

# run as a plain file: the project's root is not on the path, nor perhaps its environment
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from workflows import standalone

    standalone.ensure_environment()

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import msgspec

from conductor.base.errors import BadInput
from conductor.base.files.layout import CodeSettings
from conductor.base.files.paths import resolve
from conductor.base.text import many
from conductor.model.receipt import Receipt
from conductor.model.spec import JobSpec
from conductor.verify.verify import Checks, JobFacts
from workers.match.windows import Reel, ShownWindow, windows_of
from workers.tasks.match_choose import MatchFile, accepted_of
from workers.tasks.match_events import EventsFile

#: How far an event may be from when it really was.
NEAR_S = 0.6
#: Of what is wrong so much is named.
MOST_NAMED = 5


def checks(settings: CodeSettings) -> Checks:
    return Checks(jobs=(MatchCheck(settings).check_job,))


class MatchCheck:
    """Sees the jobs in the manifest's order: films first, then the match, then its reels."""

    def __init__(self, settings: CodeSettings) -> None:
        self._settings = settings
        #: Job of a film's events → what its receipt says of them, a person's word included.
        self._events: dict[str, EventsFile] = {}
        self._accepted: dict[str, set[int]] = {}
        #: Reel on scratch → the pictures that it has to show; None: their films carry no numbers.
        self._numbers: dict[str, list[int] | None] = {}
        self._windows: dict[Reel, tuple[ShownWindow, ...]] = {}
        self._is_numbered = False

    def check_job(self, spec: JobSpec, receipt: Receipt, facts: JobFacts) -> Iterator[str]:
        if spec.task == "match.events":
            said = {k: receipt.result[k] for k in ("events", "asked")}
            self._events[spec.id] = msgspec.convert({"v": 1, "source": "", "ends_s": 0.0, **said}, EventsFile)
            self._accepted[spec.id] = {v.item for v in receipt.verdicts if v.is_accepted}
        elif spec.task == "match.choose":
            yield from self._match(spec, receipt)
        elif spec.task == "match.render":
            yield from self._reel(spec, receipt, facts)
        elif spec.task == "files.publish":
            yield from self._numbered(spec)

    def _match(self, spec: JobSpec, receipt: Receipt) -> Iterator[str]:
        said = {k: v for k, v in receipt.result.items() if k in MatchFile.__struct_fields__}
        match = msgspec.convert(said, MatchFile)
        for number, (part, given) in enumerate(zip(match.parts, spec.args["parts"], strict=True)):
            if part is None:
                if given["job"] in self._events:
                    yield f"film {number + 1} could be looked at since: plan and dispatch again to include it"
                continue
            known = self._events.get(given["job"])
            wanted = None if known is None else accepted_of(known, self._accepted[given["job"]])
            if wanted != part.events:
                yield f"the events of film {number + 1} are not those found in it and accepted"
        for reel in get_args(Reel):
            if tuple(windows_of(reel, match.parts, match.reels)) != match.windows.get(reel):
                yield f"the windows of the {reel} reel are not those around its events"
        self._windows = match.windows
        truth = spec.args.get("truth")
        if truth is not None:
            self._is_numbered = bool(truth.get("is_numbered"))
            found = [part.events if part else () for part in match.parts]
            yield from against(truth["parts"], [msgspec.to_builtins(events) for events in found])

    def _reel(self, spec: JobSpec, receipt: Receipt, facts: JobFacts) -> Iterator[str]:
        path = spec.writes[0].path
        windows = self._windows.get(spec.args["reel"])
        if windows is None:
            return
        if msgspec.convert(receipt.result["windows"], tuple[ShownWindow, ...]) != windows:
            yield "it was made of other windows than those chosen: plan and dispatch again"
        frames = sum(window.frames for window in windows)
        said = receipt.result["outputs"][path]["frames"]
        seen = facts.outputs.get(path)
        counted = seen.media.pictures if seen is not None and seen.media is not None else said
        if not frames == said == counted:
            yield f"it has {counted} pictures, its receipt says {said}, its windows have {frames}"
        numbers = [window.first + n for window in windows for n in range(window.frames)]
        self._numbers[path] = numbers if self._is_numbered else None

    def _numbered(self, spec: JobSpec) -> Iterator[str]:
        wanted = self._numbers.get(spec.args["source"])
        if wanted is None:
            return
        try:
            found = numbers_in(resolve(self._settings, spec.writes[0].path, for_writing=False))
        except (OSError, BadInput) as e:
            yield f"the numbers of its pictures cannot be read: {e}"
            return
        if found != wanted:
            at = next((n for n, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), 0)
            yield f"picture {at} of the reel is not the one that belongs there"


def numbers_in(film: Path) -> list[int]:
    """What each picture of a drawn match says that it is."""
    import numpy as np

    from workers.media.probing import opened
    from workflows.match.drawn import number_of

    with opened(film, film.name) as container:
        return [
            number_of(np.asarray(frame.to_ndarray(format="gray"), np.uint8))
            for frame in container.decode(video=0)
        ]


def against(
    truth: Sequence[Sequence[Mapping[str, Any]]], found: Sequence[Sequence[Mapping[str, Any]]]
) -> Iterator[str]:
    """Complaints: what was not found (recall), and what is none (precision)."""
    missed: list[str] = []
    wrong: list[str] = []
    for number, known in enumerate(truth):
        left = list(found[number]) if number < len(found) else []
        for event in known:
            near = [other for other in left if is_same(event, other)]
            if near:
                left.remove(min(near, key=lambda other: abs(other["at_s"] - event["at_s"])))
            else:
                missed.append(named(number, event))
        wrong += [named(number, event) for event in left]
    for what, events in (("was not found", missed), ("is none that happened", wrong)):
        if events:
            more = f" and {many(len(events) - MOST_NAMED, 'other')}" if len(events) > MOST_NAMED else ""
            yield f"{', '.join(events[:MOST_NAMED])}{more} {what}"


def is_same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return (
        a["kind"] == b["kind"]
        and a.get("goal", "") == b.get("goal", "")
        and abs(a["at_s"] - b["at_s"]) <= NEAR_S
    )


def named(part: int, event: Mapping[str, Any]) -> str:
    return f"the {event['kind']} at {event['at_s']:.1f} s of film {part + 1}"


if __name__ == "__main__":
    from workflows.protocol import run_verify_script

    sys.exit(run_verify_script("match"))
