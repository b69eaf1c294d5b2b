"""What node-side gates read, and whether they are closed by it, with hysteresis. Times are epoch seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from conductor.model.report import Obstacle
from conductor.model.signal import Signal


class NodeGateStates:
    """The node-side gates of one host: which of them are closed, as of the last signals."""

    def __init__(self) -> None:
        self._closed: dict[tuple[str, str], Obstacle] = {}
        #: Since when the figures of a closed gate have been good enough for it to open.
        self._good_since: dict[tuple[str, str], float] = {}

    def hear(self, signals: Iterable[Signal], now: float) -> tuple[Obstacle, ...]:
        """What is closed from now on. A gate that gave no signal this time is open: unknown never closes."""
        closed = {
            key: obstacle for signal in signals if (obstacle := self._of((key := _key(signal)), signal, now))
        }
        self._good_since = {key: at for key, at in self._good_since.items() if key in closed}
        self._closed = closed
        return tuple(closed[key] for key in sorted(closed))

    def _of(self, key: tuple[str, str], signal: Signal, now: float) -> Obstacle | None:
        before = self._closed.get(key)
        if before is None:
            return _obstacle(signal, now) if signal.is_beyond(signal.closes_at) else None
        if signal.is_beyond(signal.opens_at):
            self._good_since.pop(key, None)
        elif now - self._good_since.setdefault(key, now) >= signal.opens_after_s:
            return None
        return _obstacle(signal, before.since)


def _key(signal: Signal) -> tuple[str, str]:
    return signal.gate, signal.device


def _obstacle(signal: Signal, since: float) -> Obstacle:
    return Obstacle(
        gate=signal.gate,
        device=signal.device,
        words=signal.words,
        figure=signal.figure,
        opens_at=signal.opens_at,
        unit=signal.unit,
        since=since,
        is_yielding=signal.is_yielding,
    )


def are_other(before: Sequence[Obstacle], now: Sequence[Obstacle]) -> bool:
    """Another gate is closed, or one that was is open: figures that moved are no news."""
    return [replace(o, figure=0.0) for o in before] != [replace(o, figure=0.0) for o in now]
