"""All of a node that a place depends on, as one value: nodes in the same state get the same answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from conductor.core.capacity.cluster import NodeFree
from conductor.core.capacity.node import INFINITE
from conductor.core.capacity.resources import NODE
from conductor.core.placement.fragmentation import JobShape
from conductor.model.spec import LANES


class NodeState(NamedTuple):
    """All that a placement depends on, of one node. Devices: free MiB, the smallest first; idle ones
    apart.
    """

    #: Free of each row of `resources.NODE`; without end where it is not known.
    own: tuple[float, ...]
    idle: tuple[int, ...]
    busy: tuple[int, ...]
    #: Per lane without devices: 0 closed, 1 open, 2 open with an idle worker.
    lanes: tuple[int, ...]
    #: Of the devices those that are slices of cards: no job of several gets one.
    slices: tuple[int, ...] = ()


def state_of(node: NodeFree) -> NodeState | None:
    """None where nothing is placed now, however much is free."""
    if not node.is_open:
        return None
    idle, busy, slices = list[int](), list[int](), list[int]()
    lanes = [0] * len(LANES)
    for at, lane in enumerate(LANES):
        for queue in node.queues.get(lane, ()):
            if not (queue.is_open and queue.has_room):
                continue
            if queue.device is not None:
                (idle if queue.has_idle_worker else busy).append(queue.device.vram.free)
                if queue.device.is_slice:
                    slices.append(queue.device.vram.free)
            else:
                lanes[at] = max(lanes[at], 2 if queue.has_idle_worker else 1)
    return NodeState(
        node.own_free(), tuple(sorted(idle)), tuple(sorted(busy)), tuple(lanes), tuple(sorted(slices))
    )


def most_of(states: Iterable[NodeState]) -> tuple[tuple[float, ...], float]:
    """(of each row of `resources.NODE`, MiB of the emptiest device); without devices no VRAM is asked."""
    own, vram = (0.0,) * len(NODE), 0.0
    for state in states:
        own = tuple(map(max, own, state.own))
        vram = max(vram, *state.idle[-1:], *state.busy[-1:]) if state.idle or state.busy else INFINITE
    return own, vram


def is_beyond_devices(state: NodeState, vram: int) -> bool:
    """There are devices, and none of them has so much: true of most states that are asked."""
    idle, busy = state.idle, state.busy
    if idle:
        return idle[-1] < vram and (not busy or busy[-1] < vram)
    return bool(busy) and busy[-1] < vram


def picks_of(state: NodeState, kind: JobShape) -> Iterable[tuple[tuple[int, ...], bool]]:
    """(free MiB of the devices taken, is one of them busy), one for each choice that makes a difference."""
    if kind.devices == 1:
        for group, is_busy in ((state.idle, False), (state.busy, True)):
            for amount in dict.fromkeys(group):
                if amount >= kind.vram:
                    yield (amount,), is_busy
        return
    slices = Counter(state.slices)
    idle, busy = (
        [a for a in _without(slices, group) if a >= kind.vram] for group in (state.idle, state.busy)
    )
    if len(idle) + len(busy) >= kind.devices:
        taken = [*idle, *busy][: kind.devices]
        yield tuple(taken), len(idle) < kind.devices


def _without(slices: Counter[int], amounts: Iterable[int]) -> Iterator[int]:
    """Whole cards among devices with so much free; each slice is left out once."""
    for amount in amounts:
        if slices[amount]:
            slices[amount] -= 1
        else:
            yield amount
