"""What this host's devices are called, and how large those are of which the driver does not tell."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from conductor.adapters import nvml_probe
from conductor.adapters.device_slots import Slots, path_of
from conductor.settings import Settings


def know_devices(settings: Settings, node: str, *, is_writer: bool = False) -> None:
    """In this process, until `nvml_probe.know(None)`: by the numbers that the node keeps, and by conductor.toml.

    `is_writer`: the node itself, which gives new ones their numbers."""
    declared = {name: device.vram_mib for name, device in settings.devices.named.items()}
    nvml_probe.know(Slots(path_of(settings.state_dir, node), is_writer=is_writer), declared)


@contextmanager
def known_devices(settings: Settings, node: str) -> Generator[None]:
    know_devices(settings, node)
    try:
        yield
    finally:
        nvml_probe.know(None)
