"""Which ad earns: a CRM's signed deliveries, credit for creatives, worn-out ones, winners to be searched.

Each kind is a plan of its own: `event` behind a hook, `monitor_fatigue` and `auto_index_winner` by schedules,
`allocate` and `day` by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

# run as a plain file: the project's root is not on the path, nor perhaps its environment
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from workflows import standalone

    standalone.ensure_environment()

import argparse
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

import msgspec

from conductor.base.errors import ConfigError, UsageError
from conductor.base.files.layout import CodeSettings
from conductor.model.spec import JobSpec, Needs, RateNeed
from conductor.planning import job, named_model, note
from conductor.record import manifest
from workers.ads import attribution, embedders
from workers.ads.attribution import AttributionModel
from workers.ads.embedding import HASHED
from workers.ads.fatigue import FatigueLimits
from workers.ads.lead_events import BadDelivery, LeadDelivery, read_delivery, seconds_of, touches_of
from workers.ads.revenue import STAGES, micros
from workers.ads.shares import WHOLE_PPM
from workflows.ads.catalogue import batches, creatives_in, figures_at

NAME = "ads"
JSON_BYTES = 1 << 20
#: A delivery that no hook handed over is larger than any that one would have taken.
MOST_PAYLOAD_BYTES = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    event = kinds.add_parser("event", help="one delivery of a CRM: the `run` of a hook")
    event.add_argument("payload", type=Path, help="the file with its body: {payload}")
    event.add_argument(
        "--attribution", choices=get_args(AttributionModel), default="time_decay", help="whose lead it is"
    )
    event.add_argument(
        "--half-life-days", type=float, default=attribution.HALF_LIFE_DAYS, metavar="X", help="of time_decay"
    )
    event.add_argument("--lookback-days", type=float, default=attribution.LOOKBACK_DAYS, metavar="X")
    event.add_argument(
        "--stage",
        action="append",
        default=[],
        metavar="NAME=SHARE",
        help="the chance of a stage, 0 to 1, beside or instead of the usual ones; 1 is won, 0 is lost",
    )
    event.add_argument(
        "--average-value", type=float, default=0.0, metavar="X", help="of a deal whose event does not say"
    )
    event.add_argument(
        "--currency", default="EUR", help="that all amounts are in: another one is refused, not added up"
    )
    allocate = kinds.add_parser("allocate", help="shares of the budget, by Thompson sampling")
    fatigue = kinds.add_parser("monitor_fatigue", help="worn-out creatives; a person is asked to pause them")
    fatigue.add_argument("figures", type=Path, help="a CSV file with daily figures, or a folder with such")
    index = kinds.add_parser("auto_index_winner", help="winners get a place in the index that search.py asks")
    index.add_argument("creatives", type=Path, help="JSON lines: creative, text")
    day = kinds.add_parser("day", help="all deliveries of a folder, and what follows from them, in one proof")
    day.add_argument("deliveries", type=Path, help="a folder with the manifests of a hook: manifests/hooks")
    day.add_argument("--figures", type=Path, help="as monitor_fatigue takes them; default: left out")
    day.add_argument("--creatives", type=Path, help="as auto_index_winner takes them; default: left out")
    for each in (allocate, day):
        each.add_argument("--seed", type=int, default=1, metavar="N", help="of the sampler")
        each.add_argument("--draws", type=int, default=4000, metavar="N")
    for each in (fatigue, day):
        add_limits(each)
    for each in (index, day):
        add_embedder(each)
    for each in (allocate, index):
        each.add_argument(
            "--round",
            default="",
            metavar="WORD",
            help="another word works it out anew: the store has changed",
        )
    for each in (event, allocate, fatigue, index, day):
        each.add_argument("--store", default=NAME, metavar="NAME", help="an [stores.NAME] of conductor.toml")


def add_limits(parser: argparse.ArgumentParser) -> None:
    for field in msgspec.structs.fields(FatigueLimits):
        word = f"--{field.name.replace('_', '-')}"
        parser.add_argument(word, type=type(field.default), default=field.default, metavar="X")
    parser.add_argument(
        "--keep-days",
        type=int,
        default=7,
        metavar="N",
        help="who was kept is asked about again after so many",
    )


def add_embedder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--endpoint", metavar="NAME", help="an [endpoints.NAME] makes the vectors; default: hashed n-grams"
    )
    parser.add_argument(
        "--model", metavar="NAME", help="a [models.NAME] makes them: a folder with an encoder"
    )
    parser.add_argument(
        "--least-leads", type=float, default=20.0, metavar="X", help="that are over, before one is a winner"
    )
    parser.add_argument(
        "--sure", type=float, default=0.95, metavar="X", help="how surely better than all together; 0 to 1"
    )


def manifest_name(options: argparse.Namespace) -> str:
    named = {
        "event": "payload",
        "day": "deliveries",
        "monitor_fatigue": "figures",
        "auto_index_winner": "creatives",
    }
    part = f"_{getattr(options, named[options.kind]).stem}" if options.kind in named else ""
    return f"{NAME}_{options.kind}{part}.jsonl"


Planned = Callable[[argparse.Namespace, CodeSettings], Iterator[JobSpec]]


def plan(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    kinds: Mapping[str, Planned] = {
        "event": event,
        "allocate": allocate,
        "monitor_fatigue": monitor_fatigue,
        "auto_index_winner": auto_index_winner,
        "day": day,
    }
    return kinds[options.kind](options, settings)


# ── deliveries ────────────────────────────────────────────────────────────────────────────────────────────


def event(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    """One job; none for a delivery of another kind. The delivery itself is in the line, not its file."""
    body = body_of(options.payload)
    try:
        delivery = read_delivery(body)
    except BadDelivery as e:
        raise UsageError(f"the delivery cannot be used: {e}") from None
    if delivery is None:
        note("this delivery is not of a kind that the ads workflow counts: nothing is planned")
        return
    # The tag is the delivery's id: ten deliveries of one are one event. By hand it is its content.
    name = getattr(options, "tag", "") or f"body-{hashlib.sha256(body).hexdigest()[:24]}"
    yield job(NAME, "ads.event", {"event": name, **told(delivery, options)})


def body_of(payload: Path) -> bytes:
    try:
        with payload.open("rb") as file:
            body = file.read(MOST_PAYLOAD_BYTES + 1)
    except OSError as e:
        raise UsageError(f"{payload} cannot be read: {e.strerror}") from None
    if len(body) > MOST_PAYLOAD_BYTES:
        raise UsageError(f"{payload} is larger than {MOST_PAYLOAD_BYTES >> 20} MiB: that is no delivery")
    return body


def told(delivery: LeadDelivery, options: argparse.Namespace) -> dict[str, Any]:
    """As `ads.event` takes it. Raises `UsageError`."""
    data, stages = delivery.data, stages_of(options.stage)
    if data.stage not in stages:
        raise UsageError(
            f"data.stage: {data.stage!r} is no stage that is known ({', '.join(sorted(stages))}): "
            "--stage NAME=SHARE adds it"
        )
    if data.currency is not None and data.currency != options.currency:
        raise UsageError(
            f"data.currency: amounts are added up in {options.currency}, and this is in {data.currency!r}"
        )
    for name in ("half_life_days", "lookback_days"):
        if not 0 < getattr(options, name) <= 3650:
            raise UsageError(f"--{name.replace('_', '-')}: more than 0, and at most 3650")
    if not 0 <= options.average_value <= 1e12:
        raise UsageError("--average-value: from 0 to 1e12")
    value = options.average_value if data.value is None else data.value
    return {
        "store": options.store,
        "lead": data.lead,
        "at": seconds_of(delivery.timestamp),
        "chance_ppm": stages[data.stage],
        "value_micros": micros(value),
        "touches": touches_of(data),
        "model": options.attribution,
        "half_life_days": options.half_life_days,
        "lookback_days": options.lookback_days,
    }


def stages_of(given: Sequence[str]) -> dict[str, int]:
    """Name → chance in parts of a million: the usual ones, and those of the command line over them."""
    found = dict(STAGES)
    for word in given:
        name, _, share = word.rpartition("=")
        try:
            chance = round(float(share) * WHOLE_PPM)
        except (ValueError, OverflowError):
            chance = -1
        if not name or not 0 <= chance <= WHOLE_PPM:
            raise UsageError(f"--stage {word}: is to be NAME=SHARE, with a share from 0 to 1")
        found[name] = chance
    return found


# ── what follows from them ────────────────────────────────────────────────────────────────────────────────


def allocate(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    yield allocation(options, options.round, [])


def allocation(options: argparse.Namespace, round_: str, after: Sequence[JobSpec]) -> JobSpec:
    if not 1 <= options.draws <= 1_000_000:
        raise UsageError(f"--draws {options.draws}: from 1 to 1000000")
    args = {"store": options.store, "seed": options.seed, "draws": options.draws, "round": round_}
    writes = {"published:ads/budget-{short}.json": JSON_BYTES}
    return job(NAME, "ads.allocate", args, writes=writes, after=after)


def monitor_fatigue(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    """Two jobs: what is worn out, which waits for a person where it has to, and what they said."""
    given = {field.name: getattr(options, field.name) for field in msgspec.structs.fields(FatigueLimits)}
    try:
        msgspec.convert(given, FatigueLimits)
    except msgspec.ValidationError as e:
        raise UsageError(f"the limits: {e}") from None
    if not 0 <= options.keep_days <= 3650:
        raise UsageError(f"--keep-days {options.keep_days}: from 0 to 3650")
    judged = job(
        NAME,
        "ads.fatigue",
        {"store": options.store, "limits": given, "keep_days": options.keep_days},
        inputs=figures_at(options.figures, settings),
        writes={"published:ads/fatigue-{short}.json": JSON_BYTES},
    )
    yield judged
    reads = [judged.writes[0].path]
    yield job(NAME, "ads.pause", {"store": options.store}, reads=reads, after=[judged])


def auto_index_winner(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    """A job for as many creatives as one request takes."""
    yield from indexing(options, settings, options.creatives, options.round, [])


def indexing(
    options: argparse.Namespace,
    settings: CodeSettings,
    creatives: Path,
    round_: str,
    after: Sequence[JobSpec],
) -> Iterator[JobSpec]:
    if not 0 <= options.least_leads <= 1e9 or not 0 < options.sure < 1:
        raise UsageError("--least-leads is from 0 to 1e9, --sure between 0 and 1")
    args, inputs = embedder_args(options, settings)
    for some in batches(creatives_in(settings.project / creatives)):
        # A token is three letters or more in most tongues.
        tokens = -(-sum(map(len, some.values())) // 3072) * 1024
        rates = {options.endpoint: RateNeed(requests=1, tokens=tokens)} if options.endpoint else {}
        yield job(
            NAME,
            "ads.index",
            {
                "store": options.store,
                "creatives": some,
                "least_leads": options.least_leads,
                "sure": options.sure,
                "round": round_,
                **args,
            },
            inputs=inputs,
            after=after,
            lane="cloud" if options.endpoint else "cpu",
            needs=Needs(cpu=0 if options.endpoint else 1, ram_mib=512 if options.model else 256, rates=rates),
        )


def embedder_args(
    options: argparse.Namespace, settings: CodeSettings
) -> tuple[dict[str, Any], Mapping[str, str]]:
    """What `ads.index` is told of who makes the vectors, and the files that it reads for it."""
    if options.endpoint and options.model:
        raise UsageError("--endpoint or --model: one of them makes the vectors")
    if options.endpoint:
        if options.endpoint not in settings.endpoints:
            known = ", ".join(sorted(settings.endpoints)) or "none"
            raise ConfigError(f"[endpoints.{options.endpoint}] is not in conductor.toml (there is: {known})")
        model = settings.endpoints[options.endpoint].model
        named = embedders.name_of_endpoint(options.endpoint, model)
        return {"embedder": named, "endpoint": options.endpoint}, {}
    if options.model:
        found = named_model(options.model, settings)
        return {"embedder": embedders.name_of_model(found.sha256), "model": str(found.path)}, found.inputs
    return {"embedder": HASHED}, {}


def day(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    """The deliveries' own jobs, as their hook planned them: they are known, and verified with the rest."""
    events = events_in(options.deliveries)
    yield from events
    # What follows is another job when others have come in.
    round_ = hashlib.sha256("".join(sorted(each.id for each in events)).encode()).hexdigest()[:16]
    waits = list[JobSpec](events)
    if options.figures is not None:
        judged = list(monitor_fatigue(options, settings))
        yield from judged
        # Who was paused just now has no share.
        waits += judged[-1:]
    yield allocation(options, round_, waits)
    if options.creatives is not None:
        yield from indexing(options, settings, options.creatives, round_, events)


def events_in(folder: Path) -> list[JobSpec]:
    """By file name; each job once."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder: name the one with a hook's manifests (manifests/hooks)")
    found: dict[str, JobSpec] = {}
    for file in sorted(folder.glob("*.jsonl")):
        found |= {spec.id: spec for spec in manifest.read(file) if spec.task == "ads.event"}
    return list(found.values())


if __name__ == "__main__":
    from workflows.protocol import run_plan_script

    sys.exit(run_plan_script(NAME))
