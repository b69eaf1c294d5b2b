"""conductor.toml and `CONDUCTOR_*` → one frozen `Settings`. The only reader of the environment and the file.

Order: flag > environment > conductor.toml > default. Unknown keys are refused with a «did you mean».
In the environment a double underscore descends: `CONDUCTOR_LANES__GPU__WORKERS=2`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from conductor.base import hours, secrets
from conductor.base.errors import ConfigError
from conductor.base.files.layout import CodeSettings, Layout, OwnServer
from conductor.base.project.ownership import SAFE_FOLDERS, refuse_foreign
from conductor.base.redis_keys import checked_prefix
from conductor.base.secrets import SecretSources
from conductor.base.settings.toml_file import read_toml
from conductor.base.settings.unknown_keys import did_you_mean as did_you_mean
from conductor.base.settings.unknown_keys import unknown_keys, unknown_variables
from conductor.model.limits import TAKEN_NAMES, OnStale, Per
from conductor.model.spec import COUNTER_NAME

CONFIG_NAME = "conductor.toml"
ENV_PREFIX = "CONDUCTOR_"

#: More than so much is not kept free beforehand: room is also made when it is asked for.
MOST_ROOM_BYTES = 64 << 30

#: As seconds thirty years: beyond, clocks and timers give up.
MOST = 1e9
Positive = Annotated[float, Field(gt=0, le=MOST, allow_inf_nan=False)]
NotNegative = Annotated[int, Field(ge=0)]
NotNegativeFloat = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)]
#: More on one host is a slip of the hand.
Processes = Annotated[int, Field(ge=0, le=1024)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Redis(Section):
    #: `redis://`, `rediss://` or `unix://`: Redis 7 or newer, or any Valkey; the primary, no Cluster; the
    #: same for all hosts of the project. None: a Valkey of the project's own, on a socket in its state
    #: folder.
    url: str | None = Field(default=None, repr=False)
    #: What this project's keys begin with where several share a database: letters, digits, - and _; the same
    #: on all its hosts. To change it: `drain`, `down`, change it, `conductor rebuild`.
    prefix: Annotated[str, AfterValidator(checked_prefix)] = ""
    #: Of the project's own Valkey only. «everysec» may lose the last second at a power cut, «always» nothing.
    appendfsync: Literal["everysec", "always"] = "everysec"
    #: Work also with a Redis that keeps no append-only file, or that throws keys away when its memory is
    #: full: what it forgets, `conductor rebuild` brings back.
    is_volatile_ok: bool = False
    #: Name of the environment variable that holds the key hand-overs are signed with. None: they are not
    #: signed.
    signing_key_env: str | None = None


class LaneSettings(Section):
    #: Worker processes of this lane on this node; for the gpu lane: per device. None: a default by the host.
    workers: Processes | None = None
    #: The lane is fed while it has fewer than this many queued.
    depth: Annotated[int, Field(ge=1)] = 2


class GpuLane(LaneSettings):
    #: Without a device: run the gpu lane's jobs on the CPU instead of holding them.
    on_cpu: bool = False


class CloudLane(LaneSettings):
    depth: Annotated[int, Field(ge=1)] = 5


class Lanes(Section):
    gpu: GpuLane = GpuLane()
    cpu: LaneSettings = LaneSettings()
    io: LaneSettings = LaneSettings()
    cloud: CloudLane = CloudLane()


class Root(Section):
    """A folder jobs may write below. Manifests name it: `scratch:highlights/x.mp4`."""

    #: The folder. `scratch` (`.conductor/scratch`) and `published` (`published`) are there without being
    #: declared.
    path: Path
    #: Kept free for everybody else.
    headroom_bytes: NotNegative = 1 << 30
    #: Once less than that was free, nothing new starts to write here until so much is. None: half as much
    #: again.
    reopen_bytes: NotNegative | None = None
    #: Files that jobs made here may be removed when all jobs that read them are done; what nobody reads is a
    #: result and stays. None: so it is on `scratch`, and nowhere else.
    is_tidied: bool | None = None
    #: Such files go, the first ones first, once less than this is free here, or a job waits for the room.
    #: None: twice reopen_bytes, or a tenth of the disk (64 GiB at most) where that is more.
    room_bytes: NotNegative | None = None
    #: A file that must lie in it: an unmounted NAS is an empty folder on the system disk.
    marker: str | None = None
    #: Over the project's `inputs_by`, for input files that lie here.
    inputs_by: Literal["time", "content"] | None = None

    def opens_at(self, total_bytes: int | None) -> int:
        """Free bytes at which it opens again; never more than an empty disk half beyond its headroom has."""
        wanted = self.headroom_bytes * 3 // 2 if self.reopen_bytes is None else self.reopen_bytes
        most = (
            wanted
            if total_bytes is None
            else (self.headroom_bytes + max(total_bytes, self.headroom_bytes)) // 2
        )
        return max(self.headroom_bytes, min(wanted, most))

    def room(self, total_bytes: int | None) -> int:
        """Free bytes below which files that nobody needs any more are removed."""
        if self.room_bytes is not None:
            return self.room_bytes
        return max(2 * self.opens_at(total_bytes), min((total_bytes or 0) // 10, MOST_ROOM_BYTES))


class DeviceSettings(Section):
    """One device of this host, by its name in `conductor status`: gpu0."""

    #: How much memory it has, where the driver does not tell (unified memory); where it does, its word
    #: counts.
    vram_mib: Annotated[int, Field(ge=1)]


class Devices(Section):
    """What holds for all devices of a host, and `[devices.gpu0]`, … for each by itself."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, DeviceSettings] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]

    #: A device that is hotter starts nothing new until it has cooled by five degrees. None: however hot it
    #: is.
    max_temperature_c: Annotated[float, Field(gt=0, le=200)] | None = None

    @property
    def named(self) -> Mapping[str, DeviceSettings]:
        return self.__pydantic_extra__

    @model_validator(mode="after")
    def _are_names(self) -> Devices:
        for name in self.named:
            if not re.fullmatch(r"gpu(0|[1-9][0-9]*)", name):
                raise ValueError(
                    f"{name!r} names no device: they are gpu0, gpu1, … as `conductor status` shows them"
                )
        return self


