"""The sections of conductor.toml, each a value that rooms are handed. docs/settings.md shows these lines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from conductor.base.redis_keys import checked_prefix
from conductor.base.settings.base_section import (
    NotNegative,
    NotNegativeFloat,
    Positive,
    Processes,
    Program,
    Section,
    Validator,
    ValueWords,
)
from conductor.model.limits import OnStale, Per

#: More than so much is not kept free beforehand: room is also made when it is asked for.
MOST_ROOM_BYTES = 64 << 30


class Redis(Section, frozen=True, kw_only=True):
    #: `redis://`, `rediss://` or `unix://`: Redis 7 or newer, or any Valkey; the primary, no Cluster; the
    #: same for all hosts of the project. Behind Sentinels, which say who is the primary:
    #: `redis+sentinel://[USER:PASSWORD@]HOST:26379,HOST:26379,HOST:26379/NAME/0`, with TLS
    #: `rediss+sentinel://`. None: a Valkey of the project's own, on a socket in its state folder.
    url: str | None = None
    #: What this project's keys begin with where several share a database: letters, digits, - and _; the same
    #: on all its hosts. To change it: `drain`, `down`, change it, `conductor rebuild`.
    prefix: Annotated[str, Validator(checked_prefix)] = ""
    #: Of the project's own Valkey only. «everysec» may lose the last second at a power cut, «always» nothing.
    appendfsync: Literal["everysec", "always"] = "everysec"
    #: Work also with a Redis that keeps no append-only file, or that throws keys away when its memory is
    #: full: what it forgets, `conductor rebuild` brings back.
    is_volatile_ok: bool = False
    #: Name of the environment variable that holds the key hand-overs are signed with. None: they are not
    #: signed.
    signing_key_env: str | None = None


class LaneSettings(Section, frozen=True, kw_only=True):
    #: Worker processes of this lane on this node; for the gpu lane: per device. None: a default by the host.
    workers: Processes | None = None
    #: The lane is fed while it has fewer than this many queued.
    depth: Annotated[int, Meta(ge=1)] = 2


class GpuLane(LaneSettings, frozen=True, kw_only=True):
    #: Without a device: run the gpu lane's jobs on the CPU instead of holding them.
    on_cpu: bool = False


class CloudLane(LaneSettings, frozen=True, kw_only=True):
    depth: Annotated[int, Meta(ge=1)] = 5


class Lanes(Section, frozen=True, kw_only=True):
    gpu: GpuLane = GpuLane()
    cpu: LaneSettings = LaneSettings()
    io: LaneSettings = LaneSettings()
    cloud: CloudLane = CloudLane()


class Root(Section, frozen=True, kw_only=True):
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


class DeviceSettings(Section, frozen=True, kw_only=True):
    """One device of this host, by its name in `conductor status`: gpu0."""

    #: How much memory it has, where the driver does not tell (unified memory); where it does, its word
    #: counts.
    vram_mib: Annotated[int, Meta(ge=1)]


def _devices(named: dict[str, DeviceSettings]) -> dict[str, DeviceSettings]:
    for name in named:
        if not re.fullmatch(r"gpu(0|[1-9][0-9]*)", name):
            raise ValueError(
                f"{name!r} names no device: they are gpu0, gpu1, … as `conductor status` shows them"
            )
    return named


class Devices(Section, frozen=True, kw_only=True):
    """What holds for all devices of a host, and `[devices.gpu0]`, … for each by itself."""

    beside: ClassVar[str] = "named"

    #: A device that is hotter starts nothing new until it has cooled by five degrees. None: however hot it
    #: is.
    max_temperature_c: Annotated[float, Meta(gt=0, le=200)] | None = None
    named: Annotated[dict[str, DeviceSettings], Validator(_devices)] = {}


#: To whom a host gives way.
Other = Literal["input", "load"]


class NodeSettings(Section, frozen=True, kw_only=True):
    """One host, by the name that its node has in `conductor status`: when it is somebody else's."""

    #: It starts nothing new while somebody is at its keyboard or mouse («input»), while programs that are not
    #: Conductor's keep it busy («load»), or while either is so (a list of both).
    yield_to: Annotated[Other | tuple[Other, ...], ValueWords('"input" or "load", or a list of both')] = ()
    #: Nobody is at it once there was no input for so long.
    idle_minutes: Positive = 10.0
    #: Others keep it busy while they use more than this share of its cores.
    foreign_load: Annotated[float, Meta(gt=0, le=1)] = 0.25
    #: What runs meanwhile is finished, or stands still (SIGSTOP) until the host is not somebody else's any
    #: more.
    when_yielding: Literal["finish", "freeze"] = "finish"

    def yields_to(self, other: Other) -> bool:
        return other in ((self.yield_to,) if isinstance(self.yield_to, str) else self.yield_to)


class CounterSettings(Section, frozen=True, kw_only=True):
    """What is counted by name and given out like VRAM: licences, tickets, how many of a task may run at
    once.
    """

    #: So many may be held at once.
    limit: Annotated[int, Meta(ge=1, le=1_000_000)]
    #: Over which the limit is: all nodes together, each node, or each device.
    per: Per = "cluster"
    #: Each job of these tasks holds one, whether its line says so or not.
    tasks: tuple[str, ...] = ()
    #: A program and its arguments that prints how many others hold, as one whole number. No shell reads it.
    #: The conductor runs it, or each node where the counter is counted by the node. Empty: only jobs hold
    #: any.
    command: Program = ()
    #: How long after one run of the command the next begins.
    every_s: Positive = 10.0
    #: It is killed, with all that it started, when it has run for so long.
    timeout_s: Annotated[float, Meta(gt=0, le=300)] = 10.0
    #: Where it has told nothing for so long: nothing more is given out («shut»), or as if others held none
    #: («open»).
    on_stale: OnStale = "shut"
    #: After so long without an answer what others hold counts as not known.
    stale_after_s: Positive = 60.0

    def __post_init__(self) -> None:
        if self.command and self.per == "device":
            raise ValueError("command tells of the cluster or of a node: leave it out, or count by «node»")


