"""A node with stub devices, and jobs that really take VRAM of them."""

from __future__ import annotations

import os
from typing import Any

from builders import a_spec
from node_scene import NodeScene, configure, scene_config, until
from nvml_stub import TASKS, Nvml

from conductor.adapters.files.receipt_log import read_receipts
from conductor.base.settings.settings import CONFIG_NAME, Settings
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.job_class import class_of
from conductor.model.ledger_entries import Entry
from conductor.model.receipt import Receipt
from conductor.model.report import Device
from conductor.model.spec import Needs, to_line
from conductor.ports import Ledger

CONFIG = scene_config("lease_s = 3.0\n", gpu_workers=2, gpu_depth=4)


class VramScene(NodeScene):
    """Jobs end when the test says so: `release(n)`."""

    def __init__(
        self, ledger: Ledger, project: Settings, stub: Nvml, more: str = "", tasks: str = ""
    ) -> None:
        name = f"vram_tasks_{os.urandom(4).hex()}"
        (project.project / f"{name}.py").write_text(TASKS + tasks, encoding="utf-8")
        file = project.project / CONFIG_NAME
        file.write_text(f'task_modules = ["{name}"]\n{file.read_text()}')
        super().__init__(ledger, configure(project, CONFIG + more))
        self.stub = stub
        self.catalogue = load_catalogue(self.settings.task_modules, self.settings.project)

    def hold(self, n: int, mib: int, devices: int = 1, takes: int | None = None, **more: Any) -> str:
        """A job in the backlog that reserves `mib` on each of `devices`, and takes `takes` (default: as
        much).
        """
        args = {
            "state": str(self.stub.state),
            "mib": mib if takes is None else takes,
            "until": str(self._file("until", n)),
        }
        spec = a_spec(
            n,
            task=more.pop("task", "vram.hold"),
            lane="gpu",
            needs=Needs(vram_mib=mib, devices=devices),
            args={**args, **more.pop("args", {})},
            **more,
        )
        job_class = class_of(spec, self.catalogue[spec.task], "night")
        self.ledger.intake.put("night", [Entry(job_id=spec.id, line=to_line(spec), job_class=job_class)])
        self.ledger.bell.ring()
        return spec.id

    def device(self, index: int = 0) -> Device | None:
        report = self.report()
        return report.devices[index] if report and len(report.devices) > index else None

    def until_used(self, mib: int, index: int = 0) -> Device:
        """The node reports just so much in use on the device."""
        return until(lambda: d if (d := self.device(index)) and d.vram_used_mib == mib else None)

    def receipts(self, job_id: str) -> list[Receipt]:
        return [receipt for receipt in read_receipts(self.settings.receipts_dir) if receipt.job_id == job_id]