#: To whom a host gives way.
Other = Literal["input", "load"]


class NodeSettings(Section):
    """One host, by the name that its node has in `conductor status`: when it is somebody else's."""

    #: It starts nothing new while somebody is at its keyboard or mouse («input»), while programs that are not
    #: Conductor's keep it busy («load»), or while either is so (a list of both).
    yield_to: Other | tuple[Other, ...] = ()
    #: Nobody is at it once there was no input for so long.
    idle_minutes: Positive = 10.0
    #: Others keep it busy while they use more than this share of its cores.
    foreign_load: Annotated[float, Field(gt=0, le=1)] = 0.25
    #: What runs meanwhile is finished, or stands still (SIGSTOP) until the host is not somebody else's any
    #: more.
    when_yielding: Literal["finish", "freeze"] = "finish"

    @field_validator("yield_to", mode="before")
    @classmethod
    def _are_others(cls, value: object) -> object:
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list | tuple) or not set[object](words) <= {"input", "load"}:
            raise ValueError('is to be "input" or "load", or a list of both')
        return value

    def yields_to(self, other: Other) -> bool:
        return other in ((self.yield_to,) if isinstance(self.yield_to, str) else self.yield_to)


class Rate(Section):
    """The budget of one API, shared by all workers of all hosts. None: not limited, or not yet known."""

    #: Calls.
    requests_per_min: Annotated[int, Field(ge=1)] | None = None
    #: Of questions and answers together.
    tokens_per_min: Annotated[int, Field(ge=1)] | None = None
    #: US dollars in any 24 hours, by the prices of the endpoint of the same name.
    usd_per_day: Positive | None = None