class LimitSettings(Section, frozen=True, kw_only=True):
    #: Of each device's memory: never handed out.
    vram_headroom_mib: NotNegative = 512
    #: Of each host's memory: never handed out.
    ram_headroom_mib: NotNegative = 1024
    #: CPU cores to hand out = this times what the node has.
    cpu_share: Positive = 1.0
    #: While a job runs whose end is waited for, the next one is named, and started in the step that ends it.
    has_successors: bool = True


class Breaker(Section, frozen=True, kw_only=True):
    """When jobs of one kind fail alike, the rest of it is held back, tried again later, and set aside at
    last.
    """

    #: So many failures alike with no success in between. 0: nothing is ever held back.
    failures: Annotated[int, Meta(ge=0, le=1000)] = 5
    #: One job tries whether it is over, so many times; then the rest goes into review.
    probes: NotNegative = 3
    #: It is waited for so long before the first try, and twice as long before each further one.
    first_probe_s: Positive = 60.0
    #: At most so long.
    longest_probe_s: Positive = 1800.0
    #: A backlog with more jobs in review starts nothing. None: no limit.
    review_debt: NotNegative | None = None


class BacklogSettings(Section, frozen=True, kw_only=True):
    """One backlog, by its name without `backlog:`."""

    #: Two backlogs that both have work hold parts of the machines as their weights are to each other.
    weight: Positive = 1.0


class SharingSettings(Section, frozen=True, kw_only=True):
    """How backlogs share the machines, besides their weights."""

    #: What a backlog has used counts for half after so long: who had much in the last hours goes behind who
    #: had little. None: past use counts only against those who waited at that time.
    half_life_s: Positive | None = None


class WaitingSettings(Section, frozen=True, kw_only=True):
    """What becomes of jobs that wait long, so that none waits for ever."""

    #: For every so many seconds that it has waited, a job counts as of the next higher priority among those
    #: that wait.
    aging_s: Positive = 3600.0
    #: Passed over for so long by jobs that come after it, a job gets a place kept free for it; later where
    #: much work waits (docs/decision.md), at the latest after `overdue_s`.
    keep_after_s: NotNegativeFloat = 300.0
    #: Who has waited so long goes before all others of its backlog and priority, whatever the order; later
    #: where much work waits, at the latest after four times as long.
    overdue_s: Positive = 43_200.0


class Timing(Section, frozen=True, kw_only=True):
    #: The safety net under the wake-ups.
    tick_s: Positive = 1.0
    #: A worker that does not renew for so long has lost its attempt.
    lease_s: Positive = 10.0
    #: The lead passes on after so long without a renewal.
    leader_ttl_s: Positive = 2.0
    #: How often a node says what it has and what it does; the same on all hosts. Who has said nothing for
    #: twice as long is handed nothing while others can take it.
    report_every_s: Positive = 2.0
    #: A report older than this is no report.
    report_ttl_s: Positive = 10.0
    #: Admitted, no longer in its queue and not started after so long: taken by a worker that died.
    admitted_grace_s: Positive = 3.0


class Workers(Section, frozen=True, kw_only=True):
    """When a worker's long-lived child gives way to a fresh one, and what it may keep between jobs."""

    #: Libraries leak a little with every job: a fresh child after so many. 0: never for that.
    max_jobs: NotNegative = 1000
    #: Memory that does not come back: a fresh child once it holds so much more between jobs than it did at
    #: first.
    leak_rss_mib: Annotated[int, Meta(ge=1)] = 1024
    #: The same for what it holds on its device.
    leak_vram_mib: Annotated[int, Meta(ge=1)] = 512
    #: A worker that has had nothing to do for so long keeps nothing on its device: it is somebody else's
    #: then.
    warm_idle_s: Positive = 300.0
    #: A worker that has had nothing to do for so long leaves and gives its memory back; the next one starts
    #: when a job comes. 0: all are started with their node, and stay.
    idle_s: NotNegativeFloat = 60.0


Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$"), ValueWords("64 digits and letters a to f")]


class ModelSettings(Section, frozen=True, kw_only=True):
    """A model of yours, which plans ask for by this name (`conductor models`)."""

    #: An .onnx file, or a folder with all that belongs to it. Jobs may read it.
    path: Path
    #: What it has to be, by content; `conductor models` says what it is. None: whatever lies there.
    sha256: Sha256 | None = None
    #: Its kind, for tasks that take several: `whisper`, `nemo-conformer-ctc`, … None: the task's usual.
    kind: str | None = None


class LearningSettings(Section, frozen=True, kw_only=True):
    """What receipts teach about needs (`conductor needs`)."""

    #: Without it jobs ask for what they declare.
    is_on: bool = True
    #: Asked is the 95th percentile of what was measured times this.
    margin: Annotated[float, Meta(ge=1.0, le=10.0)] = 1.25
    #: Less than declared is asked after so many clean receipts of the present code; 0: never.
    lower_after: Annotated[int, Meta(ge=0, le=64)] = 20


class Ticks(Section, frozen=True, kw_only=True):
    """What each tick saw and decided, kept in `state_dir/ticks` for `conductor replay`."""

    #: Without it nothing is kept.
    is_on: bool = True
    #: Of all recordings together; the oldest goes.
    max_bytes: Annotated[int, Meta(ge=1 << 20)] = 64 << 20
