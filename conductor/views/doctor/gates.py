"""What the node-side gates of this host read, and what they cannot: a gate that is told nothing is open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from conductor.views.doctor.finding import DoctorFinding, less, ok

if TYPE_CHECKING:
    from conductor.base.settings.settings import Settings


def node_gates(settings: Settings) -> Iterator[DoctorFinding]:
    from conductor.node.health.declared_devices import known_devices
    from conductor.node.health.node_gates import sensors_of
    from conductor.node.queue_plan import node_name

    node = node_name(settings.node)
    with known_devices(settings.state_dir, settings.devices.named, node):
        for sensor in sensors_of(settings, node):
            said = sensor.sense()
            if said.told:
                yield ok(f"gate {sensor.name}", said.told)
            for words in said.untold:
                yield less(f"gate {sensor.name}", words, "this gate is open meanwhile")
