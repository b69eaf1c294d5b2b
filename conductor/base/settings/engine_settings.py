"""`[engines.NAME]`: schedulers that are already there, and what is asked of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta

from conductor.base.settings.base_section import NotNegative, Positive, Section
from conductor.model.pilot import EngineMode, PilotShape
from conductor.model.spec import LANES, Lane

ENGINE_NAME = r"[a-z][a-z0-9]{0,15}"
Amount = Annotated[int, Meta(ge=1, le=1_000_000)]


class EngineSettings(Section, frozen=True, kw_only=True):
    """A scheduler that is already there (`docs/engines.md`). What stands here of pilots holds of single jobs
    where `mode` says so: `max` at once, each of which gets at most what one pilot would."""

    #: «local»: processes of the conductor's own host, to try it out. «slurm»: by sbatch, squeue and scancel.
    #: «ray», «kubernetes»: by their HTTP API. «hyperqueue»: by hq.
    kind: Literal["local", "slurm", "ray", "kubernetes", "hyperqueue"]
    #: «pilots»: what it runs are nodes, each `conductor node --until` as one job of it, and they take jobs.
    #: «jobs»: each job by itself, by `conductor exec`.
    mode: EngineMode = "pilots"
    #: At least so many pilots are kept, also where nothing waits.
    min: NotNegative = 0
    #: At most so many are asked for or run at once.
    max: Annotated[int, Meta(ge=0, le=10_000)] = 1
    #: How long one pilot may run.
    time_s: Annotated[float, Meta(ge=60, le=31_536_000)] = 14_400.0
    #: A pilot that has had nothing to do for so long, while nothing waits for it, is given back.
    idle_s: Positive = 300.0
    #: Which lanes pilots serve.
    lanes: tuple[Lane, ...] = LANES
    #: What one pilot gets, all of it on one host: cores,
    cpus: Amount = 4
    #: memory,
    ram_mib: Amount = 8192
    #: GPUs.
    devices: NotNegative = 0
    #: Of each device.
    vram_mib: NotNegative = 0
    #: Further amounts by the engine's own names: `gres = {vram = 14}`, `licences = {nuke = 1}`.
    gres: dict[str, Amount] = {}
    #: What the engine counts for all of its hosts.
    licences: dict[str, Amount] = {}
    #: The part of the engine, where it has several (for Kubernetes a queue of Kueue).
    partition: str = ""
    #: Who pays.
    account: str = ""
    #: Of Kubernetes: where pilots are.
    namespace: str = "default"
    #: Of Kubernetes: the file with the Job that is filled in for a pilot, as JSON.
    template: str = ""
    #: Where the engine's HTTP API is.
    url: str = ""
    #: A file with the token for it.
    token_file: str = ""
    #: Whose certificates are trusted there, as a file; empty: those that this host trusts.
    ca_file: str = ""

    @property
    def shape(self) -> PilotShape:
        """What one pilot of it brings."""
        return PilotShape(
            lanes=self.lanes,
            cpus=self.cpus,
            ram_mib=self.ram_mib,
            devices=self.devices,
            vram_mib=self.vram_mib,
            time_s=self.time_s,
        )


def pilot_shapes(engines: Mapping[str, EngineSettings]) -> dict[str, PilotShape]:
    """Of the engines that pilots come from."""
    return {name: engine.shape for name, engine in engines.items() if engine.mode == "pilots"}


def name_twice(engines: Mapping[str, EngineSettings], node: str) -> str:
    """Why a host must not be called `node`: an engine that runs jobs one by one is a node of its own name.
    Empty: it may."""
    engine = engines.get(node)
    if engine is None or engine.mode != "jobs":
        return ""
    return f"this host is called {node}, and [engines.{node}], which runs single jobs, is a node of that name"


def checked_engines(engines: dict[str, EngineSettings]) -> dict[str, EngineSettings]:
    for name, engine in engines.items():
        if not re.fullmatch(ENGINE_NAME, name):
            raise ValueError(f"{name!r} is to be up to 16 small letters and digits, a letter first")
        if engine.min > engine.max:
            raise ValueError(f"{name}.min is more than {name}.max")
        if engine.mode == "jobs" and engine.min:
            raise ValueError(f'{name}.min goes with pilots, and {name}.mode is "jobs"')
        if engine.kind in ("ray", "kubernetes") and not engine.url:
            raise ValueError(f"{name}.url is missing: where the HTTP API of the engine is")
        if bool(engine.devices) != bool(engine.vram_mib):
            raise ValueError(f"{name}: devices and vram_mib go together: how many, and what each has")
    return engines
