"""Sensor: what a node-side gate reads of its host."""

from __future__ import annotations

from typing import Protocol

from conductor.model.signal import Sensed


class Sensor(Protocol):
    """Made by a line of `conductor.node.health.node_gates`; asked every second or so, always by one thread
    at a time.
    """

    #: Of the gate.
    name: str

    def sense(self) -> Sensed:
        """The figures of this moment. Never raises; what cannot be read is said, and gives no signal. It may
        take its time, or hang: nobody waits for it, and its last answer stands meanwhile."""
        ...
