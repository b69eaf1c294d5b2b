"""NodeReport: what one host sees of itself. Published by the node with a time to live; read by the tick.

Readings that cannot be had are None (N/A under WSL or in a container), never 0.
"""

from __future__ import annotations

from conductor.model.engine import RefusedRequest
from conductor.model.spec import Exchanged, Lane

REPORT_VERSION = 2


class Device(Exchanged, frozen=True, kw_only=True):
    index: int
    uuid: str
    name: str
    #: 0: not told.
    vram_total_mib: int
    #: The total is what conductor.toml says (`devices.KEY.vram_mib`): the driver does not tell.
    is_declared: bool = False
    #: A part of a card (MIG). A process sees one of them and no more.
    is_slice: bool = False
    #: Used by anyone, ourselves included.
    vram_used_mib: int | None = None
    #: Worker → MiB of it that the worker's processes hold; what idle ones keep warm is among it. None: the
    #: driver does not tell, and all that is used beyond what attempts say of themselves counts as others'.
    ours: dict[str, int] | None = None
    #: Why nothing is placed here, or None.
    quarantined: str | None = None

    @property
    def key(self) -> str:
        return f"gpu{self.index}"


class Volume(Exchanged, frozen=True, kw_only=True):
    """One declared root (`[roots.NAME]`) on this host: scratch, the NAS folder, …"""

    root: str
    path: str
    total_bytes: int | None = None
    free_bytes: int | None = None
    #: Of what is used: files that nobody needs any more. They lie there until their room is wanted; not free
    #: before.
    removable_bytes: int = 0
    #: Roots of a node with the same mark lie on one file system: what is free there is free once.
    filesystem: str | None = None
    #: Which folder it is, whoever looks: the name that a node drew for what lies there. Only those that see
    #: the same files report the same one. Empty: not known.
    root_id: str = ""
    is_writable: bool = False
    #: Less than its headroom was free: nothing new starts to write here until so much is. None: open.
    opens_at_bytes: int | None = None
    #: Why it cannot be used now («not mounted: marker .conductor-mount is missing»), or None.
    fault: str | None = None


class QueueReport(Exchanged, frozen=True, kw_only=True):
    """One RQ queue that workers of this node listen to; each worker listens to exactly one."""

    queue: str
    lane: Lane
    #: Device key for a GPU worker, None elsewhere (and for a GPU lane that runs on the CPU).
    device: str | None = None
    workers: int = 0
    #: How the last one ended, where they keep dying at start: such count as none. Empty: they do not.
    dying: str = ""
    #: What its workers keep warm («onnx:yolo.onnx»): a job that wants it starts sooner here.
    warm: tuple[str, ...] = ()


class Obstacle(Exchanged, frozen=True, kw_only=True):
    """Why a host, or one of its devices, starts nothing new: what a node-side gate found there
    (`node.health.node_gates`).
    """

    #: The gate's name: «temperature», «input».
    gate: str
    #: Key of the device; empty: the whole host.
    device: str = ""
    #: A clause that stays the same as long as the gate is closed: «somebody is at this machine».
    words: str
    #: What was read last, and at what it opens again.
    figure: float
    opens_at: float
    unit: str = ""
    #: When it closed (epoch seconds, by the host's clock).
    since: float
    #: The host is somebody else's meanwhile.
    is_yielding: bool = False


class Measure(Exchanged, frozen=True, kw_only=True):
    """One resource of a host, in the steps of its row (`core.capacity.resources`). None: not known."""

    total: int | None = None
    #: Not used by anyone.
    free: int | None = None


UNKNOWN = Measure()


class SingleJobs(Exchanged, frozen=True, kw_only=True):
    """Of an engine that takes jobs one by one, for hosts of its own: what it stands for as a node."""

    #: At most so many wait or run there at once.
    most: int
    #: What one of them gets at most: cores, memory, GPUs with so much each, time.
    cpus: int
    ram_mib: int
    devices: int = 0
    vram_mib: int = 0
    time_s: float
    #: Class id → what the engine said; its jobs are kept from there for a while.
    refused: dict[str, RefusedRequest] = {}


class CounterReading(Exchanged, frozen=True, kw_only=True):
    """What the command of a counter said last."""

    #: So many are held by others; None: it never told.
    others: int | None = None
    #: Seconds since it said so.
    age_s: float = 0.0
    #: What became of its last run, where that told nothing («exit 1: no such server»); empty: it answered.
    fault: str = ""


class NodeReport(Exchanged, frozen=True, kw_only=True):
    v: int = REPORT_VERSION
    node: str
    host: str
    boot_id: str = ""
    pid: int = 0
    #: Redis time, epoch seconds, set when the report is published.
    sent_at: float = 0.0
    #: Seconds by which the host's clock is ahead of Redis's, as far as that can be seen over the network.
    clock_ahead_s: float = 0.0
    #: Which Conductor runs there (`conductor.base.code_version.build`); empty: one that does not tell.
    build: str = ""
    devices: tuple[Device, ...] = ()
    volumes: tuple[Volume, ...] = ()
    #: How old the reading of the volumes was when the report was sent.
    volumes_age_s: float = 0.0
    queues: tuple[QueueReport, ...] = ()
    #: Resource → what was measured of it; one that is not among them is not known.
    measured: dict[str, Measure] = {}
    cpu_count: float = 1.0
    #: Counter that is counted by the node, and has a command → what that said here. Ages are those of
    #: `sent_at`.
    counters: dict[str, CounterReading] = {}
    is_draining: bool = False
    #: What is placed here has to be over by then (Redis time): it ends. None: nobody knows of an end.
    ends_at: float | None = None
    #: Of a pilot: its name at the engine that started it (`model.pilot`).
    pilot: str = ""
    #: It is no host: an engine gives each of its jobs one. None: a host with workers.
    single_jobs: SingleJobs | None = None
    #: What keeps it, or a device of it, from starting anything new.
    obstacles: tuple[Obstacle, ...] = ()
    #: Task → version of its code on this host (`conductor.base.code_version`).
    code: dict[str, str] = {}
    #: Said once by `status`: «no NVIDIA driver: the gpu lane runs on the CPU».
    notes: tuple[str, ...] = ()

    @property
    def ram_total_mib(self) -> int | None:
        return self.measured.get("ram", UNKNOWN).total

    @property
    def ram_available_mib(self) -> int | None:
        return self.measured.get("ram", UNKNOWN).free
