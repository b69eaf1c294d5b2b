"""JobSpec, one manifest line: what to do and what it needs. Born in a plan, read unchanged by the worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from conductor.model.causes import Cause

Lane = Literal["gpu", "cpu", "io", "cloud"]
LANES: tuple[Lane, ...] = ("gpu", "cpu", "io", "cloud")

#: What a node has for all attempts together, as the rows of `core.capacity.resources` and their gates are
#: called.
ResourceName = Literal["ram", "cpu"]

SPEC_VERSION = 1

#: What the rate key of a store begins with.
STORE_KEY = "store:"

#: What users name that is counted: it is a part of the ledger's charge keys.
COUNTER_NAME = r"^[a-z][a-z0-9_-]*\Z"

JobId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{8,64}\Z")]
Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\Z", max_length=80)]
CounterName = Annotated[str, Meta(pattern=COUNTER_NAME, max_length=40)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Seconds = Annotated[float, Meta(ge=0, le=10_000_000)]


class Value(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Base of every value that is written down: frozen, keywords only, unknown fields refused.

    A value holds no way back to itself, so the collector need not look for cycles in it (`gc=False`): with a
    thousand nodes there are a hundred thousand of them."""


class Exchanged(Value, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Base of what processes write for each other, and never a person. Hosts are upgraded one after the
    other: what a reader of another version does not know it leaves out."""


class RateNeed(Value, frozen=True, kw_only=True):
    """What one attempt takes from an API's budget."""

    requests: Count = 1
    tokens: Count = 0


class EngineNeed(Value, frozen=True, kw_only=True):
    """One of several servers or programs that could do the job, and what an attempt takes of it."""

    name: CounterName
    rates: dict[str, RateNeed] = {}
    counters: dict[CounterName, Annotated[int, Meta(ge=1, le=1_000_000)]] = {}


class Needs(Value, frozen=True, kw_only=True):
    """What one attempt holds while it runs. Zero means: none, this gate does not ask."""

    #: Per device.
    vram_mib: Count = 0
    #: How many devices it wants at once; asked only where `vram_mib` is not zero.
    devices: Annotated[int, Meta(ge=1, le=64)] = 1
    ram_mib: Count = 0
    cpu: Annotated[float, Meta(ge=0, le=4096)] = 0.0
    #: Temporary files of the attempt itself, beyond what it declares in `writes`.
    scratch_bytes: Count = 0
    #: Rate key (a `[rates.KEY]` of conductor.toml) → what one attempt takes from it.
    rates: dict[str, RateNeed] = {}
    #: Counter (a `[counters.NAME]` of conductor.toml) → how many one attempt holds; of one that is counted by
    #: the device: on each of its devices.
    counters: dict[CounterName, Annotated[int, Meta(ge=1, le=1_000_000)]] = {}
    #: Of these one attempt uses one, the preferred one first (`core.rates.engine_choice`); what it takes of
    #: that stands in `rates` and `counters` beside what it takes in any case.
    engines: tuple[EngineNeed, ...] = ()
    #: The one that it is admitted for. A line leaves it out.
    engine: str = ""
    #: The node that it is to run on; empty: any.
    node: Annotated[str, Meta(max_length=200)] = ""


#: `root:relative/path`
RootedPath = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*:[^\x00]+$", max_length=1024)]


class Output(Value, frozen=True, kw_only=True):
    """A file the job publishes. `bytes` is the size planned for it."""

    path: RootedPath
    bytes: Count = 0


class Estimate(Value, frozen=True, kw_only=True):
    duration_s: Seconds = 0.0
    #: How large the job is in the task's own measure (pixels × seconds, characters): what it really took is
    #: learned per step of it. 0: not known.
    size: Annotated[float, Meta(ge=0, le=1e18)] = 0.0


class JobSpec(Value, frozen=True, kw_only=True):
    """One line of a manifest. Fields left out take the task's declared defaults (`resolve`)."""

    v: Literal[1]
    id: JobId
    workflow: Name
    task: Name
    args: dict[str, Any] = {}
    lane: Lane | None = None
    needs: Needs | None = None
    #: Files read: `root:relative` (another job's output) or an absolute path (the user's own).
    reads: tuple[str, ...] = ()
    #: Those of `reads` that no job makes → fingerprint at the time of the plan. Part of the id
    #: (`model.identity`).
    inputs: dict[str, str] = {}
    writes: tuple[Output, ...] = ()
    #: Files of the user's that are there before and that the job changes in place: a corpus. Not published,
    #: not hashed.
    updates: tuple[RootedPath, ...] = ()
    #: Jobs whose receipts must be accepted first.
    after: tuple[JobId, ...] = ()
    #: Jobs that must have ended first, accepted or dead: for a job that makes the best of what there is.
    after_ended: tuple[JobId, ...] = ()
    #: Higher goes first.
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    timeout_s: Seconds | None = None
    #: Cause → how many retries, over the task's own table.
    retry: dict[Cause, Annotated[int, Meta(ge=0, le=1000)]] | None = None
    #: Cause → seconds before each retry, over the table's own back-off.
    retry_wait: dict[Cause, Seconds] = {}
    estimate: Estimate | None = None
    #: Of a plan that is to be done again: the run that it belongs to. Part of the id; empty: of none.
    tag: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]*$", max_length=64)] = ""
    #: What `verify` holds the outputs against, e.g. {"duration_s": 12.0}.
    expect: dict[str, Any] = {}