class Endpoint(Section):
    """An OpenAI-shaped server that `llm.annotate` may call. Its name is also its rate key."""

    #: Its address, up to `/v1`.
    base_url: str
    #: What it calls the model. Not set: it has one only.
    model: str = ""
    #: Name of the environment variable that holds the key; the key itself is never written down.
    api_key_env: str | None = None
    #: Members of every request, over Conductor's own: `{temperature = 1, reasoning_effort = "low"}`.
    parameters: dict[str, Any] = {}
    #: Members of Conductor's own that this server is not sent (`temperature`, `max_tokens`). What a model
    #: refuses is left out without that, once it has.
    without: tuple[str, ...] = ()
    #: What a million tokens of a question cost; needed for `rates.KEY.usd_per_day`.
    usd_per_million_input: NotNegativeFloat = 0.0
    #: The same for the tokens of an answer.
    usd_per_million_output: NotNegativeFloat = 0.0


class CounterSettings(Section):
    """What is counted by name and given out like VRAM: licences, tickets, how many of a task may run at
    once.
    """

    #: So many may be held at once.
    limit: Annotated[int, Field(ge=1, le=1_000_000)]
    #: Over which the limit is: all nodes together, each node, or each device.
    per: Per = "cluster"
    #: Each job of these tasks holds one, whether its line says so or not.
    tasks: tuple[str, ...] = ()
    #: A program and its arguments that prints how many others hold, as one whole number. No shell reads it.
    #: The conductor runs it, or each node where the counter is counted by the node. Empty: only jobs hold
    #: any.
    command: tuple[Annotated[str, Field(pattern=r"^[^\x00]+$")], ...] = ()
    #: How long after one run of the command the next begins.
    every_s: Positive = 10.0
    #: It is killed, with all that it started, when it has run for so long.
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    #: Where it has told nothing for so long: nothing more is given out («shut»), or as if others held none
    #: («open»).
    on_stale: OnStale = "shut"
    #: After so long without an answer what others hold counts as not known.
    stale_after_s: Positive = 60.0

    @model_validator(mode="after")
    def _is_told_by_somebody(self) -> CounterSettings:
        if self.command and self.per == "device":
            raise ValueError("command tells of the cluster or of a node: leave it out, or count by «node»")
        return self


class LimitSettings(Section):
    #: Of each device's memory: never handed out.
    vram_headroom_mib: NotNegative = 512
    #: Of each host's memory: never handed out.
    ram_headroom_mib: NotNegative = 1024
    #: CPU cores to hand out = this times what the node has.
    cpu_share: Positive = 1.0
    #: While a job runs whose end is waited for, the next one is named, and started in the step that ends it.
    has_successors: bool = True


class Breaker(Section):
    """When jobs of one kind fail alike, the rest of it is held back, tried again later, and set aside at
    last.
    """

    #: So many failures alike with no success in between. 0: nothing is ever held back.
    failures: Annotated[int, Field(ge=0, le=1000)] = 5
    #: One job tries whether it is over, so many times; then the rest goes into review.
    probes: NotNegative = 3
    #: It is waited for so long before the first try, and twice as long before each further one.
    first_probe_s: Positive = 60.0
    #: At most so long.
    longest_probe_s: Positive = 1800.0
    #: A backlog with more jobs in review starts nothing. None: no limit.
    review_debt: NotNegative | None = None


class BacklogSettings(Section):
    """One backlog, by its name without `backlog:`."""

    #: Two backlogs that both have work hold parts of the machines as their weights are to each other.
    weight: Positive = 1.0


