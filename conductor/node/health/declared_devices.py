"""What this host's devices are called, and how large those are of which the driver does not tell."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from conductor.adapters.host import nvml_probe
from conductor.adapters.host.device_slots import Slots, path_of
from conductor.base.settings.sections import DeviceSettings


def know_devices(
    state_dir: Path, declared: Mapping[str, DeviceSettings], node: str, *, is_writer: bool = False
) -> None:
    """In this process, until `nvml_probe.know(None)`: by the numbers that the node keeps, and by
    conductor.toml.

    `is_writer`: the node itself, which gives new ones their numbers."""
    sizes = {name: device.vram_mib for name, device in declared.items()}
    nvml_probe.know(Slots(path_of(state_dir, node), is_writer=is_writer), sizes)


@contextmanager
def known_devices(state_dir: Path, declared: Mapping[str, DeviceSettings], node: str) -> Generator[None]:
    know_devices(state_dir, declared, node)
    try:
        yield
    finally:
        nvml_probe.know(None)