class TaskDecl(Value, frozen=True, kw_only=True):
    """What a task declares once, so that lines need not repeat it."""

    name: Name
    lane: Lane
    needs: Needs = Needs()
    #: What was learned is never asked below this. The default lets measurements speak.
    floor: Needs = Needs()
    timeout_s: Seconds = 3600.0
    #: No progress report for so long means stuck; 0 switches the watch off.
    stall_s: Seconds = 0.0
    retry: dict[Cause, int] = {}
    estimate: Estimate = Estimate()
    #: Names of the arguments that make jobs of this task differ in what could be wrong with them (a preset, a
    #: model): with the task and its code they are the *kind* that canaries and breakers go by.
    parameters: tuple[str, ...] = ()
    #: The first so many of a new kind must verify before the rest is released. 0: no canary.
    canary: Annotated[int, Meta(ge=0, le=1000)] = 0
    #: What `ctx.warm` keeps of it, arguments in braces: «onnx:{model}». A device that has it is preferred.
    warm: str = ""
    #: The API that each of its jobs calls, arguments in braces: «{endpoint}». A line that names no rate of
    #: that key in its `needs` takes one request of it, so that its gate counts for it.
    rate: str = ""
    #: The `[stores.NAME]` that each of its jobs opens, arguments in braces: «{store}»; its gate counts for
    #: them.
    store: str = ""
    #: Module that holds the body, imported in the worker's child only.
    module: str
    function: str = "run"


class Request(Value, frozen=True, kw_only=True):
    """A JobSpec with the task's defaults filled in: what the decision and the worker go by."""

    lane: Lane
    needs: Needs
    timeout_s: Seconds
    stall_s: Seconds
    retry: dict[Cause, int]
    estimate: Estimate
    retry_wait: dict[Cause, Seconds] = {}


def resolve(spec: JobSpec, decl: TaskDecl) -> Request:
    """The line's own values over the task's declared ones; `needs` is replaced as a whole."""
    return Request(
        lane=spec.lane or decl.lane,
        needs=needs_of(spec, decl),
        timeout_s=decl.timeout_s if spec.timeout_s is None else spec.timeout_s,
        stall_s=decl.stall_s,
        retry={**decl.retry, **(spec.retry or {})},
        retry_wait=spec.retry_wait,
        estimate=decl.estimate if spec.estimate is None else spec.estimate,
    )


def needs_of(spec: JobSpec, decl: TaskDecl) -> Needs:
    needs = decl.needs if spec.needs is None else spec.needs
    if needs.engines and needs.engine not in {engine.name for engine in needs.engines}:
        needs = on_engine(needs, needs.engines[0])
    store = filled(decl.store, spec.args)
    keys = [key for key in (filled(decl.rate, spec.args), store and store_key(store)) if key]
    added = {key: RateNeed() for key in keys if key not in needs.rates}
    return msgspec.structs.replace(needs, rates={**needs.rates, **added}) if added else needs


def store_key(store: str) -> str:
    """A store has a gate as an API has one, and no budget: under this rate key."""
    return f"{STORE_KEY}{store}"


def is_store(key: str) -> bool:
    return key.startswith(STORE_KEY)


def on_engine(needs: Needs, engine: EngineNeed) -> Needs:
    """The same for an attempt that uses this one of its engines."""
    left = next((each for each in needs.engines if each.name == needs.engine), None)
    rates = {key: need for key, need in needs.rates.items() if left is None or key not in left.rates}
    counters = {name: n for name, n in needs.counters.items() if left is None or name not in left.counters}
    return msgspec.structs.replace(
        needs, engine=engine.name, rates=rates | engine.rates, counters=counters | engine.counters
    )


def filled(pattern: str, args: Mapping[str, Any]) -> str:
    """«onnx:{model}» with the job's arguments; empty where one is missing."""
    try:
        return pattern.format_map(args) if pattern else ""
    except (KeyError, IndexError, ValueError, AttributeError, TypeError):
        return ""


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(JobSpec)


def to_line(spec: JobSpec) -> bytes:
    """One JSON line without the newline; the same spec always gives the same bytes."""
    return _encoder.encode(spec)


def from_line(line: bytes | str) -> JobSpec:
    """The spec of a line. Raises `msgspec.ValidationError` / `msgspec.DecodeError` on the first fault."""
    return _decoder.decode(line)