class WaitingSettings(Section):
    """What becomes of jobs that wait long, so that none waits for ever."""

    #: For every so many seconds that it has waited, a job counts as of the next higher priority among those
    #: that wait.
    aging_s: Positive = 3600.0
    #: Passed over for so long by jobs that come after it, a job gets a place kept free for it.
    keep_after_s: NotNegativeFloat = 300.0
    #: Who has waited so long goes before all others of its backlog and priority, whatever the order.
    overdue_s: Positive = 43_200.0


class Timing(Section):
    #: The safety net under the wake-ups.
    tick_s: Positive = 1.0
    #: A worker that does not renew for so long has lost its attempt.
    lease_s: Positive = 10.0
    #: The lead passes on after so long without a renewal.
    leader_ttl_s: Positive = 2.0
    #: How often a node says what it has and what it does.
    report_every_s: Positive = 2.0
    #: A report older than this is no report.
    report_ttl_s: Positive = 10.0
    #: Admitted, no longer in its queue and not started after so long: taken by a worker that died.
    admitted_grace_s: Positive = 3.0


class Workers(Section):
    """When a worker's long-lived child gives way to a fresh one, and what it may keep between jobs."""

    #: Libraries leak a little with every job: a fresh child after so many. 0: never for that.
    max_jobs: NotNegative = 1000
    #: Memory that does not come back: a fresh child once it holds so much more between jobs than it did at
    #: first.
    leak_rss_mib: Annotated[int, Field(ge=1)] = 1024
    #: The same for what it holds on its device.
    leak_vram_mib: Annotated[int, Field(ge=1)] = 512
    #: A worker that has had nothing to do for so long keeps nothing on its device: it is somebody else's
    #: then.
    warm_idle_s: Positive = 300.0


class Dashboard(Section):
    """rq-dashboard on loopback, for looking only."""

    #: Started by `conductor up` and by the demo.
    is_on: bool = True
    #: The first to try.
    port: Annotated[int, Field(ge=0, le=65535)] = 9181
    #: Where the pages read, as the ACL's `reader`. None: redis.url (the project's own Valkey has a reader of
    #: its own).
    redis_url: str | None = Field(default=None, repr=False)
    #: Name of the environment variable that holds the password of the pages (user: any). None: no login.
    password_env: str | None = None


class LearningSettings(Section):
    """What receipts teach about needs (`conductor needs`)."""

    #: Without it jobs ask for what they declare.
    is_on: bool = True
    #: Asked is the 95th percentile of what was measured times this.
    margin: Annotated[float, Field(ge=1.0, le=10.0)] = 1.25
    #: Less than declared is asked after so many clean receipts of the present code; 0: never.
    lower_after: Annotated[int, Field(ge=0, le=64)] = 20


class Ticks(Section):
    """What each tick saw and decided, kept in `state_dir/ticks` for `conductor replay`."""

    #: Without it nothing is kept.
    is_on: bool = True
    #: Of all recordings together; the oldest goes.
    max_bytes: Annotated[int, Field(ge=1 << 20)] = 64 << 20


