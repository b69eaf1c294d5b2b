"""The node-side gates: what is read of this host, and what closes by it. A new one is its adapter, a line
here, and its setting (docs/node-gates.md)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from conductor.adapters.host.foreign_load import ForeignLoad
from conductor.adapters.host.person_at_work import Person
from conductor.adapters.host.temperature import Temperature
from conductor.base.logs.events import emit_event
from conductor.base.settings.sections import NodeSettings
from conductor.base.settings.settings import Settings
from conductor.core.admission.obstacles import NodeGateStates, are_other
from conductor.core.admission.sentences import obstacle_words
from conductor.model.report import Obstacle
from conductor.model.signal import Sensed
from conductor.node.bounded_call import Patient
from conductor.ports.sensor import Sensor

#: How often the host is looked at.
SENSE_EVERY_S = 1.0
#: A sensor that takes longer is not waited for: what it said before stands until it has spoken.
ANSWERS_S = 0.2
#: At the first look so long: before it has spoken its gate is open, and a driver may have to be loaded.
FIRST_ANSWERS_S = 3.0

#: One line a gate: its sensor, by the settings of all hosts and those of this one; None where they do not ask
#: for it.
NODE_GATES: tuple[Callable[[Settings, NodeSettings], Sensor | None], ...] = (
    lambda every, own: None if (most := every.devices.max_temperature_c) is None else Temperature(most),
    lambda every, own: Person(own.idle_minutes) if own.yields_to("input") else None,
    lambda every, own: ForeignLoad(own.foreign_load) if own.yields_to("load") else None,
)


def sensors_of(settings: Settings, node: str) -> tuple[Sensor, ...]:
    own = settings_of(settings, node)
    return tuple(sensor for make in NODE_GATES if (sensor := make(settings, own)) is not None)


def settings_of(settings: Settings, node: str) -> NodeSettings:
    """`[nodes.NAME]` of this one: by its name in queues and keys, or as its owner writes it."""
    named = {re.sub(r"[^A-Za-z0-9_]", "_", name): own for name, own in settings.nodes.items()}
    return named.get(node, NodeSettings())


class NodeGates:
    """All of one host; one thread's."""

    def __init__(self, sensors: Sequence[Sensor], clock: Callable[[], float] = time.time) -> None:
        """`clock`: epoch seconds."""
        self._asked = [(sensor, Patient(sensor.sense)) for sensor in sensors]
        self._said: dict[str, Sensed] = {}
        self._gates = NodeGateStates()
        self._clock = clock
        self._looked_at = -SENSE_EVERY_S
        self._closed: tuple[Obstacle, ...] = ()

    @property
    def next_look_s(self) -> float | None:
        """Seconds to the next look; None: there is nothing to look at."""
        return max(0.0, self._looked_at + SENSE_EVERY_S - time.monotonic()) if self._asked else None

    def look(self) -> tuple[Obstacle, ...]:
        """What keeps this host, or its devices, from starting anything now."""
        if self.next_look_s != 0.0:
            return self._closed
        limit_s = FIRST_ANSWERS_S if self._looked_at < 0 else ANSWERS_S
        self._looked_at = time.monotonic()
        for sensor, patient in self._asked:
            if (said := patient.ask(limit_s)) is not None:
                self._say_once(sensor.name, said)
                self._said[sensor.name] = said
        signals = (signal for said in self._said.values() for signal in said.signals)
        before, self._closed = self._closed, self._gates.hear(signals, self._clock())
        if are_other(before, self._closed):
            _log(before, self._closed)
        return self._closed

    def _say_once(self, name: str, said: Sensed) -> None:
        before = self._said.get(name, Sensed())
        for words in set(said.untold) - set(before.untold):
            emit_event("node_gate.untold", "The gate {gate} is open: {why}", gate=name, why=words)


def _log(before: Sequence[Obstacle], now: Sequence[Obstacle]) -> None:
    were, are = ({(o.gate, o.device): o for o in each} for each in (before, now))
    for key in sorted(are.keys() - were.keys()):
        gate, device = key
        emit_event("node_gate.closed", "{} starts nothing new: {why}", device or "This host", gate=gate,
                   device=device, why=obstacle_words(are[key]))  # fmt: skip
    for key in sorted(were.keys() - are.keys()):
        gate, device = key
        emit_event("node_gate.opened", "{} starts jobs again: no more «{why}»", device or "This host",
                   gate=gate, device=device, why=were[key].words)  # fmt: skip
