"""conductor.toml and `CONDUCTOR_*` → one frozen `Settings`. The only reader of the environment and the file.

Order: flag > environment > conductor.toml > default. Unknown keys are refused with a «did you mean».
In the environment a double underscore descends: `CONDUCTOR_LANES__GPU__WORKERS=2`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from conductor.base import hours, secrets
from conductor.base.errors import ConfigError
from conductor.base.files.layout import CodeSettings, Layout, OwnServer
from conductor.base.project.ownership import SAFE_FOLDERS, refuse_foreign
from conductor.base.secrets import SecretSources
from conductor.base.settings.alerts import AlertSettings
from conductor.base.settings.base_section import JobPriority, NotNegative, Section, Validator
from conductor.base.settings.endpoint_settings import Endpoint, EnginePolicy, Rate
from conductor.base.settings.engine_settings import EngineSettings, checked_engines
from conductor.base.settings.hook_settings import HookSettings
from conductor.base.settings.reading import read
from conductor.base.settings.schedule_settings import (
    ArchiveSettings,
    CleanSettings,
    ScheduleSettings,
    checked_names,
)
from conductor.base.settings.sections import (
    BacklogSettings,
    Breaker,
    CounterSettings,
    Devices,
    Lanes,
    LearningSettings,
    LimitSettings,
    ModelSettings,
    NodeSettings,
    Redis,
    Root,
    SharingSettings,
    Ticks,
    Timing,
    WaitingSettings,
    Workers,
)
from conductor.base.settings.store_settings import StoreSettings, checked_stores, rootless
from conductor.base.settings.toml_file import parse_toml, read_bytes
from conductor.base.settings.unknown_keys import did_you_mean as did_you_mean
from conductor.base.settings.unknown_keys import moved_keys, unknown_keys, unknown_variables
from conductor.base.settings.variables import from_variables, merged
from conductor.base.settings.web_settings import Dashboard, McpSettings, Web
from conductor.model.limits import TAKEN_NAMES, Per
from conductor.model.spec import COUNTER_NAME

Placed = TypeVar("Placed", Root, ModelSettings)

CONFIG_NAME = "conductor.toml"
ENV_PREFIX = "CONDUCTOR_"
#: How variables begin on which settings depend; a path may begin with `~`.
_DECIDING = (ENV_PREFIX, "HOME", "USERPROFILE")


def _counters(value: dict[str, CounterSettings]) -> dict[str, CounterSettings]:
    for name in value:
        if name in TAKEN_NAMES:
            raise ValueError(f"{name!r} is what Conductor counts by itself: give it another name")
        if not re.fullmatch(COUNTER_NAME, name) or len(name) > 40:
            raise ValueError(f"{name!r} is to be up to 40 small letters, digits, - and _, a letter first")
    return value


def _hours(text: str) -> str:
    hours.parse(text)
    return text


class Settings(Section, frozen=True, kw_only=True):
    """The whole configuration. Paths are absolute after `load`."""

    #: The folder that holds conductor.toml; everything relative is relative to it.
    project: Path = Path()
    #: What Conductor keeps for itself: Valkey's data, sockets, pids.
    state_dir: Path = Path(".conductor")
    #: What workers write down of each attempt: with the manifests the record of what is done. Worth a backup.
    receipts_dir: Path = Path("receipts")
    #: Log files, and what jobs print.
    logs_dir: Path = Path("logs")
    #: Where `conductor plan` writes.
    manifests_dir: Path = Path("manifests")
    #: Folders, or files, that jobs may read by absolute path. What is hidden there, keys, `*.env`, receipts,
    #: logs and manifests must be named themselves: `inputs = [".", "logs/jobs"]`.
    inputs: tuple[Path, ...] = (Path(),)
    #: What tells a changed input file from the one that was planned: its size and time, or its content, which
    #: is read once. By content for those who copy files with their dates kept. A root, or a plan, may say
    #: otherwise.
    inputs_by: Literal["time", "content"] = "time"
    #: The root on which long jobs keep what they have so far (`ctx.checkpoint()`). `scratch`: a job goes on
    #: where it was on the same host; a root that all hosts share: on any.
    checkpoint_root: str = "scratch"
    #: This node's name; None: the host's.
    node: str | None = None
    #: Modules with `@task` functions of your own.
    task_modules: tuple[str, ...] = ()
    #: Programs the `shell` task may run; empty: none.
    shell_programs: tuple[str, ...] = ()
    #: Environment variables that those programs get beyond the usual ones (`PATH`, `HOME`, `LANG`, `CUDA_*`,
    #: threads …), and that lines may set for them.
    shell_env: tuple[str, ...] = ()
    redis: Redis = Redis()
    lanes: Lanes = Lanes()
    devices: Devices = Devices()
    nodes: dict[str, NodeSettings] = {}
    roots: dict[str, Root] = {}
    rates: dict[str, Rate] = {}
    endpoints: dict[str, Endpoint] = {}
    stores: Annotated[dict[str, StoreSettings], Validator(checked_stores)] = {}
    engines: Annotated[dict[str, EngineSettings], Validator(checked_engines)] = {}
    #: Of several servers and programs that could do a job, where a plan does not say: those of this host's
    #: own first and then what is paid for, only the one kind, or only the other.
    engine_policy: EnginePolicy = "local_first"
    counters: Annotated[dict[str, CounterSettings], Validator(_counters)] = {}
    #: By task: the priority of its jobs from the next plan on, over what the plan says.
    priorities: dict[str, JobPriority] = {}
    limits: LimitSettings = LimitSettings()
    backlogs: dict[str, BacklogSettings] = {}
    sharing: SharingSettings = SharingSettings()
    waiting: WaitingSettings = WaitingSettings()
    #: By lane or backlog: when it may start jobs, in local time of the conductor: `cloud = "18:00-08:00"`.
    #: The others may always.
    hours: dict[str, Annotated[str, Validator(_hours)]] = {}
    breaker: Breaker = Breaker()
    #: By task: so many of each new kind of its jobs (another code, other parameters) must verify before the
    #: rest starts. Over what `@task(canary=…)` says.
    canary: dict[str, NotNegative] = {}
    #: By task: so many of each new kind of its jobs are made first and shown to a person (`conductor
    #: review`); the rest starts when they were accepted. Over `canary`.
    canary_by_eye: dict[str, NotNegative] = {}
    timing: Timing = Timing()
    workers: Workers = Workers()
    dashboard: Dashboard = Dashboard()
    web: Web = Web()
    mcp: McpSettings = McpSettings()
    models: dict[str, ModelSettings] = {}
    ticks: Ticks = Ticks()
    learning: LearningSettings = LearningSettings()
    schedules: Annotated[dict[str, ScheduleSettings], Validator(checked_names)] = {}
    hooks: dict[str, HookSettings] = {}
    alerts: AlertSettings = AlertSettings()
    clean: CleanSettings = CleanSettings()
    archive: ArchiveSettings = ArchiveSettings()

    @property
    def layout(self) -> Layout:
        """Where the project's files lie."""
        return Layout(**self._places())

    @property
    def for_code(self) -> CodeSettings:
        """What the project's own code is told."""
        return CodeSettings(
            **self._places(),
            task_modules=self.task_modules,
            lanes=self.lanes,
            counters=self.counters,
            priorities=self.priorities,
            endpoints=self.endpoints,
            models=self.models,
            stores=self.stores,
            engine_policy=self.engine_policy,
            shell_programs=self.shell_programs,
            shell_env=self.shell_env,
            secret_variables=self.secrets.variables,
        )

    @property
    def valkey(self) -> OwnServer:
        """The server that the project starts for itself."""
        redis = self.redis
        return OwnServer(
            folder=self.state_dir / "valkey", appendfsync=redis.appendfsync, is_used=redis.url is None
        )

    @property
    def secrets(self) -> SecretSources:
        """Where a secret may stand among the settings."""
        return SecretSources(
            variables_of_bodies=_named(
                (
                    *(endpoint.api_key_env for endpoint in self.endpoints.values()),
                    *(store.password_env for store in self.stores.values()),
                )
            ),
            other_variables=_named(
                (
                    *(self.redis.signing_key_env, self.dashboard.password_env, self.web.token_env),
                    *(hook.secret_env for hook in self.hooks.values()),
                )
            ),
            address_variables=self.alerts.address_variables,
            urls=_named(
                (self.redis.url, self.dashboard.redis_url, *(e.base_url for e in self.endpoints.values()))
            ),
            parameters=tuple(endpoint.parameters for endpoint in self.endpoints.values()),
        )

    def _places(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(Layout)}

    def counted_by(self, per: Per) -> dict[str, CounterSettings]:
        return {name: counter for name, counter in self.counters.items() if counter.per == per}


