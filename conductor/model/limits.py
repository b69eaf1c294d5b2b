"""Limits: what the operator allows, as the decision wants it. Built from the settings once per process."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import field

from conductor.model.spec import Lane, ResourceName, Value

DEFAULT_DEPTH: dict[Lane, int] = {"gpu": 2, "cpu": 2, "io": 2, "cloud": 5}


#: Who goes first within a backlog and a priority. «auto»: what is there at once goes by its size, the largest
#: first; what keeps coming goes by its duration, the shortest first, and who has waited too long gets a place
#: kept free.
Order = Literal["auto", "oldest", "fifo", "shortest", "area", "guarded", "largest", "frees", "critical"]
#: Where it goes among the places that fit. «least_loss»: where the least is lost to the jobs that are usual
#: here.
PlaceRule = Literal["tightest", "least_loss", "first", "random"]


class BreakerRule(Value, frozen=True, kw_only=True):
    """When failures alike close a kind, and how often and when one job of it may try whether they are
    over.
    """

    #: 0: nothing is ever closed.
    failures: int = 5
    #: So many tries in vain, then what waits of the kind goes to `review`.
    probes: int = 3
    first_s: float = 60.0
    longest_s: float = 1800.0


#: Over which the sum of what is held stays within the limit.
Per = Literal["cluster", "node", "device"]
OnStale = Literal["open", "shut"]
#: Names that would be mistaken for what Conductor counts by itself (`core.capacity.resources`).
TAKEN_NAMES = frozenset({"bytes", "vram", "vram_mib", "ram_mib", "cpu_milli", *get_args(ResourceName)})


class CounterRule(Value, frozen=True, kw_only=True):
    """One `[counters.NAME]`: how many may be held at once."""

    limit: int
    per: Per = "cluster"
    #: Tasks whose jobs each hold one, whether their lines say so or not.
    tasks: tuple[str, ...] = ()
    #: A command tells how many others hold.
    has_command: bool = False
    #: Where it has not answered for so long: nothing more is given out («shut»), or as if others held none
    #: («open»).
    on_stale: OnStale = "shut"
    stale_after_s: float = 60.0


class TaskRules(Value, frozen=True, kw_only=True):
    """What the declarations of tasks that the conductor has read say to the decision: fields of `Limits`."""

    tasks: tuple[str, ...]
    canary: dict[str, int] = {}
    canary_by_eye: dict[str, int] = {}


class Limits(Value, frozen=True, kw_only=True):
    """Depths, headrooms and the two times the decision goes by. Sizes as in the names."""

    #: Lane → a queue of it is fed while it holds fewer than this many.
    depth: dict[Lane, int] = field(default_factory=lambda: dict(DEFAULT_DEPTH))
    vram_headroom_mib: int = 512
    ram_headroom_mib: int = 1024
    #: Root → bytes kept free for everybody else; roots not named keep `default_disk_headroom_bytes`.
    disk_headroom_bytes: dict[str, int] = {}
    default_disk_headroom_bytes: int = 1 << 30
    #: Cores to hand out = this times what the node has.
    cpu_share: float = 1.0
    #: A report older than this is no report.
    report_ttl_s: float = 10.0
    #: Who has not reported for so long is passed over while others can take the work. None: nobody is.
    report_late_s: float | None = None
    tick_s: float = 1.0
    order: Order = "oldest"
    place: PlaceRule = "tightest"
    #: Admit only where all that was begun can still finish on its disk (`core.chains.bankers_check`).
    is_safe: bool = True
    #: Of the place rule «random» only: the same seed gives the same places.
    seed: int = 0
    #: Backlog → its weight in the fair share; those not named count 1.
    weights: dict[str, float] = {}
    #: What a backlog has used counts for half after so long, whoever competed with it then. None: it counts
    #: only against those who waited at the same time.
    half_life_s: float | None = None
    #: For every so many seconds that it has waited, a job counts as of the next higher priority among those
    #: that wait. None: never.
    aging_s: float | None = None
    #: Who has waited so long goes before all others of its backlog and priority, whatever the order. None:
    #: nobody.
    overdue_s: float | None = None
    #: Passed over for so long by jobs that come after it: a place is kept free for it. None: never.
    keep_after_s: float | None = None
    #: What users count by name.
    counters: dict[str, CounterRule] = {}
    #: Lane or backlog → when it may start jobs, as seconds of the day, local time; those not named: always.
    hours: dict[str, tuple[tuple[int, int], ...]] = {}

    #: Task → so many of each new kind must verify before the rest of it starts.
    canary: dict[str, int] = {}
    #: Tasks whose declarations the conductor has read: nothing else is admitted. None: it goes by none.
    tasks: tuple[str, ...] | None = None
    breaker: BreakerRule = BreakerRule()
    #: A backlog with more jobs in review than this starts nothing; None: no limit.
    review_debt: int | None = None
    #: Is a job named while another runs, to start in the step that ends it (`core.admission.successors`).
    has_successors: bool = False
    #: Task → so many of each new kind are shown to a person, who has to accept them before the rest starts.
    #: Over `canary`.
    canary_by_eye: dict[str, int] = {}

    def disk_headroom(self, root: str) -> int:
        return self.disk_headroom_bytes.get(root, self.default_disk_headroom_bytes)
