"""`[devices]` of conductor.toml: what it says, what it may not say, and what doctor makes of it."""

from __future__ import annotations

import pytest
from cli_tools import conductor
from nvml_stub import Nvml, device, divided, nvml, nvml_library  # noqa: F401 - fixtures

from conductor.base.errors import ConfigError
from conductor.base.settings.settings import Settings, load


def said_by_doctor(project: Settings, stub: Nvml) -> list[str]:
    shown = conductor("doctor", "--json", cwd=project.project, env=stub.env)
    findings = [finding for finding in shown.json if finding["what"] == "gpu"]
    return [
        f"{f['mark'].strip()} {f['words']}" + (f" → {f['advice']}" if f["advice"] else "") for f in findings
    ]


def declare(project: Settings, text: str) -> None:
    file = project.project / "conductor.toml"
    file.write_text(f"{text}\n{file.read_text()}")


def test_doctor_says_of_each_device_where_its_size_comes_from(project: Settings, nvml: Nvml):  # noqa: F811
    nvml.show(device(0, used_mib=None), device(1, used_mib=None), device(2))
    declare(
        project, "devices.gpu0.vram_mib = 65536\ndevices.gpu2.vram_mib = 8192\ndevices.gpu7.vram_mib = 8192"
    )

    said = said_by_doctor(project, nvml)

    assert said[:4] == [
        "ok gpu0 Stub-0, 65536 MiB as conductor.toml says: the driver does not tell",
        "BAD gpu1 Stub-1: the driver does not tell how much memory it has: "
        "say it in conductor.toml, devices.gpu1.vram_mib = …",
        "-- gpu2 Stub-2, 24576 MiB by its driver, which counts → "
        "devices.gpu2.vram_mib is not needed: take it out of conductor.toml",
        "-- devices.gpu7 is in conductor.toml, and there is no gpu7 → take it out, or see `nvidia-smi`",
    ]


def test_doctor_knows_cards_by_the_numbers_of_the_node_and_names_slices(
    project: Settings,
    nvml: Nvml,  # noqa: F811
):
    nvml.show(*divided(0, 9856), device(1))
    project.state_dir.mkdir(exist_ok=True)
    (project.state_dir / "devices-here.json").write_text('{"GPU-stub-1": 0, "MIG-stub-0-0": 1}')
    declare(project, 'node = "here"')

    said = said_by_doctor(project, nvml)

    assert said[:2] == [
        "ok gpu0 Stub-1, 24576 MiB",
        "ok gpu1 Stub-0-slice, a slice of a card (MIG), 9856 MiB",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "devices.GPU0.vram_mib = 1",
            "'GPU0' names no device: they are gpu0, gpu1, … as `conductor status` shows them",
        ),
        ("devices.gpu0.vram = 1", "devices.gpu0.vram is not a setting, did you mean vram_mib?"),
        ("devices.gpu0.vram_mib = 0", "devices.gpu0.vram_mib: is to be MiB, from 1"),
    ],
)
def test_what_names_no_device_or_no_size_is_refused(project: Settings, text: str, words: str):
    declare(project, text)
    with pytest.raises(ConfigError) as refused:
        load(project.project)
    assert words in str(refused.value)
