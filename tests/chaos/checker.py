"""What happened, from manifests, receipts, outputs and raw Redis keys alone. Shares no code with the
product's audit.

`gather` reads everything once; `faults` is a pure function of it. Made for a world at rest: nothing runs any
more.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from redis import Redis

#: Letters of `conductor:state`.
LETTERS = "wardxvc"
Json = dict[str, Any]


@dataclass
class Evidence:
    lines: dict[str, Json]
    receipts: list[Json]
    #: Output path as the manifest has it → (size, sha256); of a root that each host has for itself, with the
    #: host before it: «h1/scratch:a.txt».
    files: dict[str, tuple[int, str]]
    #: Files below the roots that are no output of any line, attempt folders among them.
    strays: list[str]
    #: Execution (job, attempt) → how often it began.
    begun: Counter[tuple[str, int]]
    #: Key → value as Redis has it: str, list, set, dict (hashes and zsets).
    redis: dict[str, Any]
    #: Roots that each host has for itself.
    local: frozenset[str] = frozenset()
    #: Processes that should be gone.
    processes: list[str] = field(default_factory=list[str])


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────


def gather(
    manifests: Iterable[Path],
    receipts: Path,
    roots: Mapping[str, Path],
    client: Redis | None,
    effects: Path | None = None,
    processes: Iterable[str] = (),
    local: Mapping[str, Mapping[str, Path]] = MappingProxyType({}),
) -> Evidence:
    """`local`: root → host → its folder there, of those that the hosts do not share."""
    lines = {
        line["id"]: line for file in manifests for line in map(json.loads, file.read_text().splitlines())
    }
    declared = {output["path"] for line in lines.values() for output in line.get("writes", ())}
    files: dict[str, tuple[int, str]] = {}
    strays: list[str] = []
    places = [("", root, folder) for root, folder in roots.items() if root not in local]
    places += [(f"{host}/", root, folder) for root, at in local.items() for host, folder in at.items()]
    for host, root, folder in places:
        for path in found_below(folder):
            name = f"{root}:{path.relative_to(folder)}"
            if name in declared:
                content = path.read_bytes()
                files[host + name] = (len(content), hashlib.sha256(content).hexdigest())
            elif path.is_file() or path.parent == folder / ".tmp":
                strays.append(host + name)
    return Evidence(
        lines=lines,
        receipts=read_receipts(receipts),
        files=files,
        strays=strays,
        begun=read_effects(effects),
        redis=dump(client) if client is not None else {},
        processes=[*processes],
        local=frozenset(local),
    )


def found_below(folder: Path) -> list[Path]:
    """Files and folders, also while others remove some."""
    found = [Path(at, name) for at, folders, files in os.walk(folder) for name in (*folders, *files)]
    return sorted(found)


def read_receipts(folder: Path) -> list[Json]:
    """Whole lines only: what a crash cut short was never acted upon."""
    found: list[Json] = []
    for file in sorted(folder.glob("*.jsonl")):
        for raw in file.read_bytes().split(b"\n")[:-1]:
            try:
                receipt = json.loads(raw)
            except ValueError:
                continue
            found.append(receipt)
    return found


def read_effects(file: Path | None) -> Counter[tuple[str, int]]:
    begun: Counter[tuple[str, int]] = Counter()
    for line in file.read_text().splitlines() if file is not None and file.exists() else ():
        match line.split():
            case [job_id, attempt, "begin", *_]:
                begun[job_id, int(attempt)] += 1
            case _:
                pass
    return begun


def dump(client: Redis) -> dict[str, Any]:
    """The ledger's keys and RQ's, decoded, with `ttl:KEY` beside what may be about to vanish."""
    found: dict[str, Any] = {}
    keys = [key for pattern in ("conductor:*", "rq:*") for key in client.scan_iter(pattern, count=1000)]
    kinds = _piped(client, [("TYPE", key) for key in keys])
    reads = {
        b"string": ("GET",), b"hash": ("HGETALL",), b"set": ("SMEMBERS",), b"list": ("LRANGE", 0, -1),
        b"zset": ("ZRANGE", 0, -1, "WITHSCORES"),
    }  # fmt: skip
    asked = [(key, reads[kind]) for key, kind in zip(keys, kinds, strict=True) if kind in reads]
    values = _piped(client, [(words[0], key, *words[1:]) for key, words in asked])
    for (key, _), value in zip(asked, values, strict=True):
        found[key.decode()] = _text(value)
    jobs = [key for key in keys if key.startswith(b"rq:job:")]
    for key, ttl in zip(jobs, _piped(client, [("TTL", key) for key in jobs]), strict=True):
        found[f"ttl:{key.decode()}"] = ttl
    return found


def _piped(client: Redis, commands: list[tuple[Any, ...]]) -> list[Any]:
    with client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        return pipe.execute()


def _text(value: Any) -> Any:
    match value:
        case bytes():
            return value.decode("utf-8", "replace")
        case dict():
            return {_text(key): _text(each) for key, each in value.items()}
        case set():
            return {_text(each) for each in value}
        case list() | tuple():
            return [_text(each) for each in value]
        case _:
            return value


# ── judging ───────────────────────────────────────────────────────────────────────────────────────────────


def faults(seen: Evidence) -> list[str]:
    """Everything that is wrong, each with the id it is about. Empty: the promise was kept."""
    found = [*receipt_faults(seen), *output_faults(seen), *effect_faults(seen)]
    found += [f"stray: {name} is no output of any line" for name in seen.strays]
    found += [f"orphan: {process} still runs" for process in seen.processes]
    if seen.redis:
        found += [*state_faults(seen), *count_faults(seen), *reservation_faults(seen), *rq_faults(seen)]
    return found


def valid_receipts(seen: Evidence) -> dict[str, list[Json]]:
    """Job → its `ok` receipts that were not taken back, by the files alone."""
    taken_back = {(r["job_id"], body_of(r)) for r in seen.receipts if r["outcome"] == "superseded"}
    found: dict[str, dict[str, Json]] = defaultdict(dict)
    for receipt in seen.receipts:
        if receipt["outcome"] == "ok" and (receipt["job_id"], body_of(receipt)) not in taken_back:
            found[receipt["job_id"]][body_of(receipt)] = receipt
    return {job_id: [*bodies.values()] for job_id, bodies in found.items()}


def body_of(receipt: Json) -> str:
    """Two bodies may have had one number; each has a token of its own."""
    token = receipt.get("token", "")
    return f"{receipt['attempt']}.{token}" if token else str(receipt["attempt"])


def receipt_faults(seen: Evidence) -> list[str]:
    found: list[str] = []
    for job_id, receipts in valid_receipts(seen).items():
        if job_id not in seen.lines:
            found.append(f"unknown: {job_id} has a receipt and no line")
        if len(receipts) > 1:
            found.append(
                f"doubled: {job_id} has {len(receipts)} receipts, bodies {[body_of(r) for r in receipts]}"
            )
    return found


def output_faults(seen: Evidence) -> list[str]:
    found: list[str] = []
    for job_id, receipt in (
        (job_id, each) for job_id, receipts in valid_receipts(seen).items() for each in receipts
    ):
        told = {o["path"]: (o["bytes"], o["sha256"]) for o in receipt.get("outputs", ())}
        planned = {o["path"] for o in seen.lines.get(job_id, {}).get("writes", ())}
        if told.keys() != planned:
            found.append(f"outputs: {job_id} promised {sorted(planned)}, its receipt has {sorted(told)}")
        for path, fact in ((_where(seen, receipt, path), fact) for path, fact in told.items()):
            if path not in seen.files:
                found.append(f"missing: {job_id}: {path}")
            elif seen.files[path] != fact:
                found.append(f"altered: {job_id}: {path} is not what its receipt says")
    return found


def _where(seen: Evidence, receipt: Json, path: str) -> str:
    """Its name among the files: of a root that each host has, that of the host that made it."""
    return f"{receipt['node']}/{path}" if path.partition(":")[0] in seen.local else path


def effect_faults(seen: Evidence) -> list[str]:
    found = [f"twice: {job_id} attempt {n} began {k} times" for (job_id, n), k in seen.begun.items() if k > 1]
    ran = {job_id for job_id, _ in seen.begun}
    found += [
        f"unrun: {job_id} has a receipt and never ran"
        for job_id in valid_receipts(seen)
        if seen.lines.get(job_id, {}).get("task") == "chaos.step" and job_id not in ran
    ]
    return found


def states(seen: Evidence) -> dict[str, list[str]]:
    """Job → letter, attempts, seq, class, since[, accepted]."""
    return {job_id: text.split("|") for job_id, text in seen.redis.get("conductor:state", {}).items()}


def state_faults(seen: Evidence) -> list[str]:
    found: list[str] = []
    known, receipts = states(seen), valid_receipts(seen)
    for job_id in seen.lines:
        if job_id not in known:
            found.append(f"lost: {job_id} is not in the ledger")
        else:
            found += _state_faults(seen, job_id, known[job_id], receipts.get(job_id, []))
    return found


def _state_faults(seen: Evidence, job_id: str, state: list[str], receipts: list[Json]) -> list[str]:
    letter = state[0]
    if letter == "d":
        if not receipts:
            return [f"lost: {job_id} is done without a receipt"]
        attempts = [body_of(r) for r in receipts]
        if len(state) < 6 or state[5] not in attempts:
            return [f"receipt: {job_id} was accepted as attempt {state[5:]}, its receipts are of {attempts}"]
        return []
    if receipts:
        return [f"unclaimed: {job_id} has a receipt and is «{letter}» in the ledger"]
    if letter in "xc" and "cause" not in seen.redis.get(f"conductor:failures:{job_id}", {}):
        return [f"mute: {job_id} is «{letter}» without a cause"]
    if letter == "w" and not _has_reason(seen, job_id, state[3]):
        return [f"lost: {job_id} waits for nothing and in no queue"]
    if letter in "ar" and job_id not in seen.redis.get("conductor:reservations", {}):
        return [f"lost: {job_id} is «{letter}» and nobody holds it"]
    return []


def _has_reason(seen: Evidence, job_id: str, number: str) -> bool:
    if job_id in _scores(seen, "conductor:delayed"):
        return True
    if any(seen.redis.get(f"conductor:{key}:{job_id}") for key in ("waits_for", "waits_for_end")):
        return True
    return job_id in _scores(seen, f"conductor:class:{number}") and number in seen.redis.get(
        "conductor:ready", ()
    )


def _scores(seen: Evidence, key: str) -> dict[str, float]:
    flat: list[Any] = seen.redis.get(key, [])
    return {flat[i]: float(flat[i + 1]) for i in range(0, len(flat), 2)}


def count_faults(seen: Evidence) -> list[str]:
    """Every job is in exactly one state, and the counts say so."""
    backlog_of = seen.redis.get("conductor:class_backlog", {})
    real: dict[str, Counter[str]] = defaultdict(Counter)
    for state in states(seen).values():
        real[backlog_of[state[3]]][state[0]] += 1
    found: list[str] = []
    for backlog in seen.redis.get("conductor:backlogs", ()):
        told = seen.redis.get(f"conductor:count:{backlog}", {})
        for letter in LETTERS:
            if int(told.get(letter, 0)) != real[backlog][letter]:
                found.append(
                    f"count: {backlog} says {told.get(letter, 0)} «{letter}», there are "
                    f"{real[backlog][letter]}"
                )
    extra = states(seen).keys() - seen.lines.keys()
    found += [f"unknown: {job_id} is in the ledger and no manifest" for job_id in sorted(extra)]
    return found


def reservation_faults(seen: Evidence) -> list[str]:
    active = {
        job_id: json.loads(text) for job_id, text in seen.redis.get("conductor:reservations", {}).items()
    }
    charges = {job_id: json.loads(text) for job_id, text in seen.redis.get("conductor:charges", {}).items()}
    letters = {job_id: state[0] for job_id, state in states(seen).items()}
    found = [f"leaked: {job_id} holds a reservation and is not in flight" for job_id in active
             if letters.get(job_id) not in ("a", "r")]  # fmt: skip
    found += [
        f"leaked: {job_id} is charged without a reservation" for job_id in charges.keys() - active.keys()
    ]
    found += [
        f"leaked: {job_id} has a reservation without its charge" for job_id in active.keys() - charges.keys()
    ]
    total: Counter[str] = Counter()
    for each in charges.values():
        total.update(each)
    told = {key: int(n) for key, n in seen.redis.get("conductor:reserved", {}).items()}
    for key in told.keys() | {k for k, n in total.items() if n}:
        if told.get(key, 0) != total[key]:
            found.append(
                f"leaked: {key}: {told.get(key, 0)} reserved in all, the reservations add up to {total[key]}"
            )
    for key, letter in (("leases", "r"), ("admitted_at", "a")):
        found += [
            f"leaked: {job_id} is in {key} and not «{letter}»"
            for job_id in _scores(seen, f"conductor:{key}")
            if letters.get(job_id) != letter
        ]
    return found


_ENTRY = re.compile(r"(.+)-a(\d+)(?::1)?")


def rq_faults(seen: Evidence) -> list[str]:
    """RQ's keys are a cache: nothing in them may be in flight that the ledger does not know to be."""
    active = {
        job_id: json.loads(text) for job_id, text in seen.redis.get("conductor:reservations", {}).items()
    }
    flying = {f"{job_id}-a{held['attempt']}" for job_id, held in active.items()}
    found: list[str] = []
    for key, value in seen.redis.items():
        entries: Iterable[str] = ()
        if key.startswith(("rq:queue:", "conductor:prefetched:")):
            entries = value
        elif key.startswith("rq:wip:"):
            entries = [entry.removesuffix(":1") for entry in value[::2]]
        elif key.startswith("rq:job:") and seen.redis.get(f"ttl:{key}", -1) == -1:
            entries = [key.removeprefix("rq:job:")]
        found += [
            f"rq: {key} holds {entry}, which is not in flight" for entry in entries if entry not in flying
        ]
    return found
