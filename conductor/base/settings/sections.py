"""The sections of conductor.toml, each a value that rooms are handed. docs/settings.md shows these lines."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from conductor.base.redis_keys import checked_prefix
from conductor.model.limits import OnStale, Per

#: More than so much is not kept free beforehand: room is also made when it is asked for.
MOST_ROOM_BYTES = 64 << 30

#: As seconds thirty years: beyond, clocks and timers give up.
MOST = 1e9
Positive = Annotated[float, Field(gt=0, le=MOST, allow_inf_nan=False)]
NotNegative = Annotated[int, Field(ge=0)]
JobPriority = Annotated[int, Field(ge=-1000, le=1000)]
NotNegativeFloat = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)]
#: More on one host is a slip of the hand.
Processes = Annotated[int, Field(ge=0, le=1024)]


def checked_address(text: str) -> str:
    ipaddress.ip_address(text)
    return text


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
    is_ephemeral: bool | None = None
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
    """A server that tasks may call. Its name is also its rate key."""

    #: «chat»: OpenAI-shaped, for `llm.annotate`. «comfyui» and «video»: engines that draw (`toon.segment`), a
    #: ComfyUI-shaped server and an API that sells film.
    kind: Literal["chat", "comfyui", "video"] = "chat"
    #: Its address; of a chat or video API up to `/v1`.
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
    #: Of a video API: what a second of film costs.
    usd_per_second: NotNegativeFloat = 0.0


class EngineSettings(Section):
    """Which of several engines jobs prefer (`docs/rates.md`)."""

    #: Where a plan does not say: engines of this host's own first and then what is paid for, only the one
    #: kind, or only the other.
    policy: Literal["local_first", "local_only", "api_only"] = "local_first"


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


class Web(Section):
    """The HTTP API and the page (`conductor web`): for looking only, until a token is configured."""

    #: Started by `conductor up` and by the demo.
    is_on: bool = True
    #: The address it listens on. One that is not this host's own (127.0.0.1, ::1) needs a token.
    bind: Annotated[str, AfterValidator(checked_address)] = "127.0.0.1"
    #: The first to try; 0 takes any.
    port: Annotated[int, Field(ge=0, le=65535)] = 9280
    #: Name of the environment variable that holds the token. With it one may act, and from other hosts look.
    #: None: nobody acts by HTTP, except over the socket in the state folder, which is its owner's alone.
    token_env: str | None = None
    #: Names by which browsers may call it, beside `localhost` and its address: a proxy's in front of it.
    allowed_hosts: tuple[str, ...] = ()


class ModelSettings(Section):
    """A model of yours, which plans ask for by this name (`conductor models`)."""

    #: An .onnx file, or a folder with all that belongs to it. Jobs may read it.
    path: Path
    #: What it has to be, by content; `conductor models` says what it is. None: whatever lies there.
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    #: Its kind, for tasks that take several: `whisper`, `nemo-conformer-ctc`, … None: the task's usual.
    kind: str | None = None


class McpSettings(Section):
    """The door for models (`conductor mcp`, Model Context Protocol): for looking only, until `may_act`."""

    #: A model may plan, dispatch and cancel: what the token of the HTTP API may, of the tools that there are.
    may_act: bool = False
    #: The web process has the door too, at `/mcp`, for who has its token. Needs the extra `mcp`.
    over_http: bool = False


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
