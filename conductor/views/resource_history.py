"""The last hours of every device, disk and memory, and of what the gates have cost, as the resource log on
the event stream told of them: what strips are drawn from. Pure; bounded, however long it listens.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from conductor.model.resource_reading import ResourceReading, read_reading
from conductor.model.spec import Value
from conductor.model.told_event import ToldEvent

#: The events that it reads; nobody has to hand it others.
LISTENED = frozenset({"node.resources", "gates.lost"})
#: The log has one entry a minute: eighteen hours of it, of so many places at most.
MOST_SAMPLES, MOST_PLACES = 1080, 128
#: A strip is drawn from no more points than that: no screen shows more.
MOST_POINTS = 180
#: The last hour is told in so many parts, of so many seconds.
HOUR_PARTS, PART_S = 12, 300.0
#: The evening at which a night begins, as a local hour.
NIGHT_BEGINS = 18


class ResourceSample(NamedTuple):
    """None: not known then."""

    at: float
    used: float | None
    promised: float | None
    foreign: float | None
    #: What there is less the headroom, and what there is.
    limit: float | None
    whole: float | None


class ResourceStrip(Value, frozen=True, kw_only=True):
    """One place over time; the lists are equally long. `limit`: what there is less the headroom, lately."""

    node: str
    #: «gpu0», «scratch», «ram».
    place: str
    #: MiB or bytes.
    unit: str
    whole: float | None
    limit: float | None
    at: tuple[float, ...]
    used: tuple[float | None, ...]
    #: What attempts hold; None where no conductor said so.
    promised: tuple[float | None, ...]
    #: Used by others than our jobs; None where nobody can tell.
    foreign: tuple[float | None, ...]


class LostTonight(Value, frozen=True, kw_only=True):
    """Gate → seconds that it held something back since `since`: the evening's 18:00, or from when on this
    is known."""

    since: float
    lost_s: dict[str, float] = {}


class ResourceHistory:
    """One thread feeds it and asks it."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, str, str], deque[ResourceSample]] = {}
        self._lost: deque[tuple[float, dict[str, float]]] = deque(maxlen=MOST_SAMPLES)

    def hear(self, events: Iterable[ToldEvent]) -> None:
        """In their order. Others than those listened to are passed over, and what was heard already."""
        for event in events:
            if event.name not in LISTENED:
                continue
            found = list(_readings(event.fields.get("readings")))
            if event.name == "gates.lost" and (not self._lost or self._lost[-1][0] < event.at):
                self._lost.append((event.at, {each.place: each.amount for each in found}))
            elif event.name == "node.resources":
                self._take(str(event.fields.get("node", "")), event.at, found)

    def _take(self, node: str, at: float, found: list[ResourceReading]) -> None:
        for place in dict.fromkeys(each.place for each in found):
            told = {each.what: each for each in found if each.place == place}
            unit, sample = _sample(at, told)
            key = (node, place, unit)
            if key not in self._samples and len(self._samples) >= MOST_PLACES:
                # Whoever was silent for longest is not there any more.
                del self._samples[min(self._samples, key=lambda known: self._samples[known][-1].at)]
            samples = self._samples.setdefault(key, deque(maxlen=MOST_SAMPLES))
            if not samples or samples[-1].at < at:
                samples.append(sample)

    def strips(self, since: float) -> tuple[ResourceStrip, ...]:
        """By host and place; those of which nothing was told since then are left out."""
        return tuple(
            strip
            for (node, place, unit), samples in sorted(self._samples.items())
            if (strip := _strip(node, place, unit, [each for each in samples if each.at >= since]))
        )

    def lost_tonight(
        self, now_lost_s: dict[Any, float], now: float, wall: Callable[[float], float] | None = None
    ) -> LostTonight | None:
        """`now_lost_s`: what they have cost since the ledger began. None: nothing is known of before."""
        if not self._lost:
            return None
        begins = (wall or evening_before)(now)
        at, before = next((each for each in self._lost if each[0] >= begins), self._lost[-1])
        lost = {gate: seconds - before.get(gate, 0.0) for gate, seconds in now_lost_s.items()}
        # A ledger that began anew counts from nothing.
        is_same = all(seconds >= 0 for seconds in lost.values())
        return LostTonight(since=at, lost_s={g: round(s, 1) for g, s in lost.items()}) if is_same else None

    def last_hour(self, now: float) -> dict[str, tuple[int, ...]]:
        """Gate → of each twelfth of the hour before `now`, in per cent, how much of it something was held
        back. Gates that held nothing are left out, and so is what nobody told of."""
        slots: dict[str, list[float]] = {}
        for (began, before), (ended, after) in pairwise(each for each in self._lost if each[0] > now - 3900):
            slot = HOUR_PARTS - 1 - int((now - ended) // PART_S)
            if not 0 <= slot < HOUR_PARTS or ended - began > 2 * PART_S:
                continue
            for gate, seconds in after.items():
                if (lost := seconds - before.get(gate, 0.0)) > 0:
                    slots.setdefault(gate, [0.0] * HOUR_PARTS)[slot] += lost
        return {
            gate: tuple(min(100, round(100 * lost / PART_S)) for lost in parts)
            for gate, parts in slots.items()
        }


def evening_before(now: float) -> float:
    """The last 18:00 by the clock of this host."""
    there = time.localtime(now)
    day = there.tm_mday - (there.tm_hour < NIGHT_BEGINS)
    return time.mktime((there.tm_year, there.tm_mon, day, NIGHT_BEGINS, 0, 0, 0, 0, -1))


def _readings(told: Any) -> Iterator[ResourceReading]:
    for text in told if isinstance(told, list) else ():
        if isinstance(text, str) and (found := read_reading(text)) is not None:
            yield found


def _sample(at: float, told: dict[str, ResourceReading]) -> tuple[str, ResourceSample]:
    """Its unit, and what was told of one place at one moment."""
    is_bytes = any(what.endswith("_bytes") for what in told)
    used = told.get("vram_used_mib")
    free = told.get("free_bytes") or told.get("free")
    promised = told.get("vram_promised_mib") or told.get("promised_bytes") or told.get("promised")
    foreign = told.get("vram_foreign_mib")
    measured = used or free
    amount = used.amount if used else None
    if used is None and free is not None and free.whole is not None:
        amount = max(0.0, free.whole - free.amount)
    return "bytes" if is_bytes else "MiB", ResourceSample(
        at=at,
        used=amount,
        promised=promised.amount if promised else None,
        foreign=foreign.amount if foreign else None,
        limit=promised.whole if promised else None,
        whole=measured.whole if measured else None,
    )


def _strip(node: str, place: str, unit: str, samples: list[ResourceSample]) -> ResourceStrip | None:
    if not samples:
        return None
    points = list(_thinned(samples))
    return ResourceStrip(
        node=node,
        place=place,
        unit=unit,
        whole=samples[-1].whole,
        limit=samples[-1].limit,
        at=tuple(each.at for each in points),
        used=tuple(each.used for each in points),
        promised=tuple(each.promised for each in points),
        foreign=tuple(each.foreign for each in points),
    )


def _thinned(samples: list[ResourceSample]) -> Iterator[ResourceSample]:
    """Of several that fall onto one point the highest of each counts: a peak is what one looks for."""
    step = -(-len(samples) // MOST_POINTS)
    for first in range(0, len(samples), step):
        part = samples[first : first + step]
        yield part[-1]._replace(
            used=_most(each.used for each in part),
            promised=_most(each.promised for each in part),
            foreign=_most(each.foreign for each in part),
        )


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
