"""What an engine is given to run as a pilot, and by which names."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

from conductor.base.errors import ConfigError
from conductor.base.settings.engine_settings import EngineSettings
from conductor.model.engine import EngineResources, Submission
from conductor.model.pilot import Pilot, PilotRules

#: From the start of the engine's job until the node counts its time: what that takes is not promised to jobs.
START_S = 30.0


def prefix_of(project: Path) -> str:
    """«cdr-1a2b3c-»: how all names of this project begin at engines that others use too."""
    return f"cdr-{hashlib.sha256(str(project).encode()).hexdigest()[:6]}-"


def key_of(prefix: str, generation: str, engine: str, number: int) -> str:
    """«cdr-1a2b3c-9f3e-lab-7». A ledger that was emptied counts anew, and is of another generation: no key
    comes twice."""
    mark = hashlib.sha256(generation.encode()).hexdigest()[:4]
    return f"{prefix}{mark}-{engine}-{number}"


def rules_of(engine: EngineSettings) -> PilotRules:
    return PilotRules(min=engine.min, max=engine.max, idle_s=engine.idle_s, shape=engine.shape)


def submission_of(pilot: Pilot, engine: EngineSettings, project: Path, logs_dir: Path) -> Submission:
    """The project's folder, and Python with Conductor, are where they are here on every host of the engine.
    Redis' address stands in conductor.toml there; secrets come by the engine's own environment."""
    node_s = max(engine.time_s - START_S, engine.time_s / 2)
    argv = (
        *(sys.executable, "-P", "-m", "conductor", "node", "--until", f"{node_s:.0f}s"),
        *("--pilot", pilot.key, "--cpus", str(engine.cpus), "--ram-mib", str(engine.ram_mib)),
        *(word for lane in engine.lanes for word in ("--lane", lane)),
    )
    return Submission(
        argv=argv,
        environment={"CONDUCTOR_PROJECT": str(project), "CONDUCTOR_NODE": pilot.node},
        folder=str(project),
        output=str(logs_dir / f"pilot-{pilot.name}.out"),
        resources=EngineResources(
            cpus=engine.cpus,
            ram_mib=engine.ram_mib,
            devices=engine.devices,
            gres=engine.gres,
            licences=engine.licences,
        ),
        time_limit_s=engine.time_s,
    )


def refuse_unreachable(engines: Mapping[str, EngineSettings], redis_url: str | None) -> None:
    """A pilot on another host cannot reach a socket in this host's folder. Raises `ConfigError`."""
    is_here = redis_url is None or redis_url.startswith("unix:")
    for name, engine in engines.items():
        if engine.kind != "local" and is_here:
            raise ConfigError(
                f"engines.{name}: its pilots run on other hosts, and this project's Redis answers on this "
                'one only: set redis.url = "redis://HOST:PORT" (docs/redis.md)'
            )