class Settings(BaseSettings):
    """The whole configuration. Paths are absolute after `load`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

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
    counters: dict[str, CounterSettings] = {}
    limits: LimitSettings = LimitSettings()
    backlogs: dict[str, BacklogSettings] = {}
    waiting: WaitingSettings = WaitingSettings()
    #: By lane or backlog: when it may start jobs, in local time of the conductor: `cloud = "18:00-08:00"`.
    #: The others may always.
    hours: dict[str, str] = {}
    breaker: Breaker = Breaker()
    #: By task: so many of each new kind of its jobs (another code, other parameters) must verify before the
    #: rest starts. Over what `@task(canary=…)` says.
    canary: dict[str, NotNegative] = {}
    timing: Timing = Timing()
    workers: Workers = Workers()
    dashboard: Dashboard = Dashboard()
    ticks: Ticks = Ticks()
    learning: LearningSettings = LearningSettings()

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
            endpoints=self.endpoints,
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
            api_key_variables=_named(endpoint.api_key_env for endpoint in self.endpoints.values()),
            other_variables=_named((self.redis.signing_key_env, self.dashboard.password_env)),
            urls=_named(
                (self.redis.url, self.dashboard.redis_url, *(e.base_url for e in self.endpoints.values()))
            ),
            parameters=tuple(endpoint.parameters for endpoint in self.endpoints.values()),
        )

    def _places(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(Layout)}

    def counted_by(self, per: Per) -> dict[str, CounterSettings]:
        return {name: counter for name, counter in self.counters.items() if counter.per == per}

    @field_validator("counters")
    @classmethod
    def _are_counters(cls, value: dict[str, CounterSettings]) -> dict[str, CounterSettings]:
        for name in value:
            if name in TAKEN_NAMES:
                raise ValueError(f"{name!r} is what Conductor counts by itself: give it another name")
            if not re.fullmatch(COUNTER_NAME, name) or len(name) > 40:
                raise ValueError(f"{name!r} is to be up to 40 small letters, digits, - and _, a letter first")
        return value

    @field_validator("hours")
    @classmethod
    def _are_hours(cls, value: dict[str, str]) -> dict[str, str]:
        for text in value.values():
            hours.parse(text)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # `load` passes the file's content as keywords, so the environment has to come before them.
        return env_settings, init_settings


def _named(names: Iterable[str | None]) -> frozenset[str]:
    return frozenset(name for name in names if name)


DEFAULT_ROOTS: Mapping[str, Root] = {
    "scratch": Root(path=Path(".conductor/scratch")),
    "published": Root(path=Path("published")),
}


def _in_words(message: str) -> str:
    """Without the names that pydantic and this program have for things."""
    message = message.removeprefix("Value error, ")
    if message.startswith("Input should be a valid dictionary"):
        return "is to be a table, with a name for each value"
    return message.replace("Input should be", "is to be", 1)


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
    given = start or Path(os.environ.get(ENV_PREFIX + "PROJECT", "."))
    try:
        project = find_project(given.resolve())
    except FileNotFoundError:
        raise ConfigError("the current folder is no longer there: go to another one (cd)") from None
    file = project / CONFIG_NAME
    if is_there := os.path.lexists(file):
        refuse_foreign(file, is_alone=False)
    content = read_toml(file) if is_there else {}
    variables = [SAFE_FOLDERS, *(f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields)]
    if unknown := unknown_keys(content, Settings) + unknown_variables(
        os.environ, ENV_PREFIX, variables, Settings
    ):
        raise ConfigError(f"{file}: " + "; ".join(unknown))
    values: dict[str, Any] = {**content, "project": project}
    try:
        raw = Settings(**values)
    except SettingsError as e:
        raise ConfigError(f"{e}: a section in one variable is written as JSON") from None
    except ValidationError as e:
        faults = "; ".join(
            f"{'.'.join(str(p) for p in err['loc'])}: {_in_words(err['msg'])}" for err in e.errors()
        )
        raise ConfigError(f"{file}: {faults}") from None
    settings = absolute(raw.model_copy(update={"roots": {**DEFAULT_ROOTS, **raw.roots}, "project": project}))
    if settings.state_dir.exists():
        # It says which program is the server, and whom to signal.
        refuse_foreign(settings.state_dir)
    for folder in (settings.state_dir, settings.receipts_dir, settings.logs_dir, settings.manifests_dir):
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder} is to be a folder of this project, and is a file: move it away")
    secrets.remember(settings.secrets)
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

    roots = {name: root.model_copy(update={"path": full(root.path)}) for name, root in settings.roots.items()}
    return settings.model_copy(
        update={
            "state_dir": full(settings.state_dir),
            "receipts_dir": full(settings.receipts_dir),
            "logs_dir": full(settings.logs_dir),
            "manifests_dir": full(settings.manifests_dir),
            "inputs": tuple(full(p) for p in settings.inputs),
            "roots": roots,
        }
    )
