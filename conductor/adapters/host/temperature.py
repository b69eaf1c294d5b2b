"""How hot this host's devices are, as NVML tells: a node-side gate of each device."""

from __future__ import annotations

from conductor.adapters.host import nvml_probe
from conductor.model.signal import Sensed, Signal

#: So much cooler before it opens again: a fan at its limit would open and close it with every job.
COOLER_C = 5.0


class Temperature:
    name = "temperature"

    def __init__(self, max_c: float) -> None:
        self._max_c = max_c

    def sense(self) -> Sensed:
        found = nvml_probe.temperatures()
        silent = sorted(device for device, degrees in found.items() if degrees is None)
        signals = (self._signal(device, degrees) for device, degrees in found.items() if degrees is not None)
        return Sensed(
            signals=tuple(signals),
            told=", ".join(
                f"{device} has {degrees} °C" for device, degrees in found.items() if degrees is not None
            ),
            untold=tuple(f"{device} does not tell its temperature" for device in silent),
        )

    def _signal(self, device: str, degrees: int) -> Signal:
        return Signal(
            gate=self.name,
            device=device,
            figure=degrees,
            closes_at=self._max_c,
            opens_at=self._max_c - COOLER_C,
            unit="°C",
            words="it is too hot",
        )
