"""match.choose: the events of a whole match, with what a person said of them, and which pictures each reel
has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, structs

from conductor.base.errors import BadInput
from conductor.base.files import paths
from conductor.model.spec import Needs, Value
from workers.match.rules import Event
from workers.match.windows import MatchPart, Reel, ReelPlan, ShownWindow, windows_of
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, parse, read_of, shown, write_of
from workers.tasks.match_events import EventsFile, events_in


class ChosenPart(Args, frozen=True, kw_only=True):
    """`events`: the file of match.events; `job`: which made it; `goal`: that the keeper guards in it."""

    events: str
    job: str
    goal: Literal["left", "right", "both"] = "both"


class ChooseArgs(Args, frozen=True, kw_only=True):
    parts: Annotated[list[ChosenPart], Meta(min_length=1, max_length=100)]
    reels: ReelPlan = ReelPlan()
    #: What really happened, where that is known: `verify` holds the events against it.
    truth: dict[str, Any] | None = None


class MatchFile(Value, frozen=True, kw_only=True):
    """The file match.choose writes and match.render reads."""

    v: Literal[1]
    reels: ReelPlan
    #: None: of this part nothing is known, its jobs have failed.
    parts: tuple[MatchPart | None, ...]
    windows: dict[Reel, tuple[ShownWindow, ...]]
    asked: int = 0
    rejected: int = 0


@task("match.choose", lane="cpu", needs=Needs(cpu=1, ram_mib=128), timeout_s=600)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: parts, reels, truth. Writes .json (`MatchFile`).

    Result: the same, with «missing»: the parts of which nothing is known.
    """
    given = parse(args, ChooseArgs)
    parts: list[MatchPart | None] = []
    asked = rejected = 0
    for part in given.parts:
        read = read_of(ctx, part.events, 0, "parts")
        if not paths.resolve(ctx.settings, read, for_writing=False).exists():
            parts.append(None)
            continue
        file = events_in(ctx.input(read).read_bytes(), shown(read))
        verdicts = ctx.verdicts(part.job)
        yes = {verdict.item for verdict in verdicts if verdict.is_accepted}
        events = accepted_of(file, yes)
        asked += len(file.asked)
        rejected += len(file.events) - len(events)
        parts.append(MatchPart(events=events, ends_s=file.ends_s, goal=part.goal))
    if not any(parts):
        raise BadInput("not one film of the match could be looked at: see what became of their jobs")
    windows = {reel: tuple(windows_of(reel, parts, given.reels)) for reel in get_args(Reel)}
    match = MatchFile(
        v=1, reels=given.reels, parts=tuple(parts), windows=windows, asked=asked, rejected=rejected
    )
    ctx.output(write_of(ctx, ".json")).write_bytes(msgspec.json.encode(match))
    missing = [number for number, part in enumerate(parts) if part is None]
    return {**msgspec.to_builtins(match), "missing": missing}


def accepted_of(file: EventsFile, accepted: set[int]) -> tuple[Event, ...]:
    """The sure ones, and those that a person accepted, who is sure. `accepted`: numbers of items, from 1."""
    said = {place: item in accepted for item, place in enumerate(file.asked, 1)}
    return tuple(
        structs.replace(event, sure=1.0) if number in said else event
        for number, event in enumerate(file.events)
        if said.get(number, True)
    )


def match_in(data: bytes, name: str) -> MatchFile:
    """Raises `BadInput` where it is no file of this task."""
    try:
        return msgspec.json.decode(data, type=MatchFile)
    except msgspec.DecodeError as e:
        raise BadInput(f"{name} says nothing of a match: {e}") from None