def _named(names: Iterable[str | None]) -> frozenset[str]:
    return frozenset(name for name in names if name)


DEFAULT_ROOTS: Mapping[str, Root] = {
    "scratch": Root(path=Path(".conductor/scratch")),
    "published": Root(path=Path("published")),
}


def find_project(start: Path) -> Path:
    """The nearest folder at or above `start` with a conductor.toml; `start` itself when there is none."""
    for folder in (start, *start.parents):
        # Whatever has that name: one that cannot be read is to be named, not passed over.
        if os.path.lexists(folder / CONFIG_NAME):
            return folder
    return start


def load(start: Path | None = None) -> Settings:
    """The settings in force for `start` (default: $CONDUCTOR_PROJECT, else the current folder).

    Raises `ConfigError` that names the file, every unknown or bad key, and the nearest known one; also where
    the project is somebody else's (`conductor.base.project.ownership`): every command, worker and script
    comes through here first.
    """
    place = start or Path(os.environ.get(ENV_PREFIX + "PROJECT", "."))
    try:
        project = find_project(place.resolve())
    except FileNotFoundError:
        raise ConfigError("the current folder is no longer there: go to another one (cd)") from None
    file = project / CONFIG_NAME
    if is_there := os.path.lexists(file):
        refuse_foreign(file, is_alone=False)
    given = tuple((name, value) for name, value in os.environ.items() if name.startswith(_DECIDING))
    settings = _made(project, read_bytes(file) if is_there else b"", given)
    if settings.state_dir.exists():
        # It says which program is the server, and whom to signal.
        refuse_foreign(settings.state_dir)
    for folder in (settings.state_dir, settings.receipts_dir, settings.logs_dir, settings.manifests_dir):
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder} is to be a folder of this project, and is a file: move it away")
    secrets.remember(settings.secrets)
    return settings


