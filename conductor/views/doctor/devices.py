"""Which devices the driver shows, and whether work can use them."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping
from pathlib import Path

from conductor.base.settings.sections import DeviceSettings
from conductor.base.settings.settings import CONFIG_NAME
from conductor.model.report import Device
from conductor.views.doctor.finding import DoctorFinding, bad, less, ok


def devices(
    state_dir: Path, node: str, named: Mapping[str, DeviceSettings], is_gpu_on_cpu: bool
) -> Iterator[DoctorFinding]:
    from conductor.adapters.host import nvml_probe
    from conductor.node.health.declared_devices import known_devices

    with known_devices(state_dir, named, node):
        found, notes = nvml_probe.parse(nvml_probe.read(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    for device in found:
        yield of_device(device, named)
    there = {device.key for device in found}
    for key in sorted(named.keys() - there):
        yield less(
            "gpu",
            f"devices.{key} is in {CONFIG_NAME}, and there is no {key}",
            "take it out, or see `nvidia-smi`",
        )
    if not found:
        on_cpu = "the gpu lane runs on the CPU" if is_gpu_on_cpu else "jobs of the gpu lane wait for one"
        advice = "" if is_gpu_on_cpu else "lanes.gpu.on_cpu = true runs them on the CPU"
        yield less("gpu", f"{'; '.join(notes) or 'none visible'}: {on_cpu}", advice)
    elif not is_cuda_there():
        yield bad(
            "gpu", "onnxruntime came without CUDA: sessions would run on the CPU", "scripts/bootstrap gpu"
        )


def of_device(device: Device, named: Container[str]) -> DoctorFinding:
    name = f"{device.key} {device.name}" + (", a slice of a card (MIG)" if device.is_slice else "")
    if device.quarantined:
        is_unsized = not device.vram_total_mib and device.key not in named
        advice = "" if is_unsized else "see `nvidia-smi`; nothing is placed there meanwhile"
        return bad("gpu", f"{name}: {device.quarantined}", advice)
    if device.is_declared:
        return ok(
            "gpu", f"{name}, {device.vram_total_mib} MiB as {CONFIG_NAME} says: the driver does not tell"
        )
    if device.key in named:
        told = f"{name}, {device.vram_total_mib} MiB by its driver, which counts"
        return less("gpu", told, f"devices.{device.key}.vram_mib is not needed: take it out of {CONFIG_NAME}")
    return ok("gpu", f"{name}, {device.vram_total_mib} MiB")


def is_cuda_there() -> bool:
    try:
        import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        return True  # said already
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()
