"""What becomes of the instants of a schedule that have passed and were not yet handled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Literal, NamedTuple

from conductor.model.schedule import ScheduleRule, TakenFire

#: A fire that is later than this was missed: a leader looks every second, and a lead passes on within two.
ON_TIME_S = 60.0

SkipReason = Literal["missed", "overlap", "paused"]


class SkippedFires(NamedTuple):
    instants: tuple[int, ...]
    why: SkipReason


class DueFires(NamedTuple):
    """In this order: skip, then fire the first of `fire`; the rest is looked at again when that is over."""

    skip: SkippedFires | None = None
    fire: tuple[int, ...] = ()
    #: Something is due, and waits for the fire before.
    waits: bool = False


NOTHING = DueFires()


def put_off_s(rule: ScheduleRule, instant: int) -> float:
    """From 0 to the rule's jitter; the same for one name and instant on every host and at every look."""
    if rule.jitter_s <= 0:
        return 0.0
    digest = hashlib.sha256(f"{rule.name}@{instant}".encode()).digest()
    return rule.jitter_s * int.from_bytes(digest[:8], "big") / (1 << 64)


def passed(rule: ScheduleRule, instants: Iterable[int], now: float) -> tuple[int, ...]:
    """Those in front whose time has come. None overtakes another one that is put off for longer."""
    return tuple(takewhile(lambda instant: instant + put_off_s(rule, instant) <= now, instants))


def due(
    rule: ScheduleRule,
    instants: Sequence[int],
    now: float,
    *,
    taken: TakenFire | None = None,
    is_busy: bool = False,
    is_paused: bool = False,
    has_waited: bool = False,
) -> DueFires:
    """`instants`: those that passed and were not handled, in order. `is_busy`: jobs of the fire before are
    not over. `has_waited`: an instant that came due has waited for that.

    A fire that a leader took and did not end goes first, whatever the rule says of missed ones: it was not
    skipped, and the leader that took it is gone.
    """
    if taken is not None and taken.until > now:
        later = () if is_paused else _after(instants, taken)
        if not later:
            return NOTHING
        return (
            DueFires(waits=True) if rule.overlap == "queue" else DueFires(skip=SkippedFires(later, "overlap"))
        )
    if taken is not None:
        return DueFires(fire=(taken.instant,))
    if not instants:
        return NOTHING
    if is_paused:
        return DueFires(skip=SkippedFires(tuple(instants), "paused"))
    if is_busy and rule.overlap == "queue":
        return DueFires(waits=True)
    fire = _chosen(rule, instants, now, has_waited)
    left_out = tuple(instants[: len(instants) - len(fire)])
    if is_busy:
        # What was missed and is not made up for was so before anything overlapped.
        return DueFires(skip=SkippedFires(left_out or fire, "missed" if left_out else "overlap"))
    skip = SkippedFires(left_out, "overlap" if has_waited else "missed") if left_out else None
    return DueFires(skip=skip, fire=fire)


def _after(instants: Sequence[int], taken: TakenFire) -> tuple[int, ...]:
    """A fire by hand has an instant of its own, before and after which others may come due."""
    if taken.is_by_hand:
        return tuple(instants)
    return tuple(instant for instant in instants if instant > taken.instant)


def _chosen(rule: ScheduleRule, instants: Sequence[int], now: float, has_waited: bool) -> tuple[int, ...]:
    """The last ones: those that fire."""
    if rule.missed == "all":
        return tuple(instants[-rule.all_up_to :])
    last = instants[-1]
    is_late = now - last - put_off_s(rule, last) > ON_TIME_S
    if rule.missed == "skip" and is_late and not has_waited:
        return ()
    return (last,)