#: A worker is a copy of a process that has read all of this: to make it again would touch, and so copy, two
#: MiB of what it shares with the others.
@lru_cache(maxsize=1)
def _made(project: Path, written: bytes, variables: tuple[tuple[str, str], ...]) -> Settings:
    """Of what the file says and what the environment does. Raises `ConfigError`."""
    file, environ = project / CONFIG_NAME, dict(variables)
    content = parse_toml(file, written)
    known = [SAFE_FOLDERS, *(f"{ENV_PREFIX}{name.upper()}" for name in Settings.__struct_fields__)]
    if faults := unknown_keys(content, Settings) + unknown_variables(environ, ENV_PREFIX, known, Settings):
        raise ConfigError(f"{file}: " + "; ".join(faults))
    given = merged(content, from_variables(environ, ENV_PREFIX))
    if faults := moved_keys(given):
        raise ConfigError(f"{file}: " + "; ".join(faults))
    raw = read(Settings, given, faults)
    if raw is None:
        raise ConfigError(f"{file}: " + "; ".join(faults))
    settings = absolute(msgspec.structs.replace(raw, roots={**DEFAULT_ROOTS, **raw.roots}, project=project))
    if settings.checkpoint_root not in settings.roots:
        roots = ", ".join(sorted(settings.roots))
        raise ConfigError(
            f"{file}: checkpoint_root: no root is named {settings.checkpoint_root!r} (there are: {roots})"
        )
    if fault := rootless(settings.stores, settings.project, settings.roots):
        raise ConfigError(f"{file}: {fault}")
    return settings


def absolute(settings: Settings) -> Settings:
    base = settings.project

    def full(path: Path) -> Path:
        try:
            folder = os.path.normpath(base / path.expanduser())
            folder.encode()
        except RuntimeError:
            raise ConfigError(
                f"{path}: whose home that is cannot be found: write the folder out in full"
            ) from None
        except UnicodeEncodeError:
            raise ConfigError(
                f"{base / path} is not UTF-8, as all records are: give that folder another name"
            ) from None
        return Path(folder)

    def at_full(place: Placed) -> Placed:
        return msgspec.structs.replace(place, path=full(place.path))

    models = {name: at_full(model) for name, model in settings.models.items()}
    return msgspec.structs.replace(
        settings,
        state_dir=full(settings.state_dir),
        receipts_dir=full(settings.receipts_dir),
        logs_dir=full(settings.logs_dir),
        manifests_dir=full(settings.manifests_dir),
        # Who names a model lets jobs read it.
        inputs=(*(full(p) for p in settings.inputs), *(model.path for model in models.values())),
        models=models,
        roots={name: at_full(root) for name, root in settings.roots.items()},
    )
